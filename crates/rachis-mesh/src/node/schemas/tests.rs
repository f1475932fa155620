use super::{
    hash_of,
    own::{id_of, place_of},
};
use crate::{
    redis::{
        keys::Keys,
        registry::{Announced, Linger, Registry, schemas::Named},
    },
    wire::{Announcement, Frame, Manifest, Signer},
};
use rachis_core::{Descriptor, Method, STANDARD_EVENTS};
use rachis_testing::ThrowawayRedis;
use redis::aio::MultiplexedConnection;
use serde_bytes::ByteArray;
use std::{collections::BTreeMap, time::Duration};

const NODES: usize = 1_000;
const TTL: Duration = Duration::from_secs(6);
const LINGER: Linger = Linger::For(Duration::from_secs(60));

fn paths() -> impl Iterator<Item = String> {
    (0..5).map(|n| format!("api/service-{n:03}"))
}

/// Registers the nodes of so many apps, and returns what each kind of key takes.
async fn filled(apps: usize, signer: &Signer, described: bool) -> BTreeMap<&'static str, u64> {
    let redis = ThrowawayRedis::start().unwrap();
    let mut on = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let keys = Keys::new("rachis");
    for number in 0..NODES {
        register(&mut on, &keys, signer, &format!("app-{}", number % apps), described).await;
    }
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut on).await.unwrap();
    let mut bytes = BTreeMap::new();
    for name in names {
        let mut ask = redis::cmd("MEMORY");
        let size: u64 = ask.arg(&["USAGE", &name, "SAMPLES", "0"]).query_async(&mut on).await.unwrap();
        let kind = if name.contains("}:schema:") { "schemas" } else { "registry" };
        *bytes.entry(kind).or_default() += size;
    }
    bytes
}

async fn register(on: &mut MultiplexedConnection, keys: &Keys, signer: &Signer, name: &str, described: bool) {
    let id = ulid::Ulid::generate().to_string();
    let app = format!("default/{name}");
    let registry = Registry::new(keys.clone(), &id, &app, TTL, LINGER);
    let head = Announcement {
        key: "default".into(),
        app: name.into(),
        version: "1.4.0".into(),
        host: format!("{name}-7d4b9c6f5-x2x2x"),
        pid: 1,
        started: 1_796_071_613_000,
        linger: Some(60_000),
        partitions: 1,
    };
    let services = paths().map(|path| {
        let mut descriptor = Descriptor::new(Method::STANDARD.iter().cloned());
        descriptor.path.clone_from(&path);
        descriptor.events = STANDARD_EVENTS.iter().map(|event| (*event).to_owned()).collect();
        (path.clone(), descriptor.encode(signer.at(&format!("{}/{path}", keys.app(&app)))).unwrap())
    });
    let mut what = Announced {
        head: head.encode(signer.at(&keys.node(&id))).unwrap(),
        state: "up".into(),
        services: services.collect(),
        schemas: String::new(),
    };
    if described {
        let texts: Vec<Vec<u8>> =
            paths().map(|path| format!("{name} {path} {}", "x".repeat(1500)).into_bytes()).collect();
        let hashes = texts.iter().map(|text| hash_of(text));
        let manifest =
            Manifest { services: paths().zip(hashes).map(|(path, hash)| (path, ByteArray::new(hash))).collect() };
        let schemas = texts.iter().map(|text| hex::encode(hash_of(text))).collect();
        what.schemas = id_of(&manifest);
        let frame = manifest.encode(signer.at(&place_of(keys, &app, &what.schemas))).unwrap();
        let named = Named { manifest: what.schemas.clone(), schemas };
        assert!(registry.describe(on, &named, &frame, |number| &texts[number]).await.unwrap());
    }
    registry.register(on, &what).await.unwrap();
}

#[tokio::test]
async fn a_registry_of_a_thousand_nodes_grows_by_two_percent_at_most() {
    let secret = Signer::new(Some("a secret of the whole mesh"), None);
    // An app has one manifest, however many replicas: of few of them it is a greater part.
    for (apps, signer, most) in [
        (10, Signer::default(), 2.0),
        (10, secret, 2.0),
        (100, Signer::default(), 3.0),
        (NODES, Signer::default(), 20.0),
    ] {
        let before = filled(apps, &signer, false).await["registry"];
        let after = filled(apps, &signer, true).await;
        let growth = (after["registry"] as f64 / before as f64 - 1.0) * 100.0;
        println!(
            "figure: {NODES} nodes of {apps} apps with 5 services, {signer:?}: {before} B, with schemas {} B ({growth:.2} % \
             more), and {} B for {} schemas of 1.5 KB",
            after["registry"],
            after["schemas"],
            apps * 5,
        );
        assert!(growth <= most, "{growth} %");
    }
}
