//! What a call with an idempotency key asks for, and on whose behalf: by that a repeat is known.

use rachis_core::{Call, Descriptor, Params, host::secret::is_secret};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A call that shall run once.
#[derive(Debug, PartialEq)]
pub(crate) struct IdempotentCall {
    /// Names the call. A digest, since credentials go into it.
    pub(super) digest: String,
    /// Tells whether a repeat asks for the same.
    pub(super) fingerprint: String,
    /// `true` if it came in by REST.
    pub(super) rest: bool,
}

impl IdempotentCall {
    /// `None` for a call without a key, and for one that may run twice anyway. `route` is what the path's placeholders
    /// mean, as far as the call does not say it.
    pub(crate) fn of(descriptor: &Descriptor, call: &Call, route: &BTreeMap<String, String>) -> Option<Self> {
        let key = call.params.idempotency_key.as_deref()?;
        if descriptor.is_idempotent(&call.method) {
            return None;
        }
        let params = &call.params;
        let route: BTreeMap<_, _> = route.iter().chain(&params.route).collect();
        let provider = params.provider.as_deref();
        let named = json!([descriptor.path, call.method.name(), call.id, route, provider, caller(params), key]);
        let asked = json!([call.data, params.query]);
        Some(IdempotentCall { digest: digest(named), fingerprint: digest(asked), rest: provider == Some("rest") })
    }
}

/// The identity of the caller: two that differ must never get each other's replies. A user is known by its id, since
/// the rest of its record may change between a call and its repeat; where the credentials were not checked yet, they
/// stand for their holder.
fn caller(params: &Params) -> Value {
    let credentials = params.authentication.as_ref();
    match &params.user {
        Some(user) => {
            let id = user.get("id").or_else(|| user.get("_id")).filter(|id| !id.is_null());
            let strategy = credentials.and_then(|credentials| credentials.get("strategy"));
            json!(["user", id.unwrap_or(user), strategy, params.authenticated])
        }
        None => {
            let secrets: BTreeMap<_, _> = params.headers.iter().filter(|(name, _)| is_secret(name)).collect();
            json!(["credentials", credentials, secrets])
        }
    }
}

/// A digest of JSON that does not depend on the order of keys, which some clients choose anew with every request.
fn digest(mut value: Value) -> String {
    value.sort_all_objects();
    hex::encode(Sha256::digest(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_core::{Id, Method};

    fn descriptor() -> Descriptor {
        let options = serde_json::Map::new();
        Descriptor {
            path: "p".into(),
            methods: Vec::new(),
            events: Vec::new(),
            idempotent: vec!["safe".into()],
            options,
        }
    }

    fn asked(change: impl FnOnce(&mut Call)) -> IdempotentCall {
        let mut call = Call::new("p", Method::Create);
        call.data = json!({ "a": 1, "b": { "c": 2, "d": 3 } });
        call.params.idempotency_key = Some("key".into());
        change(&mut call);
        IdempotentCall::of(&descriptor(), &call, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn only_what_may_not_run_twice_anyway_and_has_a_key_is_meant() {
        let mut call = Call::new("p", Method::Create);
        assert_eq!(IdempotentCall::of(&descriptor(), &call, &BTreeMap::new()), None);
        call.params.idempotency_key = Some("key".into());
        for (method, meant) in [("create", true), ("patch", true), ("pay", true), ("safe", false), ("remove", false)] {
            call.method = method.into();
            assert_eq!(IdempotentCall::of(&descriptor(), &call, &BTreeMap::new()).is_some(), meant, "{method}");
        }
    }

    #[test]
    fn whatever_names_a_call_makes_it_another() {
        let user = |user: Value| move |call: &mut Call| call.params.user = Some(user);
        let calls = [
            asked(|_| {}),
            asked(|call| call.method = Method::Patch),
            asked(|call| call.id = Some(Id::from(1))),
            asked(|call| call.id = Some(Id::from("1"))),
            asked(|call| call.params.idempotency_key = Some("other".into())),
            asked(|call| call.params.provider = Some("rest".into())),
            asked(|call| drop(call.params.route.insert("org".into(), "1".into()))),
            asked(user(json!({ "id": 1 }))),
            asked(user(json!({ "id": 2 }))),
            asked(user(json!({ "_id": 3 }))),
            asked(user(json!({ "name": "a" }))),
            asked(user(json!({ "name": "b" }))),
            asked(|call| call.params.authentication = Some(json!({ "accessToken": "a" }))),
            asked(|call| call.params.authentication = Some(json!({ "accessToken": "b" }))),
            asked(|call| drop(call.params.headers.insert("x-api-key".into(), "a".into()))),
            asked(|call| drop(call.params.headers.insert("x-api-key".into(), "b".into()))),
        ];
        let digests: std::collections::BTreeSet<_> = calls.iter().map(|asked| &asked.digest).collect();
        assert_eq!(digests.len(), calls.len());
        assert!(calls.iter().all(|asked| asked.fingerprint == calls[0].fingerprint));
    }

    #[test]
    fn a_repeat_is_known_by_what_it_asks_for_and_not_by_how_it_is_written() {
        let first = asked(|_| {});
        assert_eq!(first, asked(|call| call.data = json!({ "b": { "d": 3, "c": 2 }, "a": 1 })));
        assert_eq!(first, asked(|call| drop(call.params.headers.insert("x-request-id".into(), "2".into()))));
        let other = asked(|call| call.data = json!({ "a": 2 }));
        assert_eq!(first.digest, other.digest);
        assert_ne!(first.fingerprint, other.fingerprint);
        assert_ne!(first.fingerprint, asked(|call| call.params.query = json!({ "a": 1 }).into()).fingerprint);
    }

    #[test]
    fn a_user_whose_record_changed_is_the_same_user() {
        let user = |seen: u32| asked(move |call| call.params.user = Some(json!({ "id": 1, "seen": seen })));
        assert_eq!(user(1), user(2));
    }

    #[test]
    fn a_placeholder_means_the_same_whoever_filled_it_in() {
        let route = BTreeMap::from([("org".to_owned(), "1".to_owned())]);
        let mut call = Call::new("p", Method::Create);
        call.params.idempotency_key = Some("key".into());
        let here = IdempotentCall::of(&descriptor(), &call, &route);
        call.params.route = route;
        assert_eq!(here, IdempotentCall::of(&descriptor(), &call, &BTreeMap::new()));
    }
}
