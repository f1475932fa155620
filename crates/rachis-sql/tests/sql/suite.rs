//! What is the same whether records are in memory or in a database.

use crate::stores::{CREATE, Setup, Store, bare, mariadb, postgres, sqlite};
use rachis::{CallBuilder, Handle, Id, Method, Params, Result};
use serde_json::{Value, json};

#[tokio::test]
async fn the_suite_holds_in_memory() {
    suite(&Store::Memory).await;
}

#[tokio::test]
async fn the_suite_holds_on_sqlite() {
    let keeper = sqlite();
    suite(&Store::Database(keeper.pool())).await;
}

#[tokio::test]
async fn the_suite_holds_on_postgresql() {
    let keeper = postgres();
    suite(&Store::Database(keeper.pool())).await;
}

#[tokio::test]
async fn the_suite_holds_on_mariadb() {
    let keeper = mariadb();
    suite(&Store::Database(keeper.pool())).await;
}

async fn suite(store: &Store) {
    macro_rules! sentences {
        ($($sentence:ident),* $(,)?) => { $( println!("{}", stringify!($sentence)); $sentence(store).await; )* };
    }
    sentences!(
        calls_by_id_return_the_record_as_it_became,
        select_works_on_every_method_and_keeps_the_id,
        an_unknown_id_is_not_found_whatever_its_type,
        the_query_restricts_calls_by_id,
        an_invalid_query_is_refused_by_every_method_but_create,
        several_records_at_once_are_refused_unless_allowed,
        multi_may_be_allowed_for_some_methods_only,
        patch_and_remove_of_many_follow_the_query_but_no_limit_and_no_page,
        a_patch_of_many_returns_those_it_took_out_of_its_own_query,
        an_update_returns_a_record_that_left_its_own_query,
        neither_patch_nor_update_changes_an_id,
        ids_of_rest_find_numeric_ids,
        ids_are_counted_up,
        an_id_that_exists_is_a_conflict_and_leaves_everything_as_it_was,
        a_unique_value_is_a_conflict_that_names_the_field,
        records_keep_the_order_of_their_creation,
        a_record_must_be_an_object_and_its_id_a_number_or_a_string,
        find_filters_sorts_skips_and_limits,
        pages_tell_total_limit_and_skip,
        pagination_and_multi_may_be_set_for_one_call,
        nonsense_in_the_options_of_a_call_is_refused,
        many_records_are_created_in_their_order,
    );
}

/// Doug, 32, and no other person.
async fn doug(store: &Store, setup: Setup) -> Handle {
    let people = store.people(setup).await;
    people.create(json!({ "name": "Doug", "age": 32 })).await.unwrap();
    people
}

fn named(name: &str) -> Value {
    json!({ "name": name })
}

fn with(name: &str, value: Value) -> Params {
    let mut params = Params::default();
    params.extra.insert(name.into(), value);
    params
}

#[track_caller]
fn fails(result: Result<Value>, expected: (u16, &str)) {
    let error = result.expect_err("the call went well");
    assert_eq!((error.code(), error.message()), expected);
}

