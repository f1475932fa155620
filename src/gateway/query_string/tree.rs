//! The nested values a query string is put together from.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Lists hold no more; beyond, their items become the fields of an object.
const LIST: usize = 1000;
/// The one key that is never taken: a JavaScript service further on could be harmed by it.
const FORBIDDEN: &str = "__proto__";

/// One value, not yet complete.
pub(super) enum Node {
    Text(String),
    /// What a plain `a=b` beside `a[c]=d` leaves: the key `b`, set.
    Flag,
    /// By index and with gaps, so `a[999]=x` costs one item and not a thousand.
    List(BTreeMap<usize, Node>),
    Map {
        fields: BTreeMap<String, Node>,
        /// The highest index, if it is a list that grew too long: plain values are then added behind it.
        last: Option<usize>,
    },
}

/// One part of a key.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// `[]`
    Push,
    /// `[7]`
    Index(usize),
    /// `[name]`, or the name in front.
    Key(String),
}

impl Step {
    pub(super) fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    pub(super) fn bracketed(inner: &str) -> Step {
        match (inner, index(inner)) {
            ("", _) => Step::Push,
            (_, Some(index)) => Step::Index(index),
            (name, None) => Step::key(name),
        }
    }
}

/// `7`, but neither `07` nor `+7`: only what prints the same again.
pub(super) fn index(text: &str) -> Option<usize> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // Beyond 15 digits JavaScript's numbers are no longer exact.
    (canonical && digits && text.len() <= 15).then(|| text.parse().ok()).flatten()
}

impl Node {
    pub(super) fn empty_map() -> Node {
        Node::Map { fields: BTreeMap::new(), last: None }
    }

    /// One value, or the list of several that came under the same key.
    pub(super) fn leaf(mut values: Vec<String>) -> Node {
        match values.len() {
            1 => Node::Text(values.swap_remove(0)),
            _ => Node::List(values.into_iter().map(Node::Text).enumerate().collect()),
        }
    }

    /// `leaf`, wrapped in one list or map per step.
    pub(super) fn branch(steps: Vec<Step>, leaf: Node) -> Node {
        steps.into_iter().rev().fold(leaf, |inner, step| match step {
            // Lists directly in lists become one, as several values under `a[]` already are one.
            Step::Push if matches!(inner, Node::List(_) | Node::Map { last: Some(_), .. }) => inner,
            Step::Push => Node::List(BTreeMap::from([(0, inner)])),
            Step::Index(index) if index < LIST => Node::List(BTreeMap::from([(index, inner)])),
            Step::Index(index) => Node::Map { fields: BTreeMap::from([(index.to_string(), inner)]), last: Some(index) },
            Step::Key(name) if name == FORBIDDEN => Node::empty_map(),
            Step::Key(name) => Node::Map { fields: BTreeMap::from([(name, inner)]), last: None },
        })
    }

    /// Adds `branch`, which says more about the same key.
    pub(super) fn merge(&mut self, branch: Node) {
        match branch {
            Node::Text(text) => self.add(text),
            Node::Flag => {}
            branch if self.is_scalar() => self.prepend_to(branch),
            Node::List(items) => match self {
                Node::List(own) => merge_lists(own, items),
                _ => self.merge_fields(named(items), None),
            },
            Node::Map { fields, last } => self.merge_fields(fields, last),
        }
    }

    /// A plain value beside what is there. An empty one says nothing.
    fn add(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        match self {
            Node::List(items) => {
                let end = end(items);
                items.insert(end, Node::Text(text));
                if end > LIST {
                    *self = Node::Map { fields: named(std::mem::take(items)), last: Some(end) };
                }
            }
            Node::Map { fields, last: Some(last) } => {
                *last += 1;
                fields.insert(last.to_string(), Node::Text(text));
            }
            Node::Map { fields, last: None } if text != FORBIDDEN => {
                fields.insert(text, Node::Flag);
            }
            Node::Map { .. } => {}
            Node::Text(_) | Node::Flag => self.prepend_to(Node::List(BTreeMap::from([(0, Node::Text(text))]))),
        }
    }

    /// Turns a scalar into the first item of a list whose others come from `branch`.
    fn prepend_to(&mut self, branch: Node) {
        let first = std::mem::replace(self, Node::Flag);
        *self = match branch {
            Node::List(items) => {
                let mut items: BTreeMap<_, _> = items.into_iter().map(|(at, item)| (at + 1, item)).collect();
                items.insert(0, first);
                match end(&items) {
                    end if end > LIST => Node::Map { fields: named(items), last: Some(end - 1) },
                    _ => Node::List(items),
                }
            }
            Node::Map { fields, last: Some(last) } => {
                let shifted = fields.into_iter().filter_map(|(key, item)| Some(((index(&key)? + 1).to_string(), item)));
                let mut fields: BTreeMap<_, _> = shifted.collect();
                fields.insert("0".to_owned(), first);
                Node::Map { fields, last: Some(last + 1) }
            }
            other => Node::List(BTreeMap::from([(0, first), (1, other)])),
        };
    }

    fn merge_fields(&mut self, branch: BTreeMap<String, Node>, branch_last: Option<usize>) {
        if let Node::List(items) = self {
            *self = Node::Map { fields: named(std::mem::take(items)), last: None };
        }
        let Node::Map { fields, last } = self else { return };
        for (key, item) in branch {
            *last = last.or(branch_last);
            if let (Some(last), Some(index)) = (last.as_mut(), index(&key)) {
                *last = index.max(*last);
            }
            match fields.get_mut(&key) {
                Some(own) => own.merge(item),
                None => {
                    fields.insert(key, item);
                }
            }
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Node::Text(_) | Node::Flag)
    }

    /// The finished value; gaps in lists close.
    pub(super) fn into_json(self) -> Value {
        match self {
            Node::Text(text) => Value::String(text),
            Node::Flag => Value::Bool(true),
            Node::List(items) => items.into_values().map(Node::into_json).collect(),
            Node::Map { fields, .. } => {
                Value::Object(fields.into_iter().map(|(key, item)| (key, item.into_json())).collect::<Map<_, _>>())
            }
        }
    }
}

fn merge_lists(own: &mut BTreeMap<usize, Node>, items: BTreeMap<usize, Node>) {
    for (at, item) in items {
        match own.get_mut(&at) {
            Some(there) if !there.is_scalar() && !item.is_scalar() => there.merge(item),
            Some(_) => {
                own.insert(end(own), item);
            }
            None => {
                own.insert(at, item);
            }
        }
    }
}

/// The index behind the last item.
fn end(items: &BTreeMap<usize, Node>) -> usize {
    items.last_key_value().map_or(0, |(last, _)| last + 1)
}

/// The items as fields named by their indices.
fn named(items: BTreeMap<usize, Node>) -> BTreeMap<String, Node> {
    items.into_iter().map(|(at, item)| (at.to_string(), item)).collect()
}
