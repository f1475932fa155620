//! Schemas of services, as other nodes know them.

use crate::{command, knows, redis_of, sees_replicas, services::Echo, start};
use rachis::{
    App, Config, Error, ErrorKind, Method, Node, Registration, ServiceExt, ServiceSchemas,
    config::{Linger, Secret},
    schema::Schemas,
};
use rachis_testing as testing;
use rachis_testing::{ThrowawayRedis, eventually};
use serde_json::{Value, json};
use std::time::Duration;

fn person(field: &str) -> Value {
    json!({ "type": "object", "properties": { field: { "type": "string" } }, "required": [field] })
}

fn schemas(field: &str) -> Schemas {
    Schemas::new().record(person(field)).data(Method::Create, person(field))
}

/// An app that serves `people`, each with a `field`.
fn people(field: &str) -> App {
    App::new().register("people", Echo.schemas(schemas(field)))
}

async fn start_version(config: &Config, version: &str, app: App) -> Node {
    start(&Config { version: version.into(), ..config.clone() }, "worker", app).await
}

async fn of(node: &Node, path: &str) -> Option<ServiceSchemas> {
    node.schemas(path).await.unwrap()
}

/// The keys that hold schemas, by their names behind the namespace.
async fn keys(config: &Config) -> Vec<String> {
    let (start, all) = (format!("{}:{{mesh}}:schema", config.namespace), format!("{}:*", config.namespace));
    let keys: Vec<String> = redis::cmd("KEYS").arg(all).query_async(&mut redis_of(config).await).await.unwrap();
    let mut keys: Vec<String> = keys.into_iter().filter(|key| key.starts_with(&start)).collect();
    keys.sort();
    keys
}

/// The key of the only schemas there are.
async fn key_of_schema(config: &Config) -> String {
    let keys = keys(config).await;
    keys.into_iter().find(|key| key.contains("}:schema:")).unwrap()
}

async fn failure(node: &Node, path: &str) -> Error {
    node.schemas(path).await.unwrap_err()
}

#[tokio::test]
async fn a_node_knows_the_schemas_of_others_and_of_its_own_services() {
    let config = testing::config();
    let worker = start_version(&config, "1.4.0", people("name").register("plain", Echo)).await;
    let caller = start(&config, "caller", App::new().register("own", Echo.schemas(schemas("own")))).await;
    knows(&caller, "people").await;
    knows(&caller, "plain").await;
    let found = of(&caller, "people").await.unwrap();
    assert_eq!(*found.schemas, schemas("name"));
    assert_eq!(
        (found.version.as_str(), &found.replicas[..], found.others.len()),
        ("1.4.0", &[worker.id().to_owned()][..], 0)
    );
    assert_eq!(found.hash, of(&worker, "people").await.unwrap().hash);
    assert!(key_of_schema(&config).await.contains(":schema:"));
    assert_eq!(of(&caller, "plain").await, None);
    assert_eq!(of(&caller, "nowhere").await, None);
    let own = of(&caller, "own").await.unwrap();
    assert_eq!((&*own.schemas, &own.replicas[..]), (&schemas("own"), &[caller.id().to_owned()][..]));
}

#[tokio::test]
async fn schemas_of_what_a_node_does_not_publish_stay_with_it() {
    let config = testing::config();
    let described = schemas("name").data("inspect", person("secret")).event("shouted", person("secret"));
    let service = Registration::from(Echo).distributed_methods(["create"]).distributed_events(["created"]);
    let app = App::new()
        .register("people", service.schemas(described))
        .register("hidden", Echo.schemas(schemas("hidden")).local_only());
    let _worker = start(&config, "worker", app).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    assert_eq!(*of(&caller, "people").await.unwrap().schemas, schemas("name"));
    assert_eq!(keys(&config).await.len(), 2, "schemas of the app, and one schema");
}

#[tokio::test]
async fn equal_schemas_of_all_replicas_are_stored_once() {
    let config = testing::config();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(start(&config, "worker", people("name").register("others", Echo.schemas(schemas("name")))).await);
    }
    nodes.push(start(&config, "another", App::new().register("third", Echo.schemas(schemas("name")))).await);
    let caller = start(&config, "caller", App::new()).await;
    sees_replicas(&caller, "people", 3).await;
    knows(&caller, "third").await;
    assert_eq!(of(&caller, "people").await.unwrap().replicas.len(), 3);
    assert_eq!(of(&caller, "third").await.unwrap().schemas, of(&caller, "others").await.unwrap().schemas);
    let names: Vec<String> = keys(&config).await.iter().map(|key| key.split("}:").nth(1).unwrap().to_owned()).collect();
    assert_eq!(names[1..], ["schemas:default/another", "schemas:default/worker"], "{names:?}");
}

