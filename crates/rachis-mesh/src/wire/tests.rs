//! Frames there and back, and what is no frame.

use super::*;
use proptest::prelude::*;
use rachis_core::{Call, ErrorKind, Params};
use serde_json::{Map, json};
use std::{net::IpAddr, time::Duration};

/// A place where nothing is signed.
fn open() -> SigningScope<'static> {
    static NONE: std::sync::LazyLock<Signer> = std::sync::LazyLock::new(Signer::default);
    NONE.at("")
}

fn request() -> Request {
    let mut call = Call::new("api/todos", Method::Patch);
    call.id = Some(Id::from(7));
    call.data = json!({"done": true, "big": u64::MAX, "real": 1.5, "none": null});
    call.params = Params::default().with_query(json!({"$select": ["id"]})).with_user(json!({"id": 1}));
    call.params.provider = Some("rest".into());
    call.params.authenticated = true;
    call.params.idempotency_key = Some("order-17".into());
    Request::new(42, "node", Box::new(call))
}

#[test]
fn a_request_survives_the_trip() {
    let frame = request().encode(Duration::from_secs(20), open()).unwrap();
    assert_eq!(Request::decode(&frame, open()).unwrap(), (request(), Duration::from_secs(20)));
}

#[test]
fn a_request_is_an_array_of_its_fields_and_may_lack_the_last() {
    let data = json!({"done": true, "big": u64::MAX, "real": 1.5, "none": null});
    let none = BTreeMap::<String, String>::new();
    let query = json!({"$select": ["id"]});
    let user = json!({"id": 1});
    let params = (&query, "rest", &none, &none, &user, (), true, &none);
    let head = [VERSION, REQUEST, 0, 0, 0, 0];
    let frame = |params: Vec<u8>| {
        let fields = rmp_serde::to_vec(&(42, "node", 0, "api/todos", "patch", 7, &data)).unwrap();
        [&head[..], &[0x98], &fields[1..], &params].concat()
    };
    let without_key = frame(rmp_serde::to_vec(&params).unwrap());
    let (query, provider, headers, route, user, credentials, authenticated, extra) = params;
    let params = (query, provider, headers, route, user, credentials, authenticated, extra, "order-17");
    let with_key = frame(rmp_serde::to_vec(&params).unwrap());
    assert_eq!(request().encode(Duration::ZERO, open()).unwrap(), with_key);
    let (read, _) = Request::decode(&without_key, open()).unwrap();
    assert_eq!(read.call.params.idempotency_key, None);
}

/// A request as nodes read it that know no addresses of clients, and no further fields.
type Earlier = (u64, String, u8, String, Method, Option<Id>, Value, EarlierParams);
type EarlierParams = (
    Value,
    Option<String>,
    BTreeMap<String, String>,
    BTreeMap<String, String>,
    Option<Value>,
    Option<Value>,
    bool,
    Map<String, Value>,
    Option<String>,
);

#[test]
fn the_address_of_a_client_is_read_by_nodes_that_know_of_it_and_in_nobodys_way() {
    let mut sent = request();
    sent.call.params.headers =
        [("host", "a"), (":ip", "6.6.6.6")].map(|(name, value)| (name.into(), value.into())).into();
    let headers_of = |frame: &[u8]| {
        let read: Earlier = rmp_serde::from_slice(&frame[TIME_LEFT.end..]).unwrap();
        read.7.2
    };
    for (ip, shown) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")] {
        sent.call.params = sent.call.params.clone().with_ip(ip.parse::<IpAddr>().unwrap());
        let frame = sent.encode(Duration::ZERO, open()).unwrap();
        let (read, _) = Request::decode(&frame, open()).unwrap();
        assert_eq!(read.call.params.ip(), Some(ip.parse().unwrap()));
        assert_eq!(read.call.params.headers, BTreeMap::from([("host".into(), "a".into())]));
        assert_eq!(headers_of(&frame), BTreeMap::from([("host".into(), "a".into()), (":ip".into(), shown.into())]));
    }
    // What code calls has none, and is written as ever.
    let frame = request().encode(Duration::ZERO, open()).unwrap();
    assert_eq!(headers_of(&frame), request().call.params.headers);
    let (read, _) = Request::decode(&frame, open()).unwrap();
    assert_eq!(read.call.params.ip(), None);
}

