//! `$sort`: in which order.

use super::{
    compare::order,
    filter::integer,
    limits::{Budget, check_path},
    path::Path,
};
use crate::{Error, Result, error::excerpt};
use serde_json::{Map, Value};
use std::{cmp::Ordering, mem, ops::Range};

/// Records that are sorted without a look at whether the result is still wanted.
const RUN: usize = 64;
/// Up to how many wanted records are picked out of all before they are sorted.
const SELECTED: usize = 4096;

/// What `$sort` asks for: fields, the most significant first, each ascending (`1`) or descending (`-1`).
///
/// Records that are equal in all of them stay in the order they were in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sort {
    keys: Vec<(Path, bool)>,
}

impl Sort {
    /// Reads `{ age: -1, name: 1 }`; directions may be strings, as they are in URLs.
    pub(super) fn parse(value: &Value, budget: &Budget) -> Result<Self> {
        let fields = value.as_object().ok_or_else(|| {
            Error::bad_request("Invalid value for $sort: use an object of fields and directions, as in { age: -1 }")
        })?;
        budget.check_sort(fields.len())?;
        let mut keys = Vec::with_capacity(fields.len());
        for (field, direction) in fields {
            check_path(field)?;
            let direction = integer(direction).ok_or_else(|| {
                let field = excerpt(field);
                Error::bad_request(format!("Invalid value for $sort: the direction of '{field}' must be 1 or -1"))
            })?;
            if direction != 0 {
                keys.push((Path::new(field), direction < 0));
            }
        }
        Ok(Sort { keys })
    }

    /// Returns `true` if there is nothing to sort by.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What to sort by, the most significant first, each with whether it descends.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (&Path, bool)> {
        self.keys.iter().map(|(path, descending)| (path, *descending))
    }

    /// Sorts `records`, of which only the first `wanted` have to be right and are kept.
    ///
    /// Knowing how many are wanted spares most of the work for a page out of many.
    pub fn sort<'a>(&self, records: Vec<&'a Map<String, Value>>, wanted: usize) -> Vec<&'a Map<String, Value>> {
        self.sort_while(records, wanted, &|| true)
    }

    /// Does so as long as the result is wanted: after that it returns none.
    pub(super) fn sort_while<'a>(
        &self,
        records: Vec<&'a Map<String, Value>>,
        wanted: usize,
        is_wanted: &dyn Fn() -> bool,
    ) -> Vec<&'a Map<String, Value>> {
        if self.is_empty() {
            return records;
        }
        // Looked up once for each record, not once for each comparison.
        let width = self.keys.len();
        let mut values: Vec<&Value> = Vec::with_capacity(records.len() * width);
        for records in records.chunks(RUN) {
            if !is_wanted() {
                return Vec::new();
            }
            let fields = |record: &&'a Map<String, Value>| {
                let record = *record;
                self.keys.iter().map(move |(path, _)| path.get(record).unwrap_or(&Value::Null))
            };
            values.extend(records.iter().flat_map(fields));
        }
        let row = |index: usize| &values[index * width..(index + 1) * width];
        // The position decides between equals, which makes an unstable sort stable.
        let compare = |a: &usize, b: &usize| self.compare(row(*a), row(*b)).then_with(|| a.cmp(b));
        let order = if wanted <= SELECTED {
            first_of(0..records.len(), wanted, &compare, is_wanted)
        } else {
            (0..records.len()).collect()
        };
        let sorted = merge_sort(order, &compare, is_wanted);
        sorted.into_iter().take(wanted).map(|index| records[index]).collect()
    }

    fn compare(&self, a: &[&Value], b: &[&Value]) -> Ordering {
        let mut ordered = self.keys.iter().zip(a.iter().zip(b)).map(|((_, descending), (a, b))| match order(a, b) {
            ascending if *descending => ascending.reverse(),
            ascending => ascending,
        });
        ordered.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// The first `wanted` in order, in no order; none if the result is not wanted any more.
fn first_of(
    mut items: Range<usize>,
    wanted: usize,
    compare: &impl Fn(&usize, &usize) -> Ordering,
    is_wanted: &dyn Fn() -> bool,
) -> Vec<usize> {
    let mut first: Vec<usize> = Vec::new();
    // As many new ones each time as there are wanted, so that each item is compared a few times only.
    while let more @ 1.. = items.len().min(wanted.max(RUN)) {
        if !is_wanted() {
            return Vec::new();
        }
        first.extend(items.by_ref().take(more));
        if first.len() > wanted {
            first.select_nth_unstable_by(wanted, compare);
            first.truncate(wanted);
        }
    }
    first
}

/// Sorts by merging, which can stop at any comparison; the result is none then.
fn merge_sort(
    mut items: Vec<usize>,
    compare: &impl Fn(&usize, &usize) -> Ordering,
    is_wanted: &dyn Fn() -> bool,
) -> Vec<usize> {
    for run in items.chunks_mut(RUN) {
        if !is_wanted() {
            return Vec::new();
        }
        run.sort_unstable_by(compare);
    }
    let mut run = RUN;
    let mut merged = Vec::with_capacity(items.len());
    while run < items.len() {
        for pair in items.chunks(2 * run) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            while let ([a, later_left @ ..], [b, later_right @ ..]) = (left, right) {
                if merged.len().is_multiple_of(RUN) && !is_wanted() {
                    return Vec::new();
                }
                if compare(a, b).is_le() {
                    merged.push(*a);
                    left = later_left;
                } else {
                    merged.push(*b);
                    right = later_right;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        mem::swap(&mut items, &mut merged);
        merged.clear();
        run *= 2;
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Limits, Syntax};
    use serde_json::json;
    use std::cell::Cell;

    fn sort() -> Sort {
        Sort::parse(&json!({ "a": 1, "b": -1 }), &Budget::new(&Limits::default(), Syntax::default())).unwrap()
    }

    fn records(count: u64) -> Vec<Map<String, Value>> {
        // In no order, each value of `a` several times, and some records equal in both.
        let record = |n: u64| json!({ "a": n * 7919 % 101, "b": n * 31 % 17, "n": n });
        (0..count).filter_map(|n| record(n).as_object().cloned()).collect()
    }

    #[test]
    fn however_many_are_wanted_they_are_the_first_of_a_stable_sort() {
        for count in [0, 1, 63, 64, 65, 500, 10_000] {
            let records = records(count);
            let mut expected: Vec<&Map<String, Value>> = records.iter().collect();
            expected.sort_by_key(|record| (record["a"].as_u64(), std::cmp::Reverse(record["b"].as_u64())));
            for wanted in [0, 1, 10, 64, 100, 4096, 4097, 9_999, 10_000, usize::MAX] {
                let sorted = sort().sort(records.iter().collect(), wanted);
                assert!(sorted.iter().eq(expected.iter().take(wanted)), "{wanted} of {count}");
            }
        }
    }

    #[test]
    fn a_sort_ends_wherever_its_result_is_not_wanted_any_more() {
        let records = records(1_500);
        for wanted in [100, usize::MAX] {
            let whole = Cell::new(0);
            let count = || {
                whole.set(whole.get() + 1);
                true
            };
            assert!(!sort().sort_while(records.iter().collect(), wanted, &count).is_empty());
            for last in 0..whole.get() {
                let looks = Cell::new(0);
                let is_wanted = || looks.replace(looks.get() + 1) < last;
                assert!(sort().sort_while(records.iter().collect(), wanted, &is_wanted).is_empty());
                assert_eq!(looks.get(), last + 1, "it went on");
            }
        }
    }
}