#[tokio::test]
async fn of_replicas_with_different_schemas_each_checks_by_its_own_and_the_newest_are_shown() {
    let config = testing::config();
    let old = start_version(&config, "1.0.0", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    let before = of(&caller, "people").await.unwrap();

    let new = start_version(&config, "1.1.0", people("title")).await;
    sees_replicas(&caller, "people", 2).await;
    let both = of(&caller, "people").await.unwrap();
    assert_eq!((&*both.schemas, both.version.as_str()), (&schemas("title"), "1.1.0"));
    assert_eq!(both.replicas, [new.id()]);
    assert_eq!(both.others.len(), 1);
    let other = &both.others[0];
    assert_eq!((other.hash.as_ref(), other.version.as_str()), (Some(&before.hash), "1.0.0"));
    assert_eq!(other.replicas, [old.id()]);

    // One of the first version that comes later is not the newest.
    let late = start_version(&config, "1.0.0", people("name")).await;
    sees_replicas(&caller, "people", 3).await;
    let still = of(&caller, "people").await.unwrap();
    assert_eq!((still.version.as_str(), still.others[0].replicas.len()), ("1.1.0", 2));
    late.shutdown().await.unwrap();

    let mut fits = [0, 0];
    for _ in 0..200 {
        for (index, field) in ["name", "title"].into_iter().enumerate() {
            match caller.service("people").create(json!({ field: "Ada" })).answer().await {
                Ok(_) => fits[index] += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::BadRequest),
            }
        }
        if fits[0] > 0 && fits[1] > 0 {
            break;
        }
    }
    assert!(fits[0] > 0 && fits[1] > 0, "each replica answers by its own: {fits:?}");

    // Rolled back: what no replica has any more is not shown.
    new.shutdown().await.unwrap();
    sees_replicas(&caller, "people", 1).await;
    let after = of(&caller, "people").await.unwrap();
    assert_eq!((after.hash, after.version.as_str(), after.others.len()), (before.hash, "1.0.0", 0));
}

#[tokio::test]
async fn a_replica_without_schemas_beside_one_with_them_is_told_of() {
    let config = testing::config();
    let plain = start_version(&config, "1", App::new().register("people", Echo)).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    assert_eq!(of(&caller, "people").await, None);
    let _new = start_version(&config, "2", people("name")).await;
    sees_replicas(&caller, "people", 2).await;
    let found = of(&caller, "people").await.unwrap();
    assert_eq!((found.version.as_str(), found.others.len(), &found.others[0].hash), ("2", 1, &None));
    assert_eq!(found.others[0].replicas, [plain.id()]);
}

