//! The memory service, along the groups of Feathers' adapter tests and where it goes beyond them.

use super::{super::query::all_turns, fails};
use crate::{App, Handle, MemoryService, Method, Params, Result, Service};
use futures_core::future::BoxFuture;
use futures_util::{FutureExt, poll};
use serde_json::{Value, json};
use std::pin::pin;

/// Doug, 32, and no other person.
async fn people(service: MemoryService) -> (Handle, Value) {
    let handle = App::new().register("people", service).service("people");
    let doug = handle.create(json!({ "name": "Doug", "age": 32 })).await.unwrap();
    (handle, doug["customid"].clone())
}

fn custom() -> MemoryService {
    MemoryService::new().id_field("customid")
}

fn named(name: &str) -> Value {
    json!({ "name": name })
}

fn names(result: Value) -> Vec<String> {
    let records = result.get("data").unwrap_or(&result).as_array().unwrap();
    records.iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect()
}

fn with(name: &str, value: Value) -> Params {
    let mut params = Params::default();
    params.extra.insert(name.into(), value);
    params
}

/// Every call by id: get, update, patch, remove.
fn by_id(people: &Handle, id: impl Into<crate::Id>) -> Vec<crate::CallBuilder> {
    let id = id.into();
    let get = people.get(id.clone());
    let update = people.update(id.clone(), named("X"));
    let patch = people.patch(id.clone(), named("X"));
    vec![get, update, patch, people.remove(id)]
}

#[tokio::test]
async fn calls_by_id_return_the_record_as_it_became() {
    let (people, id) = people(custom()).await;
    assert_eq!(id, 0);
    assert_eq!(people.get(0).await.unwrap(), json!({ "customid": 0, "name": "Doug", "age": 32 }));
    assert_eq!(people.patch(0, json!({ "age": 33 })).await.unwrap()["age"], 33);
    assert_eq!(people.update(0, named("Dougler")).await.unwrap(), json!({ "name": "Dougler", "customid": 0 }));
    assert_eq!(people.remove(0).await.unwrap(), json!({ "name": "Dougler", "customid": 0 }));
    assert_eq!(people.find().await.unwrap(), json!([]));
}

#[tokio::test]
async fn select_works_on_every_method_and_keeps_the_id() {
    let (people, _) = people(custom().multi(true)).await;
    let only_name = json!({ "$select": ["name"] });
    for call in by_id(&people, 0) {
        let result = call.query(&only_name).await.unwrap();
        let fields: Vec<_> = result.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["name", "customid"]);
    }
    let one = people.create(json!({ "name": "A", "age": 1 })).query(&only_name).await.unwrap();
    assert_eq!(one, json!({ "name": "A", "customid": 1 }));
    let many = people.create(json!([{ "name": "B", "age": 1 }])).query(&only_name).await.unwrap();
    assert_eq!(many, json!([{ "name": "B", "customid": 2 }]));
    let patched = people.patch_many(json!({ "age": 2 })).query(&only_name).await.unwrap();
    assert_eq!(patched, json!([{ "name": "A", "customid": 1 }, { "name": "B", "customid": 2 }]));
    assert_eq!(people.find().query(&only_name).await.unwrap(), patched);
    assert_eq!(people.remove_many().query(&only_name).await.unwrap(), patched);
}

#[tokio::test]
async fn an_unknown_id_is_not_found_whatever_its_type() {
    let (people, _) = people(custom()).await;
    for call in by_id(&people, "568225fbfe21222432e836ff") {
        fails(call.await, (404, "No record found for id '568225fbfe21222432e836ff'"));
    }
    for call in by_id(&people, 123_456_789) {
        fails(call.await, (404, "No record found for id '123456789'"));
    }
}

#[tokio::test]
async fn the_query_restricts_calls_by_id() {
    let (people, _) = people(custom()).await;
    people.create(json!({ "name": "Alice", "age": 12 })).await.unwrap();
    for query in [named("Tester"), json!({ "customid": 1 }), json!({ "age": { "$gt": 40 } })] {
        for call in by_id(&people, 0) {
            fails(call.query(&query).await, (404, "No record found for id '0'"));
        }
    }
    assert_eq!(people.get(0).await.unwrap()["name"], "Doug");
    for call in by_id(&people, 0) {
        call.query(json!({ "customid": 0, "$limit": 0, "$skip": 5 })).await.unwrap();
    }
}

