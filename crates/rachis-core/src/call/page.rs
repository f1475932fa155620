//! Results of `find`: a list, or a page of a longer one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One page of a longer list, as `find` returns it where pagination is on.
///
/// ```
/// use rachis::{App, MemoryService, Page};
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Debug, PartialEq, Deserialize)]
/// struct Todo { text: String }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let app = App::new().register("todos", MemoryService::new().paginate(10, 50));
/// let todos = app.service("todos");
/// todos.create(json!({ "text": "write" })).await?;
///
/// let page = todos.find().query(json!({ "$limit": 5 })).json::<Page<Todo>>().await?;
/// assert_eq!((page.total, page.limit, page.skip), (1, 5, 0));
/// assert_eq!(page.data, [Todo { text: "write".into() }]);
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// How many records match the query in all.
    pub total: u64,
    /// How many records the page may have at most.
    pub limit: u64,
    /// How many matching records come before it.
    pub skip: u64,
    /// The records.
    pub data: Vec<T>,
}

/// What a `find` returns when it may or may not be paginated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Listing<T> {
    /// Everything that matches.
    List(Vec<T>),
    /// A page of it.
    Page(Page<T>),
}

impl<T> Listing<T> {
    /// The records at hand, in either form.
    pub fn into_records(self) -> Vec<T> {
        match self {
            Listing::List(records) => records,
            Listing::Page(page) => page.data,
        }
    }
}

impl<T> From<Vec<T>> for Listing<T> {
    fn from(records: Vec<T>) -> Self {
        Listing::List(records)
    }
}

impl<T> From<Page<T>> for Listing<T> {
    fn from(page: Page<T>) -> Self {
        Listing::Page(page)
    }
}

/// How a service cuts long results into pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paginate {
    /// The size of a page whose caller gave no `$limit`; 0 returns the total alone.
    pub default: u64,
    /// The largest `$limit` a caller gets; `None` is no bound.
    pub max: Option<u64>,
}

impl Paginate {
    /// Reads Feathers' `{ default, max }`, both optional; `None` if `value` is something else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let number = |name| match fields.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_u64().map(Some),
        };
        Some(Paginate { default: number("default")?.unwrap_or_default(), max: number("max")? })
    }

    /// The limit that counts for a caller who asked for `asked`; `None` is no limit, which only a `Paginate` without
    /// any number (in Feathers: `paginate: {}`) gives.
    pub fn limit(&self, asked: Option<u64>) -> Option<u64> {
        if self.default == 0 && self.max.unwrap_or(0) == 0 {
            return asked;
        }
        Some(asked.unwrap_or(self.default).min(self.max.unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limit(paginate: Value, asked: Option<u64>) -> Option<u64> {
        Paginate::from_json(&paginate).unwrap().limit(asked)
    }

    #[test]
    fn a_limit_is_the_default_unless_asked_for_and_never_above_the_maximum() {
        let both = json!({ "default": 10, "max": 50 });
        assert_eq!(limit(both.clone(), None), Some(10));
        assert_eq!(limit(both.clone(), Some(0)), Some(0));
        assert_eq!(limit(both, Some(99)), Some(50));
        assert_eq!(limit(json!({ "default": 10, "max": 5 }), None), Some(5));
    }

    #[test]
    fn a_maximum_without_default_means_default_zero() {
        assert_eq!(limit(json!({ "max": 50 }), None), Some(0));
        assert_eq!(limit(json!({ "max": 50 }), Some(20)), Some(20));
    }

    #[test]
    fn a_pagination_without_numbers_bounds_nothing() {
        assert_eq!(limit(json!({}), None), None);
        assert_eq!(limit(json!({}), Some(7)), Some(7));
    }

    #[test]
    fn a_pagination_that_is_none_is_refused() {
        for wrong in [json!("10"), json!({ "default": "10" }), json!({ "max": -1 })] {
            assert_eq!(Paginate::from_json(&wrong), None, "{wrong}");
        }
    }
}
