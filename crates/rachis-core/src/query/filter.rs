//! A checked query.

use super::{Limits, Matcher, Query, Select, Sort, Syntax, limits::Budget};
use crate::{Error, Params, Result, error::excerpt};
use serde_json::{Map, Value};

/// A query that has been checked: which records, in what order, from where, how many, which of their fields.
///
/// The keys `$skip`, `$limit`, `$sort` and `$select` are read here, everything else by the [`Matcher`]. The numbers of the
/// first three may be strings, as they are in URLs; nothing else is ever converted.
///
/// ```
/// use rachis::{ErrorKind, query::{Filter, Query}};
/// use serde_json::json;
///
/// let error = Filter::parse(&Query::new().with("$where", "1")).unwrap_err();
/// assert_eq!((error.kind(), error.message()), (ErrorKind::BadRequest, "Invalid filter value $where"));
/// let error = Filter::parse(&Query::new().with("age", json!({ "$regex": "." }))).unwrap_err();
/// assert_eq!(error.message(), "Invalid query parameter $regex");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    matcher: Matcher,
    sort: Sort,
    skip: usize,
    limit: Option<u64>,
    select: Select,
    others: Vec<(&'static str, Value)>,
}

/// What a filter found, by reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<'a> {
    /// How many records match in all.
    pub total: usize,
    /// Those between `$skip` and the limit, sorted.
    pub records: Vec<&'a Map<String, Value>>,
}

impl Filter {
    /// Checks a query, with the default [`Limits`].
    ///
    /// # Errors
    /// As [`Filter::parse_within`].
    pub fn parse(query: &Query) -> Result<Self> {
        Filter::parse_within(query, &Limits::default())
    }

    /// Checks the query of a call, with the limits of the node that runs it.
    ///
    /// # Errors
    /// As [`Filter::parse_within`].
    pub fn of(params: &Params) -> Result<Self> {
        Filter::parse_within(&params.query, &params.query_limits())
    }

    /// Checks a query.
    ///
    /// A `$skip` or `$limit` that is no number, or is negative, counts as not given.
    ///
    /// # Errors
    /// `BadRequest`: `Invalid filter value $x` for an unknown `$x` beside the fields, `Invalid query parameter $x` for one
    /// inside a field, and others for malformed operands, for nesting deeper than 32 levels, and for what exceeds `limits`.
    pub fn parse_within(query: &Query, limits: &Limits) -> Result<Self> {
        Filter::parse_with(query, limits, Syntax::default())
    }

    /// Checks a query that may say more than the common syntax.
    ///
    /// # Errors
    /// As [`Filter::parse_within`].
    pub fn parse_with(query: &Query, limits: &Limits, syntax: Syntax) -> Result<Self> {
        let mut filter = Filter::default();
        let mut budget = Budget::new(limits, syntax);
        for (key, value) in query.iter() {
            match key.as_str() {
                "$skip" => filter.skip = natural(value).map_or(0, |skip| usize::try_from(skip).unwrap_or(usize::MAX)),
                "$limit" => filter.limit = natural(value),
                "$sort" => filter.sort = Sort::parse(value, &budget)?,
                "$select" => {
                    budget.take_items(value.as_array().map_or(1, Vec::len))?;
                    filter.select = Select::parse(value)?;
                }
                "$or" | "$and" => filter.matcher.add(key, value, &mut budget)?,
                key if key.starts_with('$') => {
                    let other = syntax.filters.iter().find(|name| **name == key);
                    let invalid = || Error::bad_request(format!("Invalid filter value {}", excerpt(key)));
                    filter.others.push((other.ok_or_else(invalid)?, value.clone()));
                }
                key => filter.matcher.add(key, value, &mut budget)?,
            }
        }
        Ok(filter)
    }

    /// Does `record` satisfy the query? `$skip`, `$limit` and `$sort` do not matter here.
    pub fn matches(&self, record: &Map<String, Value>) -> bool {
        self.matcher.matches(record)
    }

    /// How much work it is to look at one record: 1 and more.
    pub(crate) fn weight(&self) -> usize {
        1 + self.matcher.weight() + self.sort.keys().len()
    }

    /// The conditions on the records.
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// The order asked for.
    pub fn sort(&self) -> &Sort {
        &self.sort
    }

    /// How many matching records to pass over; 0 by default.
    pub fn skip(&self) -> usize {
        self.skip
    }

    /// The `$limit` as the caller gave it; a [`Paginate`](crate::Paginate) makes the one that counts of it.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The fields asked for.
    pub fn select(&self) -> &Select {
        &self.select
    }

    /// The value of a filter that the service's own [`Syntax`] names.
    pub fn other(&self, name: &str) -> Option<&Value> {
        self.others.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    pub(crate) fn into_select(self) -> Select {
        self.select
    }

    /// Runs the query over `records`: counts all that match and returns at most `limit` of them; `None` means all.
    pub fn find<'a>(&self, records: impl Iterator<Item = &'a Map<String, Value>>, limit: Option<u64>) -> Found<'a> {
        self.find_while(records, limit, &|| true)
    }

    /// As [`Filter::find`], which it does as long as the result is wanted; after that the sorted records may be fewer.
    pub(super) fn find_while<'a>(
        &self,
        records: impl Iterator<Item = &'a Map<String, Value>>,
        limit: Option<u64>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Found<'a> {
        let mut matching = records.filter(|record| self.matches(record));
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if limit == 0 {
            return Found { total: matching.count(), records: Vec::new() };
        }
        if self.sort.is_empty() {
            let skipped = matching.by_ref().take(self.skip).count();
            let records: Vec<_> = matching.by_ref().take(limit).collect();
            return Found { total: skipped + records.len() + matching.count(), records };
        }
        let matching: Vec<_> = matching.collect();
        let total = matching.len();
        let sorted = self.sort.sort_while(matching, self.skip.saturating_add(limit), is_wanted);
        Found { total, records: sorted.into_iter().skip(self.skip).take(limit).collect() }
    }

    /// As [`Filter::find`] for callers that need no total: it stops at the limit where the order allows.
    pub fn first<'a>(
        &self,
        records: impl Iterator<Item = &'a Map<String, Value>>,
        limit: Option<u64>,
    ) -> Vec<&'a Map<String, Value>> {
        self.first_while(records, limit, &|| true)
    }

    pub(super) fn first_while<'a>(
        &self,
        records: impl Iterator<Item = &'a Map<String, Value>>,
        limit: Option<u64>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Vec<&'a Map<String, Value>> {
        if !self.sort.is_empty() {
            return self.find_while(records, limit, is_wanted).records;
        }
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        records.filter(|record| self.matches(record)).skip(self.skip).take(limit).collect()
    }
}

/// Zero or more; anything else is as good as nothing.
fn natural(value: &Value) -> Option<u64> {
    integer(value).and_then(|number| u64::try_from(number).ok())
}

/// Reads a whole number as Feathers does: the fraction of a number is cut off, and of a string what follows the digits.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        // `as` saturates, and a limit at the end of the range is as good as one beyond it.
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => leading_integer(text.trim_start()),
        _ => None,
    }
}

fn leading_integer(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return None;
    }
    let size = unsigned[..digits].parse().unwrap_or(i64::MAX);
    Some(if negative { -size } else { size })
}