#[test]
fn params_of_later_nodes_may_have_more_fields() {
    let frame = request().encode(Duration::ZERO, open()).unwrap();
    let (id, from, hops, path, method, record, data, params): Earlier =
        rmp_serde::from_slice(&frame[TIME_LEFT.end..]).unwrap();
    let (query, provider, headers, route, user, credentials, authenticated, extra, key) = params;
    let params =
        (query, provider, headers, route, user, credentials, authenticated, extra, key, "more", json!({ "a": 1 }));
    let mut later = frame[..TIME_LEFT.end].to_vec();
    later.extend(rmp_serde::to_vec(&(id, from, hops, path, method, record, data, params)).unwrap());
    assert_eq!(Request::decode(&later, open()).unwrap().0, request());
}

fn announcement(partitions: usize) -> Announcement {
    let key = "default".to_owned();
    let app = "shop".to_owned();
    let version = "1.0".to_owned();
    let host = "host".to_owned();
    Announcement { key, app, version, host, pid: 7, started: 8, linger: None, partitions }
}

#[test]
fn one_partition_is_said_as_by_nodes_that_know_no_others() {
    let before = ("default", "shop", "1.0", "host", 7, 8, Value::Null);
    let before = [vec![VERSION, b'A'], rmp_serde::to_vec(&before).unwrap()].concat();
    assert_eq!(announcement(1).encode(open()).unwrap(), before);
    assert_eq!(Announcement::decode(&before, open()).unwrap(), announcement(1));
    let frame = announcement(4).encode(open()).unwrap();
    assert_eq!(Announcement::decode(&frame, open()).unwrap(), announcement(4));

    let before = [vec![VERSION, b'H'], rmp_serde::to_vec(&("5-1",)).unwrap()].concat();
    let note = |partition| Handoff { entry: "5-1".into(), partition };
    assert_eq!(note(0).encode(open()).unwrap(), before);
    assert_eq!(Handoff::decode(&before, open()).unwrap(), note(0));
    assert_eq!(Handoff::decode(&note(3).encode(open()).unwrap(), open()).unwrap(), note(3));
}

#[test]
fn a_request_says_that_it_is_remote_and_loses_a_mark_that_is_not_trusted() {
    let call = request().into_call(false);
    assert!(call.params.from_remote && !call.params.authenticated);
    assert_eq!(call.params.idempotency_key.as_deref(), Some("order-17"));
    assert!(request().into_call(true).params.authenticated);
}

#[test]
fn a_request_without_secrets_can_still_be_made() {
    let mut call = Call::new("users", Method::Create);
    call.data = json!({ "password": "needed" });
    call.params = Params::default()
        .with_user(json!({ "id": 1, "passwordHash": "hunter2" }))
        .with_authentication(json!({ "strategy": "jwt", "accessToken": "hunter2" }));
    for name in ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-csrf-token"] {
        call.params.headers.insert(name.into(), "hunter2".into());
    }
    call.params.headers.insert("accept-language".into(), "fi".into());
    call.params.extra = Map::from_iter([("apiKey".into(), "hunter2".into()), ("tenant".into(), 7.into())]);
    let request = Request::new(1, "node", Box::new(call)).without_secrets();
    let frame = request.encode(Duration::ZERO, open()).unwrap();
    assert!(!String::from_utf8_lossy(&frame).contains("hunter2"));
    let call = request.into_call(true);
    assert_eq!(call.data, json!({ "password": "needed" }));
    assert_eq!((call.params.user, call.params.extra["tenant"].as_u64()), (Some(json!({ "id": 1 })), Some(7)));
    assert_eq!(call.params.headers.keys().collect::<Vec<_>>(), ["accept-language"]);
}

