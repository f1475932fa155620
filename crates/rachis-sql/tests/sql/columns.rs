//! What the columns of each database hold.

use crate::stores::{Keeper, mariadb, postgres, run, sqlite, table};
use rachis::{
    App, Handle,
    sql::{Dialect, Pool, SqlService},
};
use serde_json::{Value, json};

async fn service(pool: &Pool, columns: &str) -> Handle {
    let name = table(pool, columns).await;
    App::new().register("things", SqlService::new(pool, &name).multi(true)).service("things")
}

/// Everything that is given comes back, is found by itself, and sorts.
async fn holds(things: &Handle, record: Value) {
    let made = things.create(&record).await.unwrap();
    for (name, value) in record.as_object().unwrap() {
        assert_eq!(made[name], *value, "{name}");
        if !value.is_object() {
            let found = things.find().query(json!({ name: value })).await.unwrap();
            assert_eq!(found, json!([made]), "{name}");
        }
        things.find().query(json!({ "$sort": { name: -1 } })).await.unwrap();
    }
    assert_eq!(things.patch(made["id"].to_string().trim_matches('"'), record).await.unwrap(), made);
}

async fn refuses(things: &Handle, field: &str, values: &[Value]) {
    for value in values {
        let error = things.create(json!({ field: value })).await.expect_err(&format!("{field}: {value}"));
        assert_eq!(error.code(), 400, "{field}: {value}: {error}");
        assert!(error.errors().unwrap()[field].is_string(), "{error:?}");
    }
}

#[tokio::test]
async fn postgresql_holds_what_its_types_hold() {
    let keeper = postgres();
    let pool = keeper.pool();
    run(&pool, "CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'Happy')".to_owned()).await;
    let things = service(
        &pool,
        "id UUID PRIMARY KEY DEFAULT gen_random_uuid(), small SMALLINT, big BIGINT, real REAL, exact NUMERIC(20, 4),
         open NUMERIC, flag BOOLEAN, code VARCHAR(4), at TIMESTAMP, zoned TIMESTAMPTZ, day DATE, hour TIME, doc JSONB,
         plain JSON, bytes BYTEA, mood MOOD, tags TEXT[], numbers INTEGER[], address INET, twice INTEGER GENERATED ALWAYS AS (small * 2) STORED",
    )
    .await;
    let record = json!({
        "id": "0193f9c4-6f1e-7a30-8a58-3f1b2c4d5e6f", "small": -7, "big": 9_007_199_254_740_993_i64, "real": 0.1,
        "exact": "1234567890123456.7890", "open": "0.10000000000000000000000001", "flag": true, "code": "ßäöü",
        "at": "2026-12-01T08:30:00.125", "zoned": "2026-12-01T08:30:00.000Z", "day": "2026-12-01", "hour": "08:30:00",
        "doc": { "a": [1, null, { "b": "x" }] }, "plain": { "z": 1, "a": 2 }, "bytes": "AAH/", "mood": "it's ok",
        "tags": ["a\"b", "c,d", "{}"], "numbers": [3, -1], "address": "10.0.0.1",
    });
    holds(&things, record).await;
    let made = things.get("0193f9c4-6f1e-7a30-8a58-3f1b2c4d5e6f").await.unwrap();
    assert_eq!(made["twice"], -14);
    for query in [
        json!({ "tags": "c,d" }),
        json!({ "numbers": { "$gt": 2 } }),
        json!({ "numbers": [3, -1] }),
        json!({ "exact": { "$gt": 5 } }),
        json!({ "mood": { "$lt": "j" } }),
        json!({ "zoned": "2026-12-01T09:30:00+01:00" }),
        json!({ "tags": { "$nin": ["x"] } }),
        json!({ "doc.a.b": "x" }),
        json!({ "plain": { "a": 2, "z": 1 } }),
        json!({ "open": { "$lt": 1 } }),
        json!({ "doc.a.b": { "$like": "_" } }),
        json!({ "address": "10.0.0.1" }),
        json!({ "mood": { "$ne": "angry" } }),
    ] {
        assert_eq!(things.find().query(&query).await.unwrap().as_array().unwrap().len(), 1, "{query}");
    }
    assert_eq!(things.find().query(json!({ "mood": "angry" })).await.unwrap(), json!([]));
    refuses(&things, "id", &[json!("no uuid")]).await;
    refuses(&things, "small", &[json!(32_768), json!(1.5), json!("1"), json!(true)]).await;
    refuses(&things, "big", &[json!(u64::MAX), json!(1e300)]).await;
    refuses(&things, "real", &[json!(1e300), json!("1")]).await;
    refuses(&things, "exact", &[json!("x"), json!("12345678901234567"), json!("0.00001")]).await;
    refuses(&things, "code", &[json!("12345"), json!(1), json!("a\u{0}")]).await;
    refuses(&things, "at", &[json!("yesterday"), json!(0)]).await;
    refuses(&things, "day", &[json!("2026-02-30"), json!("2026-12-01T01:00:00Z")]).await;
    refuses(&things, "hour", &[json!("25:00")]).await;
    refuses(&things, "bytes", &[json!("?")]).await;
    refuses(&things, "mood", &[json!("angry")]).await;
    refuses(&things, "tags", &[json!("a"), json!([1])]).await;
    refuses(&things, "twice", &[json!(1)]).await;
    refuses(&things, "nothing", &[json!(1)]).await;
    let error = things.create(json!({ "address": "nowhere" })).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (400, "A value does not fit the type of its field"));
}

