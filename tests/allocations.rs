//! What a call of the memory service allocates. Alone in its program, since whatever else runs would be counted, too.

use rachis::{App, Handle, MemoryService};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a copy of one such record takes: the map, its keys and its texts.
const ALLOCATIONS_OF_A_RECORD: usize = 8;

fn people(count: usize) -> Handle {
    let record = |number: usize| {
        let city = json!({ "city": format!("city {}", number % 50) });
        json!({ "name": format!("name {}", number * 7919 % 1000), "age": number % 90, "address": city })
    };
    let store = MemoryService::new().paginate(10, 50).records((0..count).map(record));
    App::new().register("people", store).service("people")
}

/// The page that a `find` returns, and how often it allocated.
async fn find(people: &Handle, query: Value) -> (Value, usize) {
    let region = Region::new(COUNTED);
    let page = people.find().query(query).await.expect("a page");
    (page, region.change().allocations)
}

#[tokio::test]
async fn a_page_costs_as_many_allocations_however_many_records_there_are() {
    let few = people(100);
    let many = people(20_000);
    for query in [
        json!({ "$limit": 10, "$skip": 20 }),
        json!({ "age": { "$gte": 18 }, "$limit": 10 }),
        json!({ "age": { "$gte": 18 }, "$sort": { "name": 1, "address.city": -1 }, "$limit": 10, "$skip": 5 }),
    ] {
        let (small, of_few) = find(&few, query.clone()).await;
        let (page, of_many) = find(&many, query.clone()).await;
        assert_eq!(page["data"].as_array().map(Vec::len), small["data"].as_array().map(Vec::len));
        assert!(of_few > 10 * ALLOCATIONS_OF_A_RECORD, "{query}: {of_few} are too few to have copied a page");
        // The list of those that match grows a few times more often; one copied record would not be the only one.
        assert!(
            of_many < of_few + 50,
            "{query}: {of_many} allocations for a page out of 20,000 records, {of_few} out of 100"
        );
    }
}