#[tokio::test]
async fn an_invalid_query_is_refused_by_every_method_but_create() {
    let (people, _) = people(custom()).await;
    let mut calls = by_id(&people, 0);
    calls.extend([people.find(), people.patch_many(json!({})), people.remove_many()]);
    for call in calls {
        fails(call.query(json!({ "$where": 1 })).await, (400, "Invalid filter value $where"));
    }
    let made = people.create(named("Billy")).query(json!({ "$where": 1, "name": "Dave" })).await.unwrap();
    assert_eq!(made["name"], "Billy");
}

#[tokio::test]
async fn several_records_at_once_are_refused_unless_allowed() {
    let (people, _) = people(custom()).await;
    fails(people.create(json!([])).await, (405, "Can not create multiple entries"));
    fails(people.patch_many(json!({})).await, (405, "Can not patch multiple entries"));
    fails(people.remove_many().await, (405, "Can not remove multiple entries"));
    let replace_all = || people.method(Method::Update);
    let message = (400, "You can not replace multiple instances. Did you mean 'patch'?");
    fails(replace_all().data(json!({})).await, message);
    fails(replace_all().id(0).data(json!([{}])).await, message);
    assert_eq!(names(people.find().await.unwrap()), ["Doug"]);
}

#[tokio::test]
async fn multi_may_be_allowed_for_some_methods_only() {
    let (people, _) = people(custom().multi([Method::Create])).await;
    assert_eq!(names(people.create(json!([{ "name": "A" }, { "name": "B" }])).await.unwrap()), ["A", "B"]);
    fails(people.remove_many().await, (405, "Can not remove multiple entries"));
}

