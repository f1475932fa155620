//! The records themselves, in the order they were created, and found by id.

use super::{
    super::{Id, query::Filter},
    records::{Record, Records},
    unique::Unique,
};
use crate::{Error, Result, error::excerpt};
use serde_json::{Number, Value};
use std::{collections::HashMap, sync::Arc};

#[derive(Debug)]
pub(super) struct Store {
    id_field: Arc<str>,
    next_id: i64,
    // By the number of their creation, so that iterating gives their order and removing one leaves the others alone.
    records: Records,
    by_id: HashMap<Id, u64>,
    created: u64,
    unique: Unique,
}

impl Store {
    pub(super) fn new() -> Self {
        Store {
            id_field: "id".into(),
            next_id: 0,
            records: Records::default(),
            by_id: HashMap::new(),
            created: 0,
            unique: Unique::default(),
        }
    }

    pub(super) fn id_field(&self) -> &Arc<str> {
        &self.id_field
    }

    pub(super) fn set_id_field(&mut self, name: &str) {
        self.id_field = name.into();
    }

    pub(super) fn set_next_id(&mut self, id: i64) {
        self.next_id = id;
    }

    pub(super) fn set_unique(&mut self, fields: impl Iterator<Item = String>) {
        self.unique = Unique::new(fields);
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The records as they are now; what changes later does not change these.
    pub(super) fn snapshot(&self) -> Records {
        self.records.clone()
    }

    /// The record of that id, if it also satisfies the query.
    pub(super) fn get(&self, id: &Id, filter: &Filter) -> Result<(u64, &Record)> {
        let found = self.by_id.get(&canonical(id.clone())).and_then(|at| Some((*at, &**self.records.get(*at)?)));
        found
            .filter(|(_, record)| filter.matches(record))
            .ok_or_else(|| Error::not_found(format!("No record found for id '{}'", excerpt(&id.to_string()))))
    }

    /// Which of the records that `chosen` found, at a moment before, are still there and satisfy the query.
    pub(super) fn still(&self, chosen: Vec<(u64, Arc<Record>)>, filter: &Filter) -> Vec<u64> {
        let is_still = |(at, then): &(u64, Arc<Record>)| {
            self.records.get(*at).is_some_and(|now| Arc::ptr_eq(now, then) || filter.matches(now))
        };
        chosen.into_iter().filter(is_still).map(|(at, _)| at).collect()
    }

    /// Adds all of `records` or, if one cannot be added, none.
    pub(super) fn insert_all(&mut self, records: Vec<Record>) -> Result<Vec<u64>> {
        let next_id = self.next_id;
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            match self.insert(record) {
                Ok(at) => places.push(at),
                Err(error) => {
                    places.into_iter().for_each(|at| drop(self.remove(at)));
                    self.next_id = next_id;
                    return Err(error);
                }
            }
        }
        Ok(places)
    }

    fn insert(&mut self, mut record: Record) -> Result<u64> {
        let id = match own_id(&record, &self.id_field)? {
            Some(id) => id,
            None => {
                let id = self.fresh_id();
                record.insert(self.id_field.to_string(), id.clone().into());
                id
            }
        };
        if self.by_id.contains_key(&id) {
            return Err(Error::conflict(format!(
                "A record with the {} '{}' exists already",
                self.id_field,
                excerpt(&id.to_string())
            )));
        }
        let at = self.created;
        self.unique.check(&record, at)?;
        self.unique.add(&record, at);
        self.created += 1;
        self.by_id.insert(id, at);
        self.records.insert(at, record);
        Ok(at)
    }

    fn fresh_id(&mut self) -> Id {
        loop {
            let id = Id::Number(self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
            // Records may have brought the id along.
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    /// Puts `record` in the place of another and keeps that one's id.
    ///
    /// # Errors
    /// `Conflict` if a third record has one of its unique values; then nothing has changed.
    pub(super) fn replace(&mut self, at: u64, mut record: Record) -> Result<()> {
        let Some(old) = self.records.get_mut(at) else { return Ok(()) };
        if let Some(id) = old.get(&*self.id_field) {
            record.insert(self.id_field.to_string(), id.clone());
        }
        self.unique.check(&record, at)?;
        self.unique.remove(old);
        self.unique.add(&record, at);
        *old = record;
        Ok(())
    }

    /// Overwrites the fields that `data` has, the id excepted, in all of these records.
    ///
    /// # Errors
    /// `Conflict` if two records would have the same unique value; then nothing has changed.
    pub(super) fn merge_all(&mut self, places: &[u64], data: &Record) -> Result<()> {
        for (number, at) in places.iter().enumerate() {
            if number == 0 {
                self.unique.check(data, *at)?;
            } else {
                self.unique.check_shared(data)?;
            }
        }
        for at in places {
            let Some(record) = self.records.get_mut(*at) else { continue };
            self.unique.remove(record);
            for (name, value) in data.iter().filter(|(name, _)| ***name != *self.id_field) {
                record.insert(name.clone(), value.clone());
            }
            self.unique.add(record, *at);
        }
        Ok(())
    }

    pub(super) fn at(&self, at: u64) -> Option<&Arc<Record>> {
        self.records.get(at)
    }

    pub(super) fn remove(&mut self, at: u64) -> Option<Arc<Record>> {
        let record = self.records.remove(at)?;
        self.unique.remove(&record);
        if let Ok(Some(id)) = own_id(&record, &self.id_field) {
            self.by_id.remove(&id);
        }
        Some(record)
    }
}

/// The id a record brings along; `null` and `""`, as forms send them, count as none.
fn own_id(record: &Record, field: &str) -> Result<Option<Id>> {
    match record.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::Number(number)) if whole(number).is_some() => Ok(whole(number).map(Id::Number)),
        Some(value @ (Value::String(_) | Value::Number(_))) => Ok(Id::from_json(value).map(canonical)),
        Some(_) => Err(Error::bad_request(format!("The field '{field}' must be a number or a string: it is the id"))),
    }
}

/// `7` and `7.0`, which JavaScript cannot tell apart. Beyond 2^53 a float stands for several integers, so it is none.
fn whole(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let from_float = |float: &f64| float.fract() == 0.0 && float.abs() < EXACT;
    number.as_i64().or_else(|| number.as_f64().filter(from_float).map(|float| float as i64))
}

/// One form for the ids that REST cannot tell apart: a string that is how a number is written becomes that number.
fn canonical(id: Id) -> Id {
    match id {
        Id::String(text) => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Id::Number(number),
            _ => Id::String(text),
        },
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_spelling_of_a_number_is_that_number() {
        assert_eq!(canonical("7".into()), Id::Number(7));
        assert_eq!(canonical("-7".into()), Id::Number(-7));
        for text in ["07", "+7", "7.0", " 7", "-0", "", "9223372036854775808"] {
            assert_eq!(canonical(text.into()), Id::from(text));
        }
    }

    #[test]
    fn ids_go_on_at_the_other_end_of_the_range_instead_of_failing() {
        let mut store = Store::new();
        store.set_next_id(i64::MAX);
        store.insert_all(vec![Record::new(), Record::new()]).unwrap();
        let ids: Vec<_> = store.snapshot().iter().map(|(_, record)| record["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, [i64::MAX, i64::MIN]);
    }
}
