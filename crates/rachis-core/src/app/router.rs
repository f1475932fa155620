//! Finds the service a path means: exact paths first, then `:placeholders`.

use crate::{Params, path::is_pattern};
use rustc_hash::FxHashMap;
use std::{collections::BTreeMap, sync::Arc};

/// Services by path. Copied on every change and read on every call, so reading takes no lock.
#[derive(Clone)]
pub struct Router<T> {
    // Shared names, since a change makes a copy of all.
    exact: FxHashMap<Arc<str>, T>,
    patterns: matchit::Router<Pattern<T>>,
}

#[derive(Clone)]
struct Pattern<T> {
    names: Vec<String>,
    value: T,
}

/// What a path led to, and the values of the placeholders on the way.
#[derive(Debug)]
pub struct Found<T> {
    /// What stands there.
    pub value: T,
    /// The values of placeholders, by name.
    pub route: BTreeMap<String, String>,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Router { exact: FxHashMap::default(), patterns: matchit::Router::new() }
    }
}

impl<T: Clone> Router<T> {
    /// Adds a service. `false` when the path, or one that only names its placeholders differently, is taken.
    pub fn insert(&mut self, path: &str, value: T) -> bool {
        if self.exact.contains_key(path) {
            return false;
        }
        if is_pattern(path) {
            let (route, names) = pattern(path);
            if self.patterns.insert(route, Pattern { names, value: value.clone() }).is_err() {
                return false;
            }
        }
        self.exact.insert(path.into(), value);
        true
    }

    /// Puts a service in the place of the one at `path`, which has no placeholders, or adds it.
    pub fn set(&mut self, path: &str, value: T) {
        self.exact.insert(path.into(), value);
    }

    /// Takes away the service at `path`, which has no placeholders.
    pub fn remove(&mut self, path: &str) -> Option<T> {
        self.exact.remove(path)
    }

    /// The service registered as `path`, placeholders and all; other nodes name it so.
    pub fn named(&self, path: &str) -> Option<T> {
        self.exact.get(path).cloned()
    }

    /// Every service, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values()
    }

    /// The service that `path` (stripped) names.
    pub fn find(&self, path: &str) -> Option<Found<T>> {
        if let Some(value) = self.exact.get(path) {
            return Some(Found { value: value.clone(), route: names(path) });
        }
        let found = self.patterns.at(path).ok()?;
        let values = found.params.iter().map(|(_, value)| value.to_owned());
        Some(Found { value: found.value.value.clone(), route: found.value.names.iter().cloned().zip(values).collect() })
    }
}

/// The placeholders of a path, each as its own value: a client may send a pattern as it stands, and whatever the route
/// restricts must then find nothing, instead of no restriction.
fn names(path: &str) -> BTreeMap<String, String> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix(':'));
    names.map(|name| (name.to_owned(), format!(":{name}"))).collect()
}

/// Tells the service the values of its placeholders. Code may call a service by its pattern and give them in `params`;
/// those are kept. Clients can give none.
pub fn fill_route(params: &mut Params, mut route: BTreeMap<String, String>) {
    let by_pattern = route.iter().all(|(name, value)| value.strip_prefix(':') == Some(name));
    if by_pattern {
        route.append(&mut params.route);
    }
    params.route = route;
}

/// `orgs/:id/users` as matchit writes it. Placeholders are numbered there, since two services may name the same
/// position differently (`orgs/:id/users`, `orgs/:org/notes`), which matchit takes for a conflict.
fn pattern(path: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| match segment.strip_prefix(':') {
            Some(name) => {
                names.push(name.to_owned());
                format!("{{p{}}}", names.len())
            }
            None => segment.to_owned(),
        })
        .collect();
    (segments.join("/"), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(paths: &[&'static str]) -> Router<&'static str> {
        let mut router = Router::default();
        for path in paths {
            assert!(router.insert(path, *path), "{path} was refused");
        }
        router
    }

    #[test]
    fn an_exact_path_wins_over_a_placeholder() {
        let router = router(&["orgs/:id/users", "orgs/main/users"]);
        assert_eq!(router.find("orgs/main/users").unwrap().value, "orgs/main/users");
        let found = router.find("orgs/7/users").unwrap();
        assert_eq!((found.value, found.route["id"].as_str()), ("orgs/:id/users", "7"));
    }

    #[test]
    fn services_may_name_the_same_placeholder_differently() {
        let router = router(&["orgs/:id/users", "orgs/:org/notes"]);
        assert_eq!(router.find("orgs/7/notes").unwrap().route["org"], "7");
    }

    #[test]
    fn a_placeholder_that_nobody_replaced_is_its_own_value() {
        let router = router(&["orgs/:id/users"]);
        assert_eq!(router.find("orgs/:id/users").unwrap().route["id"], ":id");
    }

    #[test]
    fn values_given_by_code_are_kept_only_for_a_call_by_pattern() {
        let route = |value: &str| BTreeMap::from([("id".to_owned(), value.to_owned())]);
        for (found, expected) in [(route(":id"), "given"), (route("7"), "7"), (BTreeMap::new(), "given")] {
            let mut params = Params { route: route("given"), ..Params::default() };
            fill_route(&mut params, found);
            assert_eq!(params.route["id"], expected);
        }
    }

    #[test]
    fn segments_are_compared_exactly() {
        let router = router(&["todos", "orgs/:id/users"]);
        for path in ["Todos", "todos/1", "orgs//users", "orgs/7/users/1", ""] {
            assert!(router.find(path).is_none(), "{path} was found");
        }
    }

    #[test]
    fn a_path_that_differs_only_in_placeholder_names_is_taken() {
        let mut router = router(&["orgs/:id/users"]);
        assert!(!router.insert("orgs/:org/users", "other"));
    }
}
