//! Query strings and forms as Feathers' servers read them: the rules of `qs` under Express.
//!
//! Written by hand, since nothing at hand has these rules: `form_urlencoded` yields flat pairs and repairs what it
//! cannot decode, and `serde_qs` refuses sparse arrays and keys used both plain and with brackets, has no limits on
//! parameters and indices, and keeps `__proto__`.

mod tree;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::collections::HashMap;
use tree::{Node, Step};

/// Parameters read; the rest is not looked at.
const PARAMETERS: usize = 1000;
/// Brackets of one key that nest; what follows becomes one literal key, so no input makes deep trees.
const DEPTH: usize = 5;

/// Reads `a[b]=1&c=2` as `{"a": {"b": "1"}, "c": "2"}`. Every input has a meaning, so this cannot fail.
pub(crate) fn parse(text: &str) -> Map<String, Value> {
    if text.is_empty() {
        // Most requests; what follows would look at nothing for a long time.
        return Map::new();
    }
    let mut root = Node::empty_map();
    for (key, leaf) in parameters(text) {
        root.merge(Node::branch(steps(&key), leaf));
    }
    match root.into_json() {
        Value::Object(fields) => fields,
        // Nothing replaces the map at the root: a branch is always merged into it.
        _ => Map::new(),
    }
}

/// The decoded keys in order of their first appearance, each with all its values.
fn parameters(text: &str) -> Vec<(String, Node)> {
    let text = plain_brackets(text);
    let mut values: Vec<(String, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for part in text.split('&').take(PARAMETERS) {
        let (key, value) = split(part);
        let (key, value) = (decode(key), decode(value));
        if key.is_empty() {
            continue;
        }
        let at = *known.entry(key.clone()).or_insert(values.len());
        match values.get_mut(at) {
            Some((_, values)) => values.push(value),
            None => values.push((key, vec![value])),
        }
    }
    // JavaScript looks at keys that are numbers first, which shows when `1[a]=x` and `1=y` are merged.
    values.sort_by_key(|(key, _)| tree::index(key).map_or((true, 0), |index| (false, index)));
    values.into_iter().map(|(key, values)| (key, Node::leaf(values))).collect()
}

/// Clients encode brackets or leave them; both mean the same.
fn plain_brackets(text: &str) -> String {
    text.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]")
}

/// A key in brackets may contain `=`, so `]=` separates before a mere `=` does.
fn split(part: &str) -> (&str, &str) {
    let at = part.find("]=").map(|at| at + 1).or_else(|| part.find('='));
    at.map_or((part, ""), |at| (&part[..at], &part[at + 1..]))
}

/// `+` is a space. Text that is not well encoded throughout stays as it is, which is what JavaScript leaves of it too.
fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    if !is_well_encoded(&text) {
        return text;
    }
    let decoded = percent_decode_str(&text).decode_utf8().map(|decoded| decoded.into_owned());
    decoded.unwrap_or(text)
}

fn is_well_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        let mut is_hex = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_hex() && is_hex()
    })
}

/// Cuts `a[b][0][]` into its steps. Text between brackets is skipped, unbalanced brackets are text.
fn steps(key: &str) -> Vec<Step> {
    let mut brackets = Brackets { key, at: 0 }.peekable();
    let mut steps = Vec::new();
    let parent = brackets.peek().map_or(key, |(start, _)| &key[..*start]);
    if !parent.is_empty() {
        steps.push(Step::key(parent));
    }
    for (_, inner) in brackets.by_ref().take(DEPTH) {
        steps.push(Step::bracketed(inner));
    }
    if let Some((start, _)) = brackets.next() {
        steps.push(Step::key(&key[start..]));
    }
    steps
}

/// The innermost `[...]` of a key, with where each starts and what it holds.
struct Brackets<'a> {
    key: &'a str,
    at: usize,
}

impl<'a> Iterator for Brackets<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.at;
            let close = from + self.key[from..].find(']')?;
            self.at = close + 1;
            if let Some(open) = self.key[from..close].rfind('[') {
                let start = from + open;
                return Some((start, &self.key[start + 1..close]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