#[tokio::test]
async fn patch_and_remove_of_many_follow_the_query_but_no_limit_and_no_page() {
    let (people, _) = people(custom().multi(true).paginate(10, 100)).await;
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

#[tokio::test]
async fn a_patch_of_many_returns_those_it_took_out_of_its_own_query() {
    let (people, _) = people(custom().multi(true)).await;
    people.create(json!([{ "name": "Dave", "age": 10 }, { "name": "David", "age": 10 }])).await.unwrap();
    let patched = people.patch_many(json!({ "age": 2 })).query(json!({ "age": 10 })).await.unwrap();
    assert_eq!(
        patched,
        json!([{ "name": "Dave", "age": 2, "customid": 1 }, { "name": "David", "age": 2, "customid": 2 }])
    );
}

#[tokio::test]
async fn an_update_returns_a_record_that_left_its_own_query() {
    let (people, _) = people(custom()).await;
    assert_eq!(people.update(0, named("New")).query(named("Doug")).await.unwrap()["name"], "New");
    assert_eq!(people.patch(0, named("Newer")).query(named("New")).await.unwrap()["name"], "Newer");
}

#[tokio::test]
async fn neither_patch_nor_update_changes_an_id() {
    let (people, _) = people(custom().multi(true)).await;
    assert_eq!(people.patch(0, json!({ "customid": 9 })).await.unwrap()["customid"], 0);
    assert_eq!(people.update(0, json!({ "customid": 9, "name": "D" })).await.unwrap()["customid"], 0);
    people.patch_many(json!({ "customid": 9 })).await.unwrap();
    assert_eq!(people.get(0).await.unwrap(), json!({ "customid": 0, "name": "D" }));
    fails(people.get(9).await, (404, "No record found for id '9'"));
}

#[tokio::test]
async fn ids_of_rest_find_numeric_ids_and_the_record_keeps_its_type() {
    let (people, _) = people(custom()).await;
    assert_eq!(people.patch("0", json!({ "age": 1 })).await.unwrap()["customid"], 0);
    people.create(json!({ "customid": "7", "name": "String" })).await.unwrap();
    people.create(json!({ "customid": 1.5, "name": "Float" })).await.unwrap();
    assert_eq!(people.get(7).await.unwrap()["customid"], "7");
    assert_eq!(people.get("1.5").await.unwrap()["customid"], 1.5);
    fails(people.get("00").await, (404, "No record found for id '00'"));
    people.remove("0").await.unwrap();
    fails(people.get(0).await, (404, "No record found for id '0'"));
}

#[tokio::test]
async fn ids_are_counted_up_and_pass_over_taken_ones() {
    let (people, id) = people(custom().start_id(5)).await;
    assert_eq!(id, 5);
    assert_eq!(people.create(json!({ "customid": 6 })).await.unwrap()["customid"], 6);
    assert_eq!(people.create(json!({ "customid": "7" })).await.unwrap()["customid"], "7");
    for none in [json!({}), json!({ "customid": null }), json!({ "customid": "" })] {
        assert!(people.create(none).await.unwrap()["customid"].as_i64() >= Some(8));
    }
    assert_eq!(people.create(json!({ "customid": 0 })).await.unwrap()["customid"], 0);
}

#[tokio::test]
async fn an_id_that_exists_is_a_conflict_and_leaves_everything_as_it_was() {
    let (people, _) = people(custom().multi(true)).await;
    for taken in [json!(0), json!("0"), json!(0.0)] {
        let result = people.create(json!({ "customid": taken })).await;
        fails(result, (409, "A record with the customid '0' exists already"));
    }
    let before = people.find().await.unwrap();
    let batch = json!([{ "name": "A" }, { "name": "B", "customid": 77 }, { "customid": 77 }]);
    fails(people.create(batch).await, (409, "A record with the customid '77' exists already"));
    assert_eq!(people.find().await.unwrap(), before);
    assert_eq!(people.create(json!({})).await.unwrap()["customid"], 1);
}

#[tokio::test]
async fn records_keep_the_order_of_their_creation() {
    let (people, _) = people(custom()).await;
    for (id, name) in [(json!("b"), "B"), (json!(-1), "C"), (json!("a"), "D")] {
        people.create(json!({ "customid": id, "name": name })).await.unwrap();
    }
    people.remove("b").await.unwrap();
    people.patch(0, json!({ "age": 1 })).await.unwrap();
    people.update(-1, named("C2")).await.unwrap();
    assert_eq!(names(people.find().await.unwrap()), ["Doug", "C2", "D"]);
}

#[tokio::test]
async fn a_record_must_be_an_object_and_its_id_a_number_or_a_string() {
    let (people, _) = people(custom().multi(true)).await;
    fails(people.create(json!("x")).await, (400, "Invalid data for create: a record is a JSON object"));
    fails(people.create(json!([{}, 5])).await, (400, "Invalid data for create: a record is a JSON object"));
    fails(people.update(0, json!(null)).await, (400, "Invalid data for update: a record is a JSON object"));
    fails(people.patch(0, json!([{}])).await, (400, "Invalid data for patch: a record is a JSON object"));
    let message = "The field 'customid' must be a number or a string: it is the id";
    fails(people.create(json!({ "customid": [1] })).await, (400, message));
    assert_eq!(people.find().await.unwrap().as_array().unwrap().len(), 1);
}

async fn three(service: MemoryService) -> Handle {
    let records = [("Bob", 25), ("Doug", 32), ("Alice", 19)].map(|(name, age)| json!({ "name": name, "age": age }));
    App::new().register("people", service.records(records)).service("people")
}

async fn found(people: &Handle, query: Value) -> Vec<String> {
    names(people.find().query(query).await.unwrap())
}

#[tokio::test]
async fn find_filters_sorts_skips_and_limits() {
    let people = three(MemoryService::new()).await;
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

#[tokio::test]
async fn pages_tell_total_limit_and_skip() {
    let people = three(MemoryService::new().paginate(1, 2)).await;
    let by_name = json!({ "name": -1 });
    let select = json!(["name"]);
    let doug = json!({ "id": 1, "name": "Doug" });
    let first = json!({ "total": 3, "limit": 1, "skip": 0, "data": [doug] });
    assert_eq!(page(&people, json!({ "$sort": by_name, "$select": select })).await, first);
    let capped = page(&people, json!({ "$sort": by_name, "$skip": 1, "$limit": 4 })).await;
    assert_eq!((&capped["total"], &capped["limit"], &capped["skip"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(names(capped), ["Bob", "Alice"]);
    assert_eq!(page(&people, json!({ "name": "Doug" })).await["total"], 1);
    let beyond = json!({ "total": 3, "limit": 1, "skip": 9, "data": [] });
    assert_eq!(page(&people, json!({ "$skip": 9 })).await, beyond);
    assert_eq!(page(&people, json!({ "$limit": "nonsense" })).await["limit"], 1);
}

#[tokio::test]
async fn a_limit_of_zero_counts_only() {
    let people = three(MemoryService::new().paginate(1, 2)).await;
    let counted = json!({ "total": 2, "limit": 0, "skip": 0, "data": [] });
    assert_eq!(page(&people, json!({ "age": { "$gt": 20 }, "$limit": 0 })).await, counted);
}

#[tokio::test]
async fn pagination_and_multi_may_be_set_for_one_call() {
    let people = three(MemoryService::new()).await;
    for params in [with("paginate", json!({ "default": 2 })), with("adapter", json!({ "paginate": { "default": 2 } }))]
    {
        assert_eq!(people.find().params(params).await.unwrap()["limit"], 2);
    }
    let multi = with("adapter", json!({ "multi": ["create"] }));
    let made = people.create(json!([{}, {}])).params(multi.clone()).await.unwrap();
    assert_eq!(made.as_array().unwrap().len(), 2);
    fails(people.patch_many(json!({})).params(multi).await, (405, "Can not patch multiple entries"));

    let paged = three(MemoryService::new().paginate(1, 2).multi(true)).await;
    let all = paged.find().params(with("paginate", json!(false))).await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 3);
    let only_max = paged.find().params(with("paginate", json!({ "max": 5 }))).await.unwrap();
    assert_eq!((&only_max["limit"], &only_max["total"]), (&json!(0), &json!(3)));
    let no_multi = with("adapter", json!({ "multi": false }));
    fails(paged.remove_many().params(no_multi).await, (405, "Can not remove multiple entries"));
}

#[tokio::test]
async fn nonsense_in_the_options_of_a_call_is_refused() {
    let people = three(MemoryService::new()).await;
    fails(people.find().params(with("paginate", json!("all"))).await, (400, "params.paginate cannot be \"all\""));
    let multi = people.remove_many().params(with("adapter", json!({ "multi": 1 }))).await;
    fails(multi, (400, "params.adapter.multi cannot be 1"));
}

#[test]
fn clones_share_the_store() -> Result<()> {
    let one = MemoryService::new();
    let other = one.clone().records([json!({})]);
    assert_eq!((one.len(), other.len(), one.is_empty()), (1, 1, false));
    Ok(())
}

#[test]
#[should_panic(expected = "A record with the id '1' exists already")]
fn initial_records_that_contradict_each_other_panic() {
    let _ = MemoryService::new().records([json!({ "id": 1 }), json!({ "id": "1" })]);
}

#[test]
#[should_panic(expected = "name the id field before there are records")]
fn the_id_field_is_named_before_there_are_records() {
    let _ = MemoryService::new().records([json!({})]).id_field("key");
}

/// A query of many conditions, none of which holds.
fn long(field: &str) -> Value {
    let conditions: Vec<Value> = (0..900).map(|n| json!({ field: format!("no {n}") })).collect();
    json!({ "$or": [{ field: { "$nin": ["x"] } }, { "$or": conditions }] })
}

#[tokio::test]
async fn a_long_query_holds_up_neither_those_who_read_nor_those_who_write() {
    let records = (0..500).map(|n| json!({ "n": n }));
    let service = MemoryService::new().multi(true).records(records);
    let find = || service.find(Params::default().with_query(long("n")));
    let turns = all_turns().await;
    let mut found = pin!(find());
    // It is answered on another thread, so this one, which is the only one here, goes on.
    assert!(poll!(&mut found).is_pending());
    let done = |call: BoxFuture<'_, Result<Value>>| call.now_or_never().unwrap().unwrap();
    done(Box::pin(service.create(json!({ "n": 500 }), Params::default())));
    done(Box::pin(service.patch(Some(0.into()), json!({ "n": "x" }), Params::default())));
    done(Box::pin(service.remove(Some(1.into()), Params::default())));
    assert_eq!(done(Box::pin(service.get(0.into(), Params::default())))["n"], "x");
    drop(turns);
    // The answer is of the records as they were when it was asked.
    let found = found.await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 500);
    assert_eq!((&found[0]["n"], &found[1]["n"]), (&json!(0), &json!(1)));
    assert_eq!(find().await.unwrap().as_array().unwrap().len(), 499);
}

#[tokio::test]
async fn a_long_change_of_many_leaves_alone_what_no_longer_satisfies_its_query() {
    for remove in [false, true] {
        let service = MemoryService::new().multi(true).records((0..500).map(|n| json!({ "n": n })));
        let params = || Params::default().with_query(long("n"));
        let mut changed: BoxFuture<'_, _> = if remove {
            Box::pin(service.remove(None, params()))
        } else {
            Box::pin(service.patch(None, json!({ "seen": true }), params()))
        };
        let turns = all_turns().await;
        assert!(poll!(&mut changed).is_pending());
        for (id, n) in [(0, json!("x")), (1, json!("y"))] {
            service.patch(Some(id.into()), json!({ "n": n }), Params::default()).await.unwrap();
        }
        service.remove(Some(2.into()), Params::default()).await.unwrap();
        drop(turns);
        let changed = changed.await.unwrap();
        let ids: Vec<_> = changed.as_array().unwrap().iter().map(|record| record["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, (1..500).filter(|id| *id != 2).collect::<Vec<_>>());
        assert_eq!(service.len(), if remove { 1 } else { 499 });
        assert_eq!(service.get(0.into(), Params::default()).await.unwrap(), json!({ "n": "x", "id": 0 }));
    }
}

#[tokio::test]
async fn a_change_of_many_whose_caller_has_gone_changes_nothing() {
    let service = MemoryService::new().multi(true).records((0..500).map(|n| json!({ "n": n })));
    let mut removing = Box::pin(service.remove(None, Params::default().with_query(long("n"))));
    let turns = all_turns().await;
    assert!(poll!(&mut removing).is_pending());
    drop((removing, turns));
    assert_eq!(service.find(Params::default()).await.unwrap().as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn a_query_that_is_too_broad_is_refused_by_every_method_and_nothing_runs() {
    let service = MemoryService::new().multi(true).records([json!({ "a": 1 })]);
    let broad = json!({ "$or": vec![json!({ "a": 1 }); 1001] });
    let sort = json!({ "$sort": (0..33).map(|n| (n.to_string(), json!(1))).collect::<Value>() });
    let select = json!({ "$select": vec!["a"; 10_001] });
    for query in [broad, sort, select] {
        let params = || Params::default().with_query(query.clone());
        let answers = [
            service.find(params()).await,
            service.get(0.into(), params()).await,
            service.update(Some(0.into()), json!({}), params()).await,
            service.patch(Some(0.into()), json!({}), params()).await,
            service.patch(None, json!({}), params()).await,
            service.remove(Some(0.into()), params()).await,
            service.remove(None, params()).await,
        ];
        for answer in answers {
            let error = answer.unwrap_err();
            assert!(error.code() == 400 && error.message().contains("the limit `limits.query_"), "{error}");
        }
        assert_eq!(service.get(0.into(), Params::default()).await, Ok(json!({ "a": 1, "id": 0 })));
    }
    // Nothing but $select means anything to it.
    let select = Params::default().with_query(json!({ "$select": vec!["a"; 10_001] }));
    assert_eq!(service.create(json!({}), select).await.unwrap_err().code(), 400);
}

mod unique {
    use super::*;

    fn users() -> (MemoryService, crate::Handle) {
        let store = MemoryService::new().multi(true).unique(["email"]);
        (store.clone(), App::new().register("users", store).service("users"))
    }

    #[tokio::test]
    async fn a_value_is_taken_until_its_record_changes_or_goes() {
        let (_, users) = users();
        users.create(json!({ "email": "a" })).await.unwrap();
        assert_eq!(users.create(json!({ "email": "a" })).await.unwrap_err().code(), 409);
        users.patch(0, json!({ "email": "b" })).await.unwrap();
        users.create(json!({ "email": "a" })).await.unwrap();
        assert_eq!(users.update(0, json!({ "email": "a" })).await.unwrap_err().code(), 409);
        assert_eq!(users.patch(0, json!({ "email": "a" })).await.unwrap_err().code(), 409);
        users.update(0, json!({ "email": "b", "name": "Bo" })).await.unwrap();
        users.remove(1).await.unwrap();
        users.patch(0, json!({ "email": "a" })).await.unwrap();
        assert_eq!(users.find().await.unwrap(), json!([{ "id": 0, "email": "a", "name": "Bo" }]));
    }

    #[tokio::test]
    async fn of_several_records_all_are_done_or_none() {
        let (store, users) = users();
        let twice = json!([{ "email": "a" }, { "email": "b" }, { "email": "a" }]);
        assert_eq!(users.create(twice).await.unwrap_err().code(), 409);
        assert!(store.is_empty());
        users.create(json!([{ "email": "a" }, { "email": "b" }])).await.unwrap();
        assert_eq!(users.patch_many(json!({ "email": "c", "seen": true })).await.unwrap_err().code(), 409);
        users.patch_many(json!({ "seen": true })).await.unwrap();
        let all = json!([{ "email": "a", "id": 0, "seen": true }, { "email": "b", "id": 1, "seen": true }]);
        assert_eq!(users.find().await.unwrap(), all);
    }

    #[tokio::test]
    async fn missing_and_null_values_do_not_count_and_equal_numbers_do() {
        let (_, users) = users();
        users.create(json!([{}, {}, { "email": null }, { "email": null }, { "email": 7 }])).await.unwrap();
        assert_eq!(users.create(json!({ "email": 7.0 })).await.unwrap_err().code(), 409);
        users.create(json!({ "email": "7" })).await.unwrap();
    }
}
