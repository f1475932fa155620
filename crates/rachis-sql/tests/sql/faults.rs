//! What is wrong is said in the words of this crate, with the field it is about; those of the database stay in the log.

use crate::stores::{Keeper, Setup, Store, mariadb, postgres, sqlite, table};
use rachis::{
    App, Error, Handle,
    sql::{Dialect, Pool, SqlService},
};
use serde_json::{Value, json};

fn all() -> [Keeper; 3] {
    [sqlite(), postgres(), mariadb()]
}

async fn service(pool: &Pool, columns: &str) -> (String, Handle) {
    let name = table(pool, columns).await;
    let handle = App::new().register("things", SqlService::new(pool, &name).multi(true)).service("things");
    (name, handle)
}

#[track_caller]
fn names_field(error: &Error, code: u16, field: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert!(error.errors().is_some_and(|fields| fields[field].is_string()), "{error:?}");
}

#[tokio::test]
async fn a_table_or_an_id_column_that_does_not_exist_is_an_error_at_the_start_that_names_it() {
    for keeper in all() {
        let pool = keeper.pool();
        let app = App::new().register("things", SqlService::new(&pool, "missing"));
        let error = app.setup().await.unwrap_err();
        assert_eq!(error.message(), "The database has no table 'missing'");
        let name = table(&pool, "id INTEGER PRIMARY KEY").await;
        let error = SqlService::new(&pool, &name).id("key").check().await.unwrap_err();
        assert!(error.message().contains("has no column 'key'"), "{error}");
    }
}

#[tokio::test]
async fn a_field_that_is_no_column_is_a_bad_request_wherever_it_stands() {
    for keeper in all() {
        let people = Store::Database(keeper.pool()).people(Setup::multi(true)).await;
        for query in [
            json!({ "nothing": 1 }),
            json!({ "$or": [{ "name": "a" }, { "nothing": { "$gt": 1 } }] }),
            json!({ "$sort": { "nothing": 1 } }),
            json!({ "nothing.at.all": 1 }),
            json!({ "$sort": { "nothing.at.all": 1 } }),
        ] {
            names_field(&people.find().query(&query).await.unwrap_err(), 400, "nothing");
        }
        names_field(&people.get(1).query(json!({ "nothing": 1 })).await.unwrap_err(), 400, "nothing");
        names_field(&people.create(json!({ "nothing": 1 })).await.unwrap_err(), 400, "nothing");
        people.create(json!({})).await.unwrap();
        names_field(&people.patch(1, json!({ "nothing": 1 })).await.unwrap_err(), 400, "nothing");
        names_field(&people.update(1, json!({ "nothing": 1 })).await.unwrap_err(), 400, "nothing");
    }
}

#[tokio::test]
async fn a_broken_constraint_names_its_field() {
    for keeper in all() {
        let pool = keeper.pool();
        let (parent, parents) = service(&pool, "id INTEGER PRIMARY KEY").await;
        let quote = if pool.dialect() == Dialect::MySql { '`' } else { '"' };
        let columns = format!(
            "id INTEGER PRIMARY KEY, a INTEGER NOT NULL, b INTEGER NOT NULL DEFAULT 7, parent INTEGER, c INTEGER CHECK (c > 0),
             UNIQUE (a, b), FOREIGN KEY (parent) REFERENCES {quote}{parent}{quote} (id)"
        );
        let (_, things) = service(&pool, &columns).await;
        parents.create(json!({ "id": 1 })).await.unwrap();
        things.create(json!({ "id": 1, "a": 1, "parent": 1 })).await.unwrap();
        names_field(&things.create(json!({ "id": 2 })).await.unwrap_err(), 400, "a");
        names_field(&things.patch(1, json!({ "a": null })).await.unwrap_err(), 400, "a");
        names_field(&things.update(1, json!({ "parent": null })).await.unwrap_err(), 400, "a");
        let error = things.create(json!({ "id": 2, "a": 1 })).await.unwrap_err();
        names_field(&error, 409, "a");
        names_field(&error, 409, "b");
        assert_eq!(things.create(json!({ "id": 2, "a": 2, "c": 0 })).await.unwrap_err().code(), 400);
        assert_eq!(things.create(json!({ "id": 2, "a": 2, "parent": 9 })).await.unwrap_err().code(), 400);
        let error = parents.remove(1).await.unwrap_err();
        assert!([400, 409].contains(&error.code()), "{error}");
        // What a record does not name has its default, in an update as well.
        assert_eq!(things.patch(1, json!({ "b": 8 })).await.unwrap()["b"], 8);
        let updated = json!({ "id": 1, "a": 3, "b": 7, "parent": null, "c": null });
        assert_eq!(things.update(1, json!({ "a": 3 })).await.unwrap(), updated);
        assert_eq!(things.find().await.unwrap(), json!([updated]));
    }
}

#[tokio::test]
async fn no_error_repeats_what_the_database_says() {
    for keeper in all() {
        let pool = keeper.pool();
        let (name, things) = service(&pool, "id INTEGER PRIMARY KEY, a VARCHAR(9) UNIQUE").await;
        things.create(json!({ "id": 1, "a": "secret" })).await.unwrap();
        let calls = [
            things.create(json!({ "id": 2, "a": "secret" })).await,
            things.create(json!({ "id": 1 })).await,
            things.patch_many(json!({ "a": "x\u{0}y" })).query(json!({ "a": { "$like": "\\" } })).await,
        ];
        for call in calls {
            let said = call.unwrap_err().to_json().to_string();
            for word in ["secret", &name, "INSERT", "constraint", "SQL"] {
                assert!(!said.contains(word), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn a_text_that_is_no_uuid_and_no_date_is_refused_in_a_query() {
    let keeper = postgres();
    let pool = keeper.pool();
    let (_, things) = service(&pool, "id UUID PRIMARY KEY DEFAULT gen_random_uuid(), owner UUID, at TIMESTAMPTZ").await;
    for (field, value) in [("owner", json!("x")), ("at", json!("x")), ("owner", json!({ "$in": ["x"] }))] {
        names_field(&things.find().query(json!({ field: value })).await.unwrap_err(), 400, field);
    }
    assert_eq!(things.get("x").await.unwrap_err().code(), 404);
    let none: Value = things.find().query(json!({ "owner": 7, "at": { "$lt": 3 } })).await.unwrap();
    assert_eq!(none, json!([]));
}