fn names(result: Value) -> Vec<String> {
    let records = result.get("data").unwrap_or(&result).as_array().unwrap();
    records.iter().map(|record| record["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Every call by id: get, update, patch, remove.
fn by_id(people: &Handle, id: impl Into<Id>) -> Vec<CallBuilder> {
    let id = id.into();
    let get = people.get(id.clone());
    let update = people.update(id.clone(), named("X"));
    let patch = people.patch(id.clone(), named("X"));
    vec![get, update, patch, people.remove(id)]
}

async fn calls_by_id_return_the_record_as_it_became(store: &Store) {
    let people = doug(store, Setup::default()).await;
    assert_eq!(bare(people.get(1).await.unwrap()), json!({ "customid": 1, "name": "Doug", "age": 32 }));
    assert_eq!(people.patch(1, json!({ "age": 33 })).await.unwrap()["age"], 33);
    assert_eq!(bare(people.update(1, named("Dougler")).await.unwrap()), json!({ "name": "Dougler", "customid": 1 }));
    assert_eq!(bare(people.remove(1).await.unwrap()), json!({ "name": "Dougler", "customid": 1 }));
    assert_eq!(people.find().await.unwrap(), json!([]));
}

async fn select_works_on_every_method_and_keeps_the_id(store: &Store) {
    let people = doug(store, Setup::multi(true)).await;
    let only_name = json!({ "$select": ["name"] });
    for call in by_id(&people, 1) {
        let result = call.query(&only_name).await.unwrap();
        let fields: Vec<_> = result.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["name", "customid"]);
    }
    let one = people.create(json!({ "name": "A", "age": 1 })).query(&only_name).await.unwrap();
    assert_eq!(one["name"], "A");
    assert!(one.get("age").is_none());
    people.create(json!([{ "name": "B", "age": 1 }])).query(&only_name).await.unwrap();
    let patched = people.patch_many(json!({ "age": 2 })).query(&only_name).await.unwrap();
    assert_eq!(names(patched.clone()), ["A", "B"]);
    assert!(patched[0].get("age").is_none());
    assert_eq!(people.find().query(&only_name).await.unwrap(), patched);
    assert_eq!(people.remove_many().query(&only_name).await.unwrap(), patched);
}

async fn an_unknown_id_is_not_found_whatever_its_type(store: &Store) {
    let people = doug(store, Setup::default()).await;
    for call in by_id(&people, "568225fbfe21222432e836ff") {
        fails(call.await, (404, "No record found for id '568225fbfe21222432e836ff'"));
    }
    for call in by_id(&people, 123_456_789_012_i64) {
        fails(call.await, (404, "No record found for id '123456789012'"));
    }
}

async fn the_query_restricts_calls_by_id(store: &Store) {
    let people = doug(store, Setup::default()).await;
    people.create(json!({ "name": "Alice", "age": 12 })).await.unwrap();
    for query in [named("Tester"), json!({ "customid": 2 }), json!({ "age": { "$gt": 40 } })] {
        for call in by_id(&people, 1) {
            fails(call.query(&query).await, (404, "No record found for id '1'"));
        }
    }
    assert_eq!(people.get(1).await.unwrap()["name"], "Doug");
    for call in by_id(&people, 1) {
        call.query(json!({ "customid": 1, "$limit": 0, "$skip": 5 })).await.unwrap();
    }
}

async fn an_invalid_query_is_refused_by_every_method_but_create(store: &Store) {
    let people = doug(store, Setup::multi(true)).await;
    let mut calls = by_id(&people, 1);
    calls.extend([people.find(), people.patch_many(json!({})), people.remove_many()]);
    for call in calls {
        fails(call.query(json!({ "$where": 1 })).await, (400, "Invalid filter value $where"));
    }
    let made = people.create(named("Billy")).query(json!({ "$where": 1, "name": "Dave" })).await.unwrap();
    assert_eq!(made["name"], "Billy");
}

async fn several_records_at_once_are_refused_unless_allowed(store: &Store) {
    let people = doug(store, Setup::default()).await;
    fails(people.create(json!([])).await, (405, "Can not create multiple entries"));
    fails(people.patch_many(json!({})).await, (405, "Can not patch multiple entries"));
    fails(people.remove_many().await, (405, "Can not remove multiple entries"));
    let replace_all = || people.method(Method::Update);
    let message = (400, "You can not replace multiple instances. Did you mean 'patch'?");
    fails(replace_all().data(json!({})).await, message);
    fails(replace_all().id(1).data(json!([{}])).await, message);
    assert_eq!(names(people.find().await.unwrap()), ["Doug"]);
}

async fn multi_may_be_allowed_for_some_methods_only(store: &Store) {
    let people = doug(store, Setup::multi(CREATE)).await;
    assert_eq!(names(people.create(json!([{ "name": "A" }, { "name": "B" }])).await.unwrap()), ["A", "B"]);
    assert_eq!(people.create(json!([])).await.unwrap(), json!([]));
    fails(people.remove_many().await, (405, "Can not remove multiple entries"));
}

async fn patch_and_remove_of_many_follow_the_query_but_no_limit_and_no_page(store: &Store) {
    let people = doug(store, Setup::multi(true).paginate(10, 100)).await;
    let new: Vec<Value> = (0..14).map(|n| json!({ "name": format!("name-{n}"), "created": true })).collect();
    people.create(new).await.unwrap();
    let query = json!({ "created": true, "$limit": 1, "$skip": 3, "$sort": { "name": -1 } });
    let patched = people.patch_many(json!({ "age": 4 })).query(&query).await.unwrap();
    assert_eq!(patched.as_array().unwrap().len(), 14);
    assert_eq!(names(patched)[..2], ["name-0", "name-1"]);
    assert_eq!(people.find().query(json!({ "age": 4 })).await.unwrap()["data"].as_array().unwrap().len(), 10);
    assert_eq!(people.remove_many().query(&query).await.unwrap().as_array().unwrap().len(), 14);
    assert_eq!(names(people.find().await.unwrap()), ["Doug"]);
}

async fn a_patch_of_many_returns_those_it_took_out_of_its_own_query(store: &Store) {
    let people = doug(store, Setup::multi(true)).await;
    people.create(json!([{ "name": "Dave", "age": 10 }, { "name": "David", "age": 10 }])).await.unwrap();
    let patched = people.patch_many(json!({ "age": 2 })).query(json!({ "age": 10 })).await.unwrap();
    let expected = json!([{ "name": "Dave", "age": 2, "customid": 2 }, { "name": "David", "age": 2, "customid": 3 }]);
    assert_eq!(bare(patched), expected);
    assert_eq!(people.patch_many(json!({ "age": 1 })).query(json!({ "age": 10 })).await.unwrap(), json!([]));
}

async fn an_update_returns_a_record_that_left_its_own_query(store: &Store) {
    let people = doug(store, Setup::default()).await;
    assert_eq!(people.update(1, named("New")).query(named("Doug")).await.unwrap()["name"], "New");
    assert_eq!(people.patch(1, named("Newer")).query(named("New")).await.unwrap()["name"], "Newer");
}

async fn neither_patch_nor_update_changes_an_id(store: &Store) {
    let people = doug(store, Setup::multi(true)).await;
    assert_eq!(people.patch(1, json!({ "customid": 9 })).await.unwrap()["customid"], 1);
    assert_eq!(people.update(1, json!({ "customid": 9, "name": "D" })).await.unwrap()["customid"], 1);
    people.patch_many(json!({ "customid": 9 })).await.unwrap();
    assert_eq!(bare(people.get(1).await.unwrap()), json!({ "customid": 1, "name": "D" }));
    fails(people.get(9).await, (404, "No record found for id '9'"));
}

async fn ids_of_rest_find_numeric_ids(store: &Store) {
    let people = doug(store, Setup::default()).await;
    assert_eq!(people.patch("1", json!({ "age": 1 })).await.unwrap()["customid"], 1);
    fails(people.get("01").await, (404, "No record found for id '01'"));
    people.remove("1").await.unwrap();
    fails(people.get(1).await, (404, "No record found for id '1'"));
}

async fn ids_are_counted_up(store: &Store) {
    let people = doug(store, Setup::default()).await;
    assert_eq!(people.create(json!({ "customid": 60 })).await.unwrap()["customid"], 60);
    for none in [json!({}), json!({ "customid": null }), json!({ "customid": "" })] {
        assert!(people.create(none).await.unwrap()["customid"].as_i64() >= Some(2));
    }
}

async fn an_id_that_exists_is_a_conflict_and_leaves_everything_as_it_was(store: &Store) {
    let people = doug(store, Setup::multi(true)).await;
    for taken in [json!(1), json!("1"), json!(1.0)] {
        let result = people.create(json!({ "customid": taken })).await;
        fails(result, (409, "A record with the customid '1' exists already"));
    }
    let before = people.find().await.unwrap();
    let batch = json!([{ "name": "A" }, { "name": "B", "customid": 77 }, { "customid": 77 }]);
    fails(people.create(batch).await, (409, "A record with the customid '77' exists already"));
    let batch = json!([{ "name": "A" }, { "customid": 1 }]);
    fails(people.create(batch).await, (409, "A record with the customid '1' exists already"));
    assert_eq!(people.find().await.unwrap(), before);
}

/// In memory, there is no rule of the table.
async fn a_unique_value_is_a_conflict_that_names_the_field(store: &Store) {
    if let Store::Memory = store {
        return;
    }
    let people = doug(store, Setup::multi(true)).await;
    people.create(json!([{ "email": "a" }, { "email": "b" }, {}])).await.unwrap();
    let message = (409, "Another record has the same 'email'");
    fails(people.create(json!({ "email": "a" })).await, message);
    fails(people.patch(1, json!({ "email": "a" })).await, message);
    fails(people.update(1, json!({ "email": "b" })).await, message);
    fails(people.patch_many(json!({ "email": "c" })).await, message);
    fails(people.create(json!([{ "email": "x" }, { "email": "x" }])).await, message);
    assert_eq!(people.find().query(json!({ "email": { "$in": ["x", "c"] } })).await.unwrap(), json!([]));
}

async fn records_keep_the_order_of_their_creation(store: &Store) {
    let people = doug(store, Setup::default()).await;
    for name in ["B", "C", "D"] {
        people.create(named(name)).await.unwrap();
    }
    people.remove(2).await.unwrap();
    people.patch(1, json!({ "age": 1 })).await.unwrap();
    people.update(3, named("C2")).await.unwrap();
    assert_eq!(names(people.find().await.unwrap()), ["Doug", "C2", "D"]);
}

async fn a_record_must_be_an_object_and_its_id_a_number_or_a_string(store: &Store) {
    let people = doug(store, Setup::multi(true)).await;
    fails(people.create(json!("x")).await, (400, "Invalid data for create: a record is a JSON object"));
    fails(people.create(json!([{}, 5])).await, (400, "Invalid data for create: a record is a JSON object"));
    fails(people.update(1, json!(null)).await, (400, "Invalid data for update: a record is a JSON object"));
    fails(people.patch(1, json!([{}])).await, (400, "Invalid data for patch: a record is a JSON object"));
    let message = "The field 'customid' must be a number or a string: it is the id";
    fails(people.create(json!({ "customid": [1] })).await, (400, message));
    assert_eq!(people.find().await.unwrap().as_array().unwrap().len(), 1);
}

async fn three(store: &Store, setup: Setup) -> Handle {
    let people = store.people(Setup { multi: true.into(), ..setup }).await;
    let records = [("Bob", 25), ("Doug", 32), ("Alice", 19)].map(|(name, age)| json!({ "name": name, "age": age }));
    people.create(records).await.unwrap();
    people
}

async fn found(people: &Handle, query: Value) -> Vec<String> {
    names(people.find().query(query).await.unwrap())
}

async fn find_filters_sorts_skips_and_limits(store: &Store) {
    let people = three(store, Setup::default()).await;
    let by_name = json!({ "name": 1 });
    assert_eq!(found(&people, json!({})).await, ["Bob", "Doug", "Alice"]);
    assert_eq!(found(&people, json!({ "name": "Alice", "age": 20 })).await, [""; 0]);
    assert_eq!(found(&people, json!({ "$sort": { "name": "-1" } })).await, ["Doug", "Bob", "Alice"]);
    assert_eq!(found(&people, json!({ "$limit": 2 })).await, ["Bob", "Doug"]);
    assert_eq!(found(&people, json!({ "$limit": 0 })).await, [""; 0]);
    assert_eq!(found(&people, json!({ "$limit": -1 })).await.len(), 3);
    assert_eq!(found(&people, json!({ "$sort": by_name, "$skip": 1 })).await, ["Bob", "Doug"]);
    assert_eq!(found(&people, json!({ "$skip": 1, "$limit": 1 })).await, ["Doug"]);
    assert_eq!(found(&people, json!({ "age": { "$gt": 18, "$lt": 30 }, "$sort": by_name })).await, ["Alice", "Bob"]);
    assert_eq!(found(&people, json!({ "age": { "$gt": "18" } })).await, [""; 0]);
    let nested = json!({ "$or": [{ "name": "Doug" }, { "age": { "$gte": 18, "$lt": 25 } }], "$sort": by_name });
    assert_eq!(found(&people, nested).await, ["Alice", "Doug"]);
}

async fn page(people: &Handle, query: Value) -> Value {
    people.find().query(query).await.unwrap()
}

async fn pages_tell_total_limit_and_skip(store: &Store) {
    let people = three(store, Setup::default().paginate(1, 2)).await;
    let by_name = json!({ "name": -1 });
    let doug = json!({ "customid": 2, "name": "Doug" });
    let first = json!({ "total": 3, "limit": 1, "skip": 0, "data": [doug] });
    assert_eq!(page(&people, json!({ "$sort": by_name, "$select": ["name"] })).await, first);
    let capped = page(&people, json!({ "$sort": by_name, "$skip": 1, "$limit": 4 })).await;
    assert_eq!((&capped["total"], &capped["limit"], &capped["skip"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(names(capped), ["Bob", "Alice"]);
    assert_eq!(page(&people, json!({ "name": "Doug" })).await["total"], 1);
    let beyond = json!({ "total": 3, "limit": 1, "skip": 9, "data": [] });
    assert_eq!(page(&people, json!({ "$skip": 9 })).await, beyond);
    assert_eq!(page(&people, json!({ "$limit": "nonsense" })).await["limit"], 1);
    let counted = json!({ "total": 2, "limit": 0, "skip": 0, "data": [] });
    assert_eq!(page(&people, json!({ "age": { "$gt": 20 }, "$limit": 0 })).await, counted);
}

async fn pagination_and_multi_may_be_set_for_one_call(store: &Store) {
    let people = three(store, Setup::default()).await;
    for params in [with("paginate", json!({ "default": 2 })), with("adapter", json!({ "paginate": { "default": 2 } }))]
    {
        assert_eq!(people.find().params(params).await.unwrap()["limit"], 2);
    }
    let multi = with("adapter", json!({ "multi": ["create"] }));
    let made = people.create(json!([{}, {}])).params(multi.clone()).await.unwrap();
    assert_eq!(made.as_array().unwrap().len(), 2);
    fails(people.patch_many(json!({})).params(multi).await, (405, "Can not patch multiple entries"));

    let paged = three(store, Setup::default().paginate(1, 2)).await;
    let all = paged.find().params(with("paginate", json!(false))).await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 3);
    let only_max = paged.find().params(with("paginate", json!({ "max": 5 }))).await.unwrap();
    assert_eq!((&only_max["limit"], &only_max["total"]), (&json!(0), &json!(3)));
    let no_multi = with("adapter", json!({ "multi": false }));
    fails(paged.remove_many().params(no_multi).await, (405, "Can not remove multiple entries"));
}

async fn nonsense_in_the_options_of_a_call_is_refused(store: &Store) {
    let people = three(store, Setup::default()).await;
    fails(people.find().params(with("paginate", json!("all"))).await, (400, "params.paginate cannot be \"all\""));
    let multi = people.remove_many().params(with("adapter", json!({ "multi": 1 }))).await;
    fails(multi, (400, "params.adapter.multi cannot be 1"));
}

async fn many_records_are_created_in_their_order(store: &Store) {
    let people = store.people(Setup::multi(true)).await;
    // Neighbours with different fields, and more values than one statement takes.
    let record = |n: i64| match n % 3 {
        0 if n % 300 == 0 => json!({}),
        _ => json!({ "name": format!("n{n}"), "age": n, "score": 0.5, "created": n % 2 == 0 }),
    };
    let records: Vec<Value> = (0..9000).map(record).collect();
    let created = people.create(&records).await.unwrap();
    let created = bare(created);
    for (number, (made, record)) in created.as_array().unwrap().iter().zip(&records).enumerate() {
        let mut expected = record.clone();
        expected["customid"] = json!(number + 1);
        assert_eq!(*made, expected);
    }
    assert_eq!(bare(people.find().await.unwrap()), created);
}