#[test]
fn the_time_left_is_written_anew_when_a_request_had_to_wait() {
    let mut frame = request().encode(Duration::from_secs(20), open()).unwrap();
    stamp(&mut frame, Duration::from_millis(1500));
    assert_eq!(Request::decode(&frame, open()).unwrap().1, Duration::from_millis(1500));
}

#[test]
fn the_front_of_a_request_tells_whose_it_is() {
    for id in [0, 5, 127, 128, 255, 256, 38_917, 65_536, u64::MAX] {
        let frame = Request { id, ..request() }.encode(Duration::from_secs(20), open()).unwrap();
        let expected = Some((id, "node".to_owned()));
        assert_eq!((sender(&frame), sender(&frame[..24])), (expected.clone(), expected), "{id}");
    }
    let reply = Reply::new(1, Err(Error::general(""))).encode(open()).unwrap();
    assert_eq!((sender(&reply), sender(b""), sender(&[VERSION, REQUEST, 0, 0, 0, 0])), (None, None, None));
}

#[test]
fn an_answer_keeps_its_external_view_and_its_http_metadata() {
    let http = Http { status: Some(202), location: Some("/x".into()), ..Http::default() };
    let answer = Answer { result: json!([1]), dispatch: Some(json!({"a": null})), http };
    let reply = Reply::decode(&Reply::new(1, Ok(answer.clone())).encode(open()).unwrap(), open()).unwrap();
    assert_eq!(reply.into_outcome(), Ok(answer));
}

#[test]
fn a_dispatch_of_null_is_not_lost_on_the_way() {
    let answer = Answer { result: json!({"secret": 1}), dispatch: Some(Value::Null), http: Http::default() };
    let reply = Reply::decode(&Reply::new(1, Ok(answer.clone())).encode(open()).unwrap(), open()).unwrap();
    assert_eq!(reply.into_outcome(), Ok(answer));
}

#[test]
fn a_failure_keeps_class_data_and_errors() {
    let error = Error::conflict("array data").with_data(json!(["a"])).with_errors(json!({"f": 1}));
    let reply = Reply::decode(&Reply::new(1, Err(error.clone())).encode(open()).unwrap(), open()).unwrap();
    assert_eq!(reply.into_outcome(), Err(error));
}

#[test]
fn a_frame_of_a_newer_version_is_refused_with_both_versions_named() {
    let mut frame = request().encode(Duration::ZERO, open()).unwrap();
    frame[0] = VERSION + 1;
    let error = Request::decode(&frame, open()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAcceptable);
    assert!(error.message().contains("version 2") && error.message().contains("version 1"), "{error}");
}

#[test]
fn an_error_about_a_frame_quotes_nothing_of_it() {
    let frame = |head: &[u8], body: Vec<u8>| [head, &body].concat();
    let reply = rmp_serde::to_vec(&(1, json!({ "hunter2": [] }))).unwrap();
    let error = Reply::decode(&frame(&[VERSION, Reply::KIND], reply), open()).unwrap_err();
    assert_eq!(error.message(), "The frame is damaged: it holds something else than belongs there");
    let request = rmp_serde::to_vec(&("hunter2", "hunter2")).unwrap();
    let error = Request::decode(&frame(&[VERSION, REQUEST, 0, 0, 0, 0], request), open()).unwrap_err();
    assert!(!error.message().contains("hunter2"), "{error}");
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes, open());
        let _ = sender(&bytes);
            let _ = Reply::decode(&bytes, open());
        let _ = EventFrame::decode(&bytes, open());
        for kind in [REQUEST, Reply::KIND] {
            let mut headed = vec![VERSION, kind];
            headed.extend(&bytes);
            let _ = Request::decode(&headed, open());
            let _ = Reply::decode(&headed, open());
        }
    }

    #[test]
    fn a_frame_cut_short_is_an_error(cut in 0usize..100) {
        let frame = request().encode(Duration::ZERO, open()).unwrap();
        prop_assume!(cut < frame.len());
        prop_assert!(Request::decode(&frame[..cut], open()).is_err());
    }
}