#[tokio::test]
async fn a_path_that_lingers_keeps_its_schemas() {
    let config = Config { linger: Linger::For(Duration::from_secs(30)), ..testing::config() };
    let worker = start(&config, "worker", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    worker.shutdown().await.unwrap();
    sees_replicas(&caller, "people", 0).await;
    let found = of(&caller, "people").await.unwrap();
    assert_eq!((&*found.schemas, found.replicas.len(), found.version.as_str()), (&schemas("name"), 0, ""));
}

#[tokio::test]
async fn a_service_that_is_registered_anew_with_other_schemas_is_known_by_these() {
    let config = testing::config();
    let worker = start(&config, "worker", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    of(&caller, "people").await.unwrap();
    worker.unregister("people").await.unwrap();
    worker.register("people", Echo.schemas(schemas("title"))).await.unwrap();
    eventually("the new ones are known", async || {
        of(&caller, "people").await.is_some_and(|found| *found.schemas == schemas("title"))
    })
    .await;
}

#[tokio::test]
async fn schemas_come_back_after_redis_has_lost_everything() {
    let mut redis = ThrowawayRedis::start().unwrap();
    let config = testing::config_for(&redis.url());
    let _worker = start(&config, "worker", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    let before = keys(&config).await;
    assert_eq!(before.len(), 2, "{before:?}");
    command(&config, &["FLUSHALL"]).await.unwrap();
    eventually("all is there again", async || keys(&config).await == before).await;
    redis.stop();
    redis.launch().unwrap();
    eventually("all is there again", async || {
        let asked = redis::cmd("DBSIZE").query_async::<u64>(&mut redis_of(&config).await).await;
        asked.is_ok() && keys(&config).await == before
    })
    .await;
    let newcomer = start(&config, "newcomer", App::new()).await;
    knows(&newcomer, "people").await;
    assert_eq!(*of(&newcomer, "people").await.unwrap().schemas, schemas("name"));
}

#[tokio::test]
async fn schemas_that_alone_are_lost_are_stored_again_and_told_of_meanwhile() {
    let config = testing::config();
    let _worker = start(&config, "worker", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    let key = key_of_schema(&config).await;
    command(&config, &["DEL", &key]).await.unwrap();
    let error = failure(&caller, "people").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().starts_with("The schemas of 'people' (default/worker) are not in Redis"), "{error}");
    eventually("they are there again", async || caller.schemas("people").await.is_ok()).await;
}

#[tokio::test]
async fn schemas_outlive_those_who_name_them_by_no_more_than_their_time_to_live() {
    let mut config = testing::config();
    config.linger = Linger::For(Duration::ZERO);
    config.heartbeat_interval = Duration::from_millis(100);
    config.ttl = Some(Duration::from_millis(600));
    let caller = start(&config, "caller", App::new()).await;
    let doomed = start(&config, "worker", people("name")).await;
    let heir = start(&config, "worker", people("title")).await;
    knows(&caller, "people").await;
    assert_eq!(keys(&config).await.len(), 3);
    // Without a shutdown: as if it was killed.
    drop(doomed);
    // Longer than the ten TTLs that a key lasts.
    eventually("its schemas are gone", async || keys(&config).await.len() == 2).await;
    let record = format!("{}:{{mesh}}:schemas:default/worker", config.namespace);
    eventually("its manifest is gone", async || {
        let fields: Vec<String> =
            redis::cmd("HKEYS").arg(&record).query_async(&mut redis_of(&config).await).await.unwrap();
        fields.len() == 2
    })
    .await;
    assert_eq!(*of(&caller, "people").await.unwrap().schemas, schemas("title"));
    heir.shutdown().await.unwrap();
    eventually("nothing is left", async || keys(&config).await.is_empty()).await;
}

#[tokio::test]
async fn what_else_stands_in_the_place_of_schemas_is_an_error_that_says_so() {
    let config = testing::config();
    let _worker = start(&config, "worker", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    let key = key_of_schema(&config).await;
    let long = "x".repeat(3_000_000);
    for (text, reason) in [
        (r#"{"record":true}"#, "they are not those of that name, so somebody else writes to this Redis"),
        (long.as_str(), "they have more than 1048576 bytes"),
    ] {
        command(&config, &["SET", &key, text]).await.unwrap();
        let error = failure(&caller, "people").await;
        assert_eq!(error.kind(), ErrorKind::GeneralError);
        assert!(error.message().ends_with(&format!("can not be used: {reason}")), "{error}");
    }
    command(&config, &["DEL", &key]).await.unwrap();
    command(&config, &["LPUSH", &key, "text"]).await.unwrap();
    assert_eq!(failure(&caller, "people").await.kind(), ErrorKind::Unavailable);

    let record = format!("{}:{{mesh}}:schemas:default/worker", config.namespace);
    let garbled: Vec<String> =
        redis::cmd("HKEYS").arg(&record).query_async(&mut redis_of(&config).await).await.unwrap();
    for field in garbled {
        command(&config, &["HSET", &record, &field, "nonsense"]).await.unwrap();
    }
    let newcomer = start(&config, "newcomer", App::new()).await;
    knows(&newcomer, "people").await;
    assert_eq!(of(&newcomer, "people").await, None);
    newcomer.service("people").create(json!({ "name": "Ada" })).await.unwrap();
}

#[tokio::test]
async fn a_mesh_with_a_secret_believes_no_schemas_but_its_own() {
    let mut config = testing::config();
    config.mesh.secret = Some(Secret::from("a secret of the whole mesh"));
    let _worker = start(&config, "worker", people("name")).await;
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    assert_eq!(*of(&caller, "people").await.unwrap().schemas, schemas("name"));

    // The manifest of another app, in the place of this one's: signed, and for another place.
    let _other = start(&config, "other", App::new().register("people", Echo.schemas(schemas("evil")))).await;
    let [from, to] = ["other", "worker"].map(|app| format!("{}:{{mesh}}:schemas:default/{app}", config.namespace));
    let redis = &mut redis_of(&config).await;
    let fields: Vec<(String, Vec<u8>)> = redis::cmd("HGETALL").arg(&from).query_async(redis).await.unwrap();
    let id = fields.iter().find_map(|(field, _)| field.strip_prefix("m:")).unwrap().to_owned();
    redis::cmd("DEL").arg(&to).exec_async(redis).await.unwrap();
    for (field, value) in fields {
        redis::cmd("HSET").arg(&to).arg(field).arg(value).exec_async(redis).await.unwrap();
    }
    let app = format!("{}:{{mesh}}:app:default/worker", config.namespace);
    let replicas: Vec<String> = redis::cmd("HKEYS").arg(&app).query_async(redis).await.unwrap();
    let replica = replicas.into_iter().find(|field| field.starts_with("n:")).unwrap();
    redis::cmd("HSET").arg(&app).arg(replica).arg(format!("people\n/{id}")).exec_async(redis).await.unwrap();
    let newcomer = start(&config, "newcomer", App::new()).await;
    knows(&newcomer, "people").await;
    assert_eq!(of(&newcomer, "people").await, None);
}

#[tokio::test]
async fn a_node_that_announces_no_schemas_as_an_older_one_does_not_is_called_as_ever() {
    let config = testing::config();
    let worker = start(&config, "worker", people("name")).await;
    // As nodes wrote it before there were schemas.
    let app = format!("{}:{{mesh}}:app:default/worker", config.namespace);
    command(&config, &["HSET", &app, &format!("n:{}", worker.id()), "people"]).await.unwrap();
    let caller = start(&config, "caller", App::new()).await;
    knows(&caller, "people").await;
    assert_eq!(of(&caller, "people").await, None);
    caller.service("people").create(json!({ "name": "Ada" })).await.unwrap();
}
