//! The fuzz targets of frames and of the registry. This file is a module of rachis-mesh when that is built with
//! `--cfg fuzzing`, as cargo-fuzz does: frames are private to it.

use crate::{
    redis::{
        event_log::Logged,
        registry::{NodeChange, RegistryChange},
    },
    wire::{Announcement, EventFrame, Frame, Question, Reply, Request, Signer, SigningScope, Statement},
};
use rachis_core::{Answer, Call, Descriptor, Event, EventContext, Id, Method, Params, query::Filter};
use serde_json::{Map, Value, json};
use std::{fmt::Debug, time::Duration};

/// A secret of frames.
const SECRET: &str = "correct-horse-battery";

/// Frames: whatever can be read can be written again and then says the same, and is taken in like any other.
pub fn frames(bytes: &[u8]) {
    // As a node with a secret reads them, which refuses almost all of them, and as one without.
    let signed = Signer::new(Some(SECRET), None);
    let _ = (Request::decode(bytes, signed.at("place")), Reply::decode(bytes, signed.at("place")));
    let _ = crate::wire::sender(bytes);
    if let Ok((request, left)) = Request::decode(bytes, open()) {
        let again = request.encode(left, open()).expect("what was read can be written");
        assert_eq!(Request::decode(&again, open()).expect("what was written can be read"), (request.clone(), left));
        let call = request.into_call(false);
        assert!(call.params.from_remote && !call.params.authenticated);
        let _ = Filter::parse(&call.params.query);
    }
    if let Some(reply) = round_trip::<Reply>(bytes)
        && let Err(error) = reply.into_outcome()
    {
        let _ = (error.to_string(), error.to_json());
    }
    if let Some(event) = round_trip::<EventFrame>(bytes) {
        assert!(event.into_event("path").from_remote);
    }
    round_trip::<Question>(bytes);
    if let Some(statement) = round_trip::<Statement>(bytes) {
        let _ = statement.into_outcome();
    }
    round_trip::<Announcement>(bytes);
    round_trip::<Descriptor>(bytes);
}

/// A place where nothing is signed.
fn open() -> SigningScope<'static> {
    static NONE: std::sync::LazyLock<Signer> = std::sync::LazyLock::new(Signer::default);
    NONE.at("")
}

fn round_trip<F: Frame + Clone + Debug + PartialEq>(bytes: &[u8]) -> Option<F> {
    let frame = F::decode(bytes, open()).ok()?;
    let again = frame.encode(open()).expect("what was read can be written");
    assert_eq!(F::decode(&again, open()).as_ref(), Ok(&frame));
    Some(frame)
}

/// What Redis brings beside frames: changes of the registry and messages of event channels.
pub fn registry(bytes: &[u8]) {
    if let Some(news) = RegistryChange::decode(bytes) {
        for (change, next) in news.iter().zip(news.iter().skip(1)) {
            assert!(change.epoch == next.prev && change.epoch < next.epoch, "{news:?}");
        }
        for item in news.into_iter().flat_map(|change| change.items) {
            let services = match item {
                NodeChange::Up(node) => {
                    round_trip::<Announcement>(&node.head);
                    node.services
                }
                NodeChange::Down(_, lingering) => lingering.into_iter().map(|path| path.service).collect(),
            };
            for service in services {
                round_trip::<Descriptor>(&service.descriptor);
            }
        }
    }
    if let Some(logged) = Logged::decode(bytes) {
        let again = [logged.prev.as_bytes(), logged.id.as_bytes(), &logged.frame].join(&b' ');
        assert_eq!(again, bytes);
        round_trip::<EventFrame>(&logged.frame);
    }
}

/// Inputs to begin with, made by what writes the real ones: target, name and bytes.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let frames = frame_seeds().into_iter().map(|(name, frame)| ("frames", name.to_owned(), frame));
    let registry = registry_seeds().into_iter().enumerate().map(|(n, bytes)| ("registry", n.to_string(), bytes));
    frames.chain(registry).collect()
}

fn frame_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut call = Call::new("api/todos", Method::Patch);
    call.id = Some(Id::from(7));
    call.data = json!({ "done": true, "big": u64::MAX, "real": 1.5, "none": null, "list": [[], {}] });
    call.params = Params::default().with_query(json!({ "$select": ["id"] })).with_user(json!({ "id": 1 }));
    call.params.provider = Some("rest".into());
    call.params.headers.insert("x-a".into(), "b".into());
    let request = Request::new(42, "node", Box::new(call));
    let answer = Answer { result: json!([1]), dispatch: Some(Value::Null), ..Answer::default() };
    let error = rachis_core::Error::conflict("taken").with_data(json!(["a"])).with_errors(json!({ "f": 1 }));
    let context = EventContext {
        method: Method::Create,
        id: Some(Id::from("x")),
        query: json!({ "a": 1 }),
        route: Default::default(),
        provider: Some("socketio".into()),
        user: Some(json!({ "id": 1 })),
        data: Some(json!({ "text": "x" })),
    };
    let event = Event {
        path: "api/todos".into(),
        name: "created".into(),
        data: json!({ "id": 1 }),
        context: Some(context),
        from_remote: false,
    };
    let frames = [
        ("request", request.encode(Duration::from_secs(20), open())),
        ("answer", Reply::new(1, Ok(answer)).encode(open())),
        ("failure", Reply::new(2, Err(error)).encode(open())),
        ("event", EventFrame::new("node", "default/app", 3, &event).encode(open())),
        ("announcement", announcement().encode(open())),
        ("descriptor", descriptor().encode(open())),
    ];
    frames.into_iter().filter_map(|(name, frame)| Some((name, frame.ok()?))).collect()
}

fn announcement() -> Announcement {
    Announcement {
        key: "default".into(),
        app: "app".into(),
        version: "1.2.3".into(),
        host: "host".into(),
        pid: 7,
        started: 1_700_000_000_000,
        linger: Some(60_000),
        partitions: 4,
    }
}

fn descriptor() -> Descriptor {
    Descriptor {
        path: "api/todos".into(),
        methods: vec![Method::Find, Method::custom("archive")],
        events: vec!["created".into()],
        idempotent: vec![Method::custom("archive")],
        options: Map::from_iter([("doc".to_owned(), json!({ "a": [1] }))]),
    }
}

/// A change in the form in which the scripts pack it, and a message of an event channel.
fn registry_seeds() -> Vec<Vec<u8>> {
    let bytes = |text: &str| serde_bytes::ByteBuf::from(text);
    let frame = |frame: rachis_core::Result<Vec<u8>>| serde_bytes::ByteBuf::from(frame.unwrap_or_default());
    let fields = vec![
        bytes("app"),
        bytes("default/app"),
        bytes("head"),
        frame(announcement().encode(open())),
        bytes("state"),
        bytes("up"),
        bytes("s:api/todos"),
        frame(descriptor().encode(open())),
        bytes("t:api/todos"),
        bytes("1700000000000"),
    ];
    let left = [fields[..2].to_vec(), fields[6..].to_vec(), vec![bytes("e:api/todos"), bytes("inf")]].concat();
    let items = vec![("node-up", "a", fields), ("node-down", "b", left)];
    let change = rmp_serde::to_vec(&(1u64, 1_700_000_000_000u64, items)).unwrap_or_default();
    let event = frame_seeds().into_iter().find(|(name, _)| *name == "event").map(|(_, frame)| frame);
    vec![change, [b"0-0 1700000000000-0 ".to_vec(), event.unwrap_or_default()].concat()]
}