#[test]
fn bytes_after_the_end_of_a_frame_are_refused() {
    let frame = request().encode(Duration::ZERO, open()).unwrap();
    let reply = Reply::new(1, Ok(json!([1, "a"]).into())).encode(open()).unwrap();
    for byte in 0..=u8::MAX {
        for more in [&[byte][..], &[byte, byte], &[byte; 40]] {
            let error = Request::decode(&[&frame, more].concat(), open()).unwrap_err();
            assert!(error.message().contains("goes on after its end"), "{byte:#x}: {error}");
            assert!(Reply::decode(&[&reply, more].concat(), open()).is_err(), "{byte:#x}");
        }
    }
}

mod signed {
    use super::*;

    const STREAM: &str = "ns:{app:default/todos}:calls";

    fn signer(secret: &str) -> Signer {
        Signer::new(Some(secret), None)
    }

    #[test]
    fn signed_frames_survive_the_trip_and_say_how_long_they_count() {
        let signer = signer("secret");
        let place = signer.at(STREAM).until(1234);
        let mut frame = request().encode(Duration::from_secs(20), place).unwrap();
        stamp(&mut frame, Duration::from_secs(3));
        assert_eq!(Request::decode(&frame, signer.at(STREAM)).unwrap(), (request(), Duration::from_secs(3)));
        assert!(sender(&frame).is_some() && is_signed(&frame));
        assert_eq!(until(&frame), 1234);

        let reply = Reply::new(1, Ok(json!(null).into()));
        let frame = reply.encode(signer.at("inbox")).unwrap();
        assert_eq!((Reply::decode(&frame, signer.at("inbox")).unwrap(), until(&frame)), (reply.clone(), u64::MAX));
        assert!(sender(&frame).is_none());
        assert_eq!(until(&reply.encode(open()).unwrap()), u64::MAX);
    }

    #[test]
    fn without_a_secret_not_a_byte_is_added() {
        let plain = request().encode(Duration::ZERO, open()).unwrap();
        let signer = signer("secret");
        let signed = request().encode(Duration::ZERO, signer.at("")).unwrap();
        assert_eq!((plain[1], signed[1], signed.len() - plain.len()), (b'Q', b'q', 40));
    }

    #[test]
    fn a_node_without_the_secret_is_told_what_to_do() {
        let frame = request().encode(Duration::ZERO, signer("secret").at(STREAM)).unwrap();
        let error = Request::decode(&frame, open()).unwrap_err();
        assert!(error.message().contains("this mesh signs its frames: set mesh.secret"), "{error}");
    }

    #[test]
    fn a_frame_without_a_signature_is_refused_and_its_place_named() {
        let frame = request().encode(Duration::ZERO, open()).unwrap();
        let error = Request::decode(&frame, signer("secret").at(STREAM)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAuthenticated);
        assert!(error.message().contains(STREAM) && error.message().contains("not signed"), "{error}");
    }