#[tokio::test]
async fn mariadb_holds_what_its_types_hold() {
    let keeper = mariadb();
    let pool = keeper.pool();
    let things = service(
        &pool,
        "id UUID PRIMARY KEY, tiny TINYINT UNSIGNED, big BIGINT UNSIGNED, real_number FLOAT, exact DECIMAL(20, 4),
         flag BOOLEAN, code VARCHAR(4), old VARCHAR(9) CHARACTER SET latin1, at DATETIME(6), zoned TIMESTAMP(3) NULL, day DATE, hour TIME,
         doc JSON, bytes VARBINARY(9), mood ENUM('sad', 'it''s ok', 'Happy'), twice INTEGER AS (tiny * 2) STORED",
    )
    .await;
    let record = json!({
        "id": "0193f9c4-6f1e-7a30-8a58-3f1b2c4d5e6f", "tiny": 255, "big": u64::MAX, "real_number": 0.1,
        "exact": "1234567890123456.7890", "flag": true, "code": "ßäöü", "old": "ä", "at": "2026-12-01T08:30:00.125",
        "zoned": "2026-12-01T08:30:00.000Z", "day": "2026-12-01", "hour": "08:30:00",
        "doc": { "a": [1, null, { "b": "x" }] }, "bytes": "AAH/", "mood": "it's ok",
    });
    holds(&things, record).await;
    assert_eq!(things.get("0193f9c4-6f1e-7a30-8a58-3f1b2c4d5e6f").await.unwrap()["twice"], 510);
    for query in [
        json!({ "exact": { "$gt": 5 } }),
        json!({ "mood": { "$lt": "j" } }),
        json!({ "doc.a.b": "x" }),
        json!({ "zoned": "2026-12-01T09:30:00+01:00" }),
        json!({ "code": { "$like": "ß__ü" } }),
        json!({ "code": { "$ilike": "%Ä%" } }),
        json!({ "big": { "$gt": i64::MAX } }),
        json!({ "code": { "$ne": "ßÄöü" } }),
    ] {
        assert_eq!(things.find().query(&query).await.unwrap().as_array().unwrap().len(), 1, "{query}");
    }
    assert_eq!(things.find().query(json!({ "code": "ßÄÖÜ" })).await.unwrap(), json!([]));
    refuses(&things, "tiny", &[json!(256), json!(-1)]).await;
    refuses(&things, "exact", &[json!("x"), json!("12345678901234567")]).await;
    refuses(&things, "code", &[json!("12345")]).await;
    refuses(&things, "at", &[json!("yesterday")]).await;
    refuses(&things, "mood", &[json!("angry")]).await;
    refuses(&things, "nothing", &[json!(1)]).await;
    // Without a default, an id is made.
    let made = things.create(json!({ "tiny": 1 })).await.unwrap();
    assert_eq!(things.get(made["id"].as_str().unwrap()).await.unwrap(), made);
}

