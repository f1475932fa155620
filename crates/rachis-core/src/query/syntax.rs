//! What a store understands beside Feathers' common syntax.

/// Operators and filters that a store of its own adds to the common ones; by default none.
///
/// An operator stands inside a field (`{ name: { $like: "A%" } }`), where the [`Matcher`](super::Matcher) keeps it as
/// [`Test::Other`](super::Test::Other). A filter stands beside the fields (`{ $search: "word" }`); [`Filter::other`](super::Filter::other)
/// returns it. The service gives both their meaning.
///
/// ```
/// use rachis::query::{Filter, Limits, Query, Syntax};
/// use serde_json::json;
///
/// let syntax = Syntax { operators: &["$like"], filters: &["$search"] };
/// let query = Query::from(json!({ "name": { "$like": "A%" }, "$search": "word" }));
/// let filter = Filter::parse_with(&query, &Limits::default(), syntax)?;
/// assert_eq!(filter.other("$search"), Some(&json!("word")));
/// assert!(Filter::parse(&query).is_err());
/// # Ok::<(), rachis::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syntax {
    /// More operators, with their `$`.
    pub operators: &'static [&'static str],
    /// More keys beside the fields, with their `$`.
    pub filters: &'static [&'static str],
}
