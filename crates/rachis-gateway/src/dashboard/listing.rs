//! Pages of what may be many: searched, sorted and cut here, so that a browser is never sent ten thousand of anything.

use rachis_core::{Error, Params, Result, query::Filter};
use serde_json::{Map, Value, json};

/// Records on a page that asks for no number, and the most of them.
const PAGE: u64 = 50;
const LARGEST_PAGE: u64 = 200;

/// What a page was asked for: `$limit`, `$skip`, `$sort` and conditions as everywhere, and `search`, a text that one of some
/// fields has to contain.
pub(super) struct Listing {
    filter: Filter,
    search: String,
}

impl Listing {
    /// # Errors
    /// `BadRequest` for a query that is none.
    pub(super) fn of(params: &Params) -> Result<Self> {
        let mut query = params.query.clone();
        let search = match query.shift_remove("search") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.trim().to_lowercase(),
            Some(_) => return Err(Error::bad_request("`search` must be a text")),
        };
        Ok(Listing { filter: Filter::parse(&query)?, search })
    }

    /// Returns `true` if one of these texts has what is searched for.
    pub(super) fn finds<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        self.search.is_empty() || texts.into_iter().any(|text| text.to_lowercase().contains(&self.search))
    }

    /// Returns a page of `records`; `complete` adds to those on it what is dear to make.
    pub(super) fn page(&self, records: Vec<Map<String, Value>>, complete: impl Fn(&mut Map<String, Value>)) -> Value {
        let limit = self.filter.limit().unwrap_or(PAGE).min(LARGEST_PAGE);
        let found = self.filter.find(records.iter(), Some(limit));
        let data: Vec<Value> = found
            .records
            .iter()
            .map(|record| {
                let mut record = Map::clone(record);
                complete(&mut record);
                Value::Object(record)
            })
            .collect();
        json!({ "total": found.total, "limit": limit, "skip": self.filter.skip(), "data": data })
    }
}

/// The fields of an object that was written as one.
pub(super) fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: Value) -> Value {
        let listing = Listing::of(&Params::default().with_query(query)).unwrap();
        let all = (0..10_000).map(|number| fields(json!({ "path": format!("Service-{number}"), "number": number })));
        let found = all.filter(|record| listing.finds(record["path"].as_str())).collect();
        listing.page(found, |record| drop(record.insert("seen".into(), true.into())))
    }

    #[test]
    fn pages_are_bounded_whatever_is_asked_for() {
        assert_eq!(page(json!({}))["data"].as_array().unwrap().len(), 50);
        let all = page(json!({ "$limit": 100_000 }));
        assert_eq!((all["total"].as_u64(), all["limit"].as_u64()), (Some(10_000), Some(200)));
    }

    #[test]
    fn what_is_searched_for_is_found_in_any_case_and_sorted() {
        let found = page(json!({ "search": " SERVICE-99 ", "$sort": { "number": -1 }, "$limit": 2 }));
        assert_eq!(found["total"], 111);
        assert_eq!(found["data"][0], json!({ "path": "Service-9999", "number": 9999, "seen": true }));
        assert_eq!(Listing::of(&Params::default().with_query(json!({ "search": 1 }))).err().unwrap().code(), 400);
    }
}