#[tokio::test]
async fn sqlite_holds_what_its_columns_say() {
    let keeper = sqlite();
    let pool = keeper.pool();
    let things = service(
        &pool,
        "id TEXT PRIMARY KEY, whole INT, number REAL, exact DECIMAL(9, 2), flag BOOLEAN, code VARCHAR(4) COLLATE NOCASE,
         at DATETIME, zoned TIMESTAMPTZ, day DATE, doc JSON, bytes BLOB, uid UUID, anything, twice INT AS (whole * 2)",
    )
    .await;
    let record = json!({
        "id": "a", "whole": -7, "number": 0.1, "exact": 12.5, "flag": true, "code": "ßäöü", "at": "2026-12-01T08:30:00.125",
        "zoned": "2026-12-01T08:30:00.000Z", "day": "2026-12-01", "doc": { "a": [1, null, { "b": "x" }] }, "bytes": "AAH/",
        "uid": "0193f9c4-6f1e-7a30-8a58-3f1b2c4d5e6f", "anything": 7,
    });
    holds(&things, record).await;
    assert_eq!(things.get("a").await.unwrap()["twice"], -14);
    for query in [
        json!({ "zoned": "2026-12-01T09:30:00+01:00" }),
        json!({ "doc.a.b": "x" }),
        json!({ "code": { "$like": "ß__ü" } }),
        json!({ "doc.a.b": { "$ilike": "X" } }),
        json!({ "doc": { "a": [1, null, { "b": "x" }] } }),
    ] {
        assert_eq!(things.find().query(&query).await.unwrap().as_array().unwrap().len(), 1, "{query}");
    }
    refuses(&things, "whole", &[json!(1.5), json!("1"), json!(u64::MAX)]).await;
    refuses(&things, "uid", &[json!("no uuid")]).await;
    refuses(&things, "at", &[json!("yesterday")]).await;
    refuses(&things, "nothing", &[json!(1)]).await;
    let made = things.create(json!({ "code": "A" })).await.unwrap();
    assert_eq!(things.find().query(json!({ "code": "a" })).await.unwrap(), json!([]));
    assert_eq!(things.find().query(json!({ "code": { "$like": "a" } })).await.unwrap(), json!([]));
    assert_eq!(things.find().query(json!({ "code": { "$ilike": "a" } })).await.unwrap(), json!([made]));
}

#[tokio::test]
async fn names_that_must_be_quoted_are() {
    for keeper in [sqlite(), postgres(), mariadb()] {
        let keeper: Keeper = keeper;
        let pool = keeper.pool();
        let quote = if pool.dialect() == Dialect::MySql { '`' } else { '"' };
        let columns = format!("id INTEGER PRIMARY KEY, {quote}select{quote} INTEGER, {quote}a b'c;--{quote} INTEGER");
        let things = service(&pool, &columns).await;
        let record = json!({ "id": 1, "select": 2, "a b'c;--": 3 });
        assert_eq!(things.create(&record).await.unwrap(), record);
        let query = json!({ "a b'c;--": { "$gte": 3 }, "select": 2, "$sort": { "select": 1 }, "$select": ["select"] });
        assert_eq!(things.find().query(query).await.unwrap(), json!([{ "select": 2, "id": 1 }]));
    }
}