    #[test]
    fn while_the_secret_is_changed_both_are_believed() {
        let old = signer("old");
        let new = Signer::new(Some("new"), Some("old"));
        let by_old = request().encode(Duration::ZERO, old.at(STREAM)).unwrap();
        let by_new = request().encode(Duration::ZERO, new.at(STREAM)).unwrap();
        assert!(Request::decode(&by_old, new.at(STREAM)).is_ok() && Request::decode(&by_new, new.at(STREAM)).is_ok());
        assert!(Request::decode(&by_new, old.at(STREAM)).is_err());
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let signer = signer("hunter2");
        assert!(!format!("{signer:?} {:?}", signer.at("x")).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn a_frame_that_was_changed_anywhere_but_in_the_time_left_is_refused(at in 0usize..400, bit in 0u8..8) {
            let signer = signer("secret");
            let mut frame = request().encode(Duration::from_secs(1), signer.at(STREAM)).unwrap();
            let at = at % frame.len();
            frame[at] ^= 1 << bit;
            prop_assert_eq!(Request::decode(&frame, signer.at(STREAM)).is_ok(), TIME_LEFT.contains(&at));
        }

        #[test]
        fn a_frame_is_good_in_its_own_place_only(place in "[a-z:{}/]{0,40}") {
            prop_assume!(place != STREAM);
            let signer = signer("secret");
            let frame = request().encode(Duration::ZERO, signer.at(STREAM)).unwrap();
            prop_assert!(Request::decode(&frame, signer.at(&place)).is_err());
        }

        #[test]
        fn a_signed_frame_cut_short_or_made_longer_is_refused(cut in 0usize..400, more in any::<u8>()) {
            let signer = signer("secret");
            let mut frame = request().encode(Duration::ZERO, signer.at(STREAM)).unwrap();
            prop_assert!(Request::decode(&frame[..cut % frame.len()], signer.at(STREAM)).is_err());
            frame.push(more);
            prop_assert!(Request::decode(&frame, signer.at(STREAM)).is_err());
        }

        #[test]
        fn garbage_with_a_signed_header_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let signer = signer("secret");
            for kind in *b"qread" {
                let frame = [&[VERSION, kind], &bytes[..]].concat();
                let _ = until(&frame);
                prop_assert!(Request::decode(&frame, signer.at(STREAM)).is_err());
                prop_assert!(Reply::decode(&frame, signer.at(STREAM)).is_err());
            }
        }
    }
}

#[test]
fn what_is_nested_too_deep_is_neither_written_nor_read() {
    fn nested(depth: usize) -> Value {
        (0..depth)
            .fold(json!(1), |inner, _| if depth.is_multiple_of(2) { json!([inner]) } else { json!({ "a": inner }) })
    }
    let signer = Signer::default();
    let scope = signer.at("");
    let call = |data: Value| Request::new(1, "a", Box::new(Call { data, ..Call::new("todos", Method::Create) }));
    for depth in [127, 128] {
        let request = call(nested(depth)).encode(Duration::ZERO, scope).unwrap();
        assert_eq!(Request::decode(&request, scope).unwrap().0.call.data, nested(depth));
        let reply = Reply::new(1, Ok(Answer::from(nested(depth)))).encode(scope).unwrap();
        assert_eq!(Reply::decode(&reply, scope).unwrap().into_outcome().unwrap().result, nested(depth));
    }
    for depth in [129, 1000] {
        let request = call(nested(depth)).encode(Duration::ZERO, scope).unwrap_err();
        let reply = Reply::new(1, Ok(Answer::from(nested(depth)))).encode(scope).unwrap_err();
        let event = Event { data: nested(depth), ..Event::resync("todos") };
        let event = EventFrame::new("a", "b/c", 1, &event).encode(scope).unwrap_err();
        assert_eq!(request.message(), "The call is nested deeper than 128, and no node would read it");
        assert_eq!((request.code(), reply.code(), event.code()), (400, 500, 500));
        assert_eq!(reply.message(), "The reply is nested deeper than 128, and no node would read it");
    }
    // As a program of another origin may write it: a request whose data is so many lists, each in the one before.
    for depth in [200, 100_000] {
        let mut frame = call(json!([])).encode(Duration::ZERO, scope).unwrap();
        let at = frame.iter().rposition(|byte| *byte == 0x90).unwrap();
        frame.splice(at..at, vec![0x91; depth]);
        let error = Request::decode(&frame, scope).unwrap_err();
        assert!(error.message().starts_with("The frame is damaged: "), "{error}");
    }
}
