//! The nested values a query string is put together from.

use super::Excess;
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// The one key that is never taken: a JavaScript service further on could be harmed by it.
const FORBIDDEN: &str = "__proto__";

/// One value, not yet complete.
pub(super) enum Node {
    Text(String),
    /// What a plain `a=b` beside `a[c]=d` leaves: the key `b`, set.
    Flag,
    List(List),
    Map(Fields),
}

/// Fields by name, in the order in which their names were written first.
#[derive(Default)]
pub(super) struct Fields {
    fields: IndexMap<String, Node>,
    /// The highest index of the lists that became fields here.
    index: Option<usize>,
    /// The highest index that an item had, or a plain value might have, which no key says.
    guessed: Option<usize>,
}

/// Items by index, in any order and with gaps, so `a[19]=x` costs one item and not twenty.
#[derive(Default)]
pub(super) struct List {
    items: IndexMap<usize, Node>,
    /// The index behind the last item.
    end: usize,
    /// The highest index that was given to an item behind a gap.
    guessed: Option<usize>,
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

    /// The key that this step leads to in an object; items that are added have theirs from what is there already.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Step::Push => None,
            Step::Index(index) => Some(index.to_string()),
            Step::Key(name) => Some(name.clone()),
        }
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

impl List {
    fn insert(&mut self, index: usize, item: Node) {
        self.end = self.end.max(index + 1);
        self.items.insert(index, item);
    }

    fn push(&mut self, item: Node) {
        if self.has_gaps() {
            self.guessed = Some(self.end);
        }
        self.insert(self.end, item);
    }

    fn has_gaps(&self) -> bool {
        self.end > self.items.len()
    }

    /// Adds the items of `other` at their indices, or behind the last where there is one already that is no tree.
    fn merge(&mut self, other: List) {
        for (at, item) in other.sorted() {
            match self.items.get_mut(&at) {
                Some(there) if !there.is_scalar() && !item.is_scalar() => there.merge(item),
                Some(_) => self.push(item),
                None => self.insert(at, item),
            }
        }
    }

    fn sorted(mut self) -> impl Iterator<Item = (usize, Node)> {
        self.items.sort_unstable_keys();
        self.items.into_iter()
    }

    /// The items as fields named by their indices.
    fn named(self) -> Fields {
        let index = self.end.checked_sub(1);
        let guessed = self.guessed;
        Fields { fields: self.sorted().map(|(at, item)| (at.to_string(), item)).collect(), index, guessed }
    }

    /// The finished list; gaps close.
    fn into_json(self, sparse_index: usize) -> Result<Value, Excess> {
        // Such an index does not say whether a list is meant or an object whose keys are numbers.
        if self.end > sparse_index && self.has_gaps() {
            return Err(Excess::Index(self.end - 1));
        }
        self.sorted().map(|(_, item)| item.into_json(sparse_index)).collect()
    }
}

impl FromIterator<Node> for List {
    fn from_iter<I: IntoIterator<Item = Node>>(items: I) -> Self {
        let mut list = List::default();
        items.into_iter().for_each(|item| list.push(item));
        list
    }
}

impl Fields {
    fn of(name: String, value: Node) -> Fields {
        Fields { fields: IndexMap::from([(name, value)]), index: None, guessed: None }
    }

    fn merge(&mut self, other: Fields) {
        self.index = self.index.max(other.index);
        self.guessed = self.guessed.max(other.guessed);
        for (key, item) in other.fields {
            match self.fields.get_mut(&key) {
                Some(own) => own.merge(item),
                None => {
                    self.fields.insert(key, item);
                }
            }
        }
    }

    /// Sets the field that a plain value names.
    fn set(&mut self, name: String) {
        self.guessed = self.guessed.max(self.index);
        if name != FORBIDDEN {
            self.fields.insert(name, Node::Flag);
        }
    }
}

impl Node {
    pub(super) fn empty_map() -> Node {
        Node::Map(Fields::default())
    }

    /// One value, or the list of several that came under the same key.
    pub(super) fn leaf(mut values: Vec<String>) -> Node {
        if values.len() == 1 {
            return Node::Text(values.swap_remove(0));
        }
        Node::List(values.into_iter().map(Node::Text).collect())
    }

    /// `leaf`, wrapped in one list or map per step.
    pub(super) fn branch(steps: Vec<Step>, leaf: Node) -> Node {
        steps.into_iter().rev().fold(leaf, |inner, step| match step {
            // Lists directly in lists become one, as several values under `a[]` already are one.
            Step::Push if matches!(inner, Node::List(_)) => inner,
            Step::Push => Node::List(List::from_iter([inner])),
            Step::Index(index) => {
                Node::List(List { items: IndexMap::from([(index, inner)]), end: index + 1, guessed: None })
            }
            Step::Key(name) if name == FORBIDDEN => Node::empty_map(),
            Step::Key(name) => Node::Map(Fields::of(name, inner)),
        })
    }

    /// Adds `branch`, which says more about the same key.
    pub(super) fn merge(&mut self, branch: Node) {
        match branch {
            Node::Text(text) => self.add(text),
            Node::Flag => {}
            branch if self.is_scalar() => self.prepend_to(branch),
            Node::List(items) => match self {
                Node::List(own) => own.merge(items),
                _ => self.merge_fields(items.named()),
            },
            Node::Map(fields) => self.merge_fields(fields),
        }
    }

    /// A plain value beside what is there. An empty one says nothing.
    fn add(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        match self {
            Node::List(list) => list.push(Node::Text(text)),
            Node::Map(fields) => fields.set(text),
            _ => self.prepend_to(Node::List(List::from_iter([Node::Text(text)]))),
        }
    }

    /// Turns a scalar into the first item of a list whose others come from `branch`.
    fn prepend_to(&mut self, branch: Node) {
        let mut list = List::from_iter([std::mem::replace(self, Node::Flag)]);
        match branch {
            Node::List(others) => {
                list.guessed = others.has_gaps().then_some(others.end);
                others.sorted().for_each(|(at, item)| list.insert(at + 1, item));
            }
            other => list.push(other),
        }
        *self = Node::List(list);
    }

    fn merge_fields(&mut self, branch: Fields) {
        if let Node::List(list) = self {
            *self = Node::Map(std::mem::take(list).named());
        }
        if let Node::Map(own) = self {
            own.merge(branch);
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Node::Text(_) | Node::Flag)
    }

    /// Puts the fields of a map in the order of `keys`; others come last.
    pub(super) fn sort_by(&mut self, keys: &IndexMap<String, ()>) {
        if let Node::Map(Fields { fields, .. }) = self {
            fields.sort_by_cached_key(|key, _| keys.get_index_of(key).unwrap_or(usize::MAX));
        }
    }

    /// The finished value.
    ///
    /// # Errors
    /// An index of `sparse_index` or more that leaves open whether a list is meant or an object whose keys are numbers, and
    /// where it matters.
    pub(super) fn into_json(self, sparse_index: usize) -> Result<Value, Excess> {
        Ok(match self {
            Node::Text(text) => Value::String(text),
            Node::Flag => Value::Bool(true),
            Node::List(list) => list.into_json(sparse_index)?,
            Node::Map(Fields { guessed: Some(index), .. }) if index >= sparse_index => {
                return Err(Excess::Index(index));
            }
            Node::Map(Fields { fields, .. }) => {
                let finished = fields.into_iter().map(|(key, item)| Ok((key, item.into_json(sparse_index)?)));
                Value::Object(finished.collect::<Result<Map<_, _>, Excess>>()?)
            }
        })
    }
}
