//! What the fuzz targets of `fuzz/` run: each takes any input at all and panics where a promise is broken. Only built
//! with `--cfg fuzzing`, as cargo-fuzz does.

use crate::{
    redis::{
        event_log::Logged,
        registry::{NodeChange, RegistryChange},
    },
    wire::{Announcement, EventFrame, Frame, Reply, Request, Signer, SigningScope},
};
use rachis_config::Config;
use rachis_core::{Answer, Call, Descriptor, Event, EventContext, Id, Method, Params, Query, query::Filter};
use serde_json::{Map, Value, json};
use std::{fmt::Debug, time::Duration};

/// A secret that no message may quote.
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

/// Queries as other nodes and Socket.IO clients send them: any JSON.
pub fn filters(text: &str) {
    if let Ok(query) = serde_json::from_str::<Map<String, Value>>(text) {
        answer(&query.into());
    }
}

/// Runs a query over records and holds the answers against each other.
pub fn answer(query: &Query) {
    let Ok(filter) = Filter::parse(query) else { return };
    let records = records();
    let all = || records.iter().filter_map(Value::as_object);
    let matching = all().filter(|record| filter.matches(record)).count();
    for limit in [filter.limit(), Some(1), None] {
        let found = filter.find(all(), limit);
        assert_eq!(found.total, matching);
        assert_eq!(found.records, filter.first(all(), limit));
        let wanted = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        assert_eq!(found.records.len(), matching.saturating_sub(filter.skip()).min(wanted));
        for record in found.records {
            let _ = filter.select().pick(record, "id");
        }
    }
}

fn records() -> [Value; 4] {
    [
        json!({ "id": 1, "name": "Ada", "age": 36, "tags": ["a", "b"], "address": { "city": "London", "zip": [1, 2] } }),
        json!({ "id": 2, "name": "Bo", "age": 7.5, "tags": [], "a": [{ "b": 1 }, { "b": [null] }], "done": true }),
        json!({ "id": 3, "name": null, "age": -1, "a": { "b": { "c": { "d": "x" } } }, "done": false }),
        json!({ "id": u64::MAX, "": "", "0": [[0]], "age": "36" }),
    ]
}

/// A configuration file: read, or refused with a message that quotes no secret.
pub fn config_toml(text: &str) {
    // A text with a table of that name may not have its keys in front as well.
    let secret = if text.contains("redis") { String::new() } else { format!("redis.password = \"{SECRET}\"\n") };
    check_config(Config::from_toml(&(secret + text)));
}

/// An environment, one `NAME=value` a line. Names that end in `_FILE` are left out: their values are paths, and no
/// fuzzer shall open those.
pub fn config_env(text: &str) {
    let secret = ("REDIS_PASSWORD", SECRET);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let variables = lines.filter(|(name, _)| !name.ends_with("_FILE") && *name != secret.0);
    check_config(Config::loader().env(variables.chain([secret])).load());
}

fn check_config(outcome: Result<Config, rachis_config::ConfigError>) {
    let said = match outcome {
        Ok(config) => {
            let _ = (config.app_name(), config.ttl(), config.events_of("a/b"), config.methods_of("a/b"));
            format!("{config:?} {}", serde_json::to_string(&config).expect("a configuration can be written"))
        }
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!said.contains(SECRET), "{said}");
}

/// Inputs to begin with, made by what writes the real ones: target, name and bytes.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, frame) in frame_seeds() {
        seeds.push(("frames", name.to_owned(), frame));
    }
    seeds.extend(registry_seeds().into_iter().enumerate().map(|(n, bytes)| ("registry", n.to_string(), bytes)));
    for (target, texts) in TEXT_SEEDS {
        seeds.extend(texts.iter().enumerate().map(|(n, text)| (*target, n.to_string(), text.as_bytes().to_vec())));
    }
    let file = include_str!("../../../config/distribution.example.toml");
    seeds.push(("config_toml", "example".into(), file.into()));
    let names = rachis_config::ENV.iter().map(|row| format!("{}=5\n", row.name)).collect::<String>();
    seeds.push(("config_env", "names".into(), names.into()));
    seeds
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

/// Inputs that are text.
const TEXT_SEEDS: &[(&str, &[&str])] = &[
    (
        "query_strings",
        &[
            "name=Ada&age[$gte]=18&$sort[age]=-1&$limit=2&$skip=1&$select[]=name",
            "$or[0][age][$lt]=40&$or[1][name]=Bo&tags=a&tags=b&address.city=London",
            "a[b]=1&a[c][d][]=2&a[5]=x&a=y&1=z&a[1000]=q&%5B%5D=%e2%82%ac&__proto__[x]=1",
        ],
    ),
    (
        "filters",
        &[
            r#"{"name":"Ada","age":{"$gte":18,"$ne":null},"$sort":{"age":-1},"$limit":2,"$skip":"1"}"#,
            r#"{"$or":[{"age":{"$lt":40}},{"$and":[{"tags":{"$in":["a",null]}},{"a.b":{"$nin":[1]}}]}],"$select":["name"]}"#,
            r#"{"tags.0":"a","0.0.0":0,"":"","a.b.c.d":"x","address.zip":[1,2],"done":{"$lte":true}}"#,
        ],
    ),
    (
        "config_toml",
        &[
            "key = \"k\"\nheartbeat_interval = \"2s\"\ntimeout = \"500ms\"\n[limits]\nmax_in_flight = 8\nmax_payload = \"1MB\"",
            "[redis]\nurl = \"rediss://ada:secret@redis:6379/1\"\n[gateway]\nlisten = \"127.0.0.1:0\"\ncors_origins = [\"*\"]",
            "[service.\"api/todos\"]\nevents = [\"created\"]\nmethods = false\n[gateway.channels]\npublish = \"everyone\"",
        ],
    ),
    (
        "config_env",
        &[
            "REDIS_URL=redis://u:p@h:1/2\nPORT=8080\nHEARTBEAT_INTERVAL=2000\nDISTRIBUTION_KEY=a",
            "DISTRIBUTION__LIMITS__MAX_IN_FLIGHT=8\nDISTRIBUTION__SERVICES=api/*,users\nRUST_LOG=debug\nCOTE_LOG=1",
            "DISTRIBUTION__GATEWAY__CORS_ORIGINS=[\"a\", \"b\"]\nBASE_PORT=1\nDISTRIBUTION__A__B__C__D=1",
        ],
    ),
];
