//! The parts that need no Redis: frames, hooks, the way from a path to its service, queries, the store in memory.
//!
//! ```sh
//! cargo bench --bench pure -- memory
//! ```

#![allow(clippy::unwrap_used)] // what fails here is a mistake of the benchmark

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rachis::{
    ALL, App, Call, Context, Handle, Id, MemoryService, Method, Next, Params, Registration, Result, Service,
    query::{Filter, Query},
};
use rachis_mesh::measured::Frames;
use serde_json::{Value, json};
use std::hint::black_box;
use tokio::runtime::{Builder, Runtime};

struct Echo;

impl Service for Echo {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }
}

async fn pass(ctx: Context, next: Next) -> Result<Context> {
    next.run(ctx).await
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn get(runtime: &Runtime, service: &Handle, id: &str) -> Value {
    runtime.block_on(async { service.get(id).await }).unwrap()
}

/// What each of two nodes does with the frames of one call; a reply of 130 bytes, and one of a hundred such records.
fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames");
    let call = Call { id: Some(Id::from("1")), ..Call::new("echo", Method::Get) };
    let record = json!({ "id": "1", "title": "hello", "text": "x".repeat(100) });
    let list = Value::from(vec![record.clone(); 100]);
    for (kind, frames) in [("open", Frames::new(None)), ("signed", Frames::new(Some("a secret of sixteen bytes")))] {
        let request = frames.write_request(call.clone()).unwrap();
        group.bench_function(BenchmarkId::new("write request", kind), |b| {
            b.iter_batched(|| call.clone(), |call| frames.write_request(call).unwrap(), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("read request", kind), |b| {
            b.iter(|| frames.read_request(black_box(&request)).unwrap());
        });
        for (size, value) in [("record", &record), ("list", &list)] {
            let reply = frames.write_reply(value.clone()).unwrap();
            group.throughput(Throughput::Bytes(reply.len() as u64));
            group.bench_function(BenchmarkId::new(format!("write reply, {size}"), kind), |b| {
                b.iter_batched(|| value.clone(), |value| frames.write_reply(value).unwrap(), BatchSize::SmallInput);
            });
            group.bench_function(BenchmarkId::new(format!("read reply, {size}"), kind), |b| {
                b.iter(|| frames.read_reply(black_box(&reply)).unwrap());
            });
        }
    }
    group.finish();
}

/// A call in the process, by how many hooks are around it.
fn hooks(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("hooks");
    for count in [0, 1, 5, 20] {
        let service = (0..count).fold(Registration::from(Echo), |service, _| service.around(ALL, pass));
        let echo = App::new().register("echo", service).service("echo");
        group.bench_function(BenchmarkId::from_parameter(count), |b| b.iter(|| get(&runtime, &echo, black_box("1"))));
    }
    group.finish();
}

/// So many services, every other one with a placeholder in its path.
fn services(count: usize) -> App {
    (0..count).fold(App::new(), |app, number| match number % 2 {
        0 => app.register(&format!("api/v1/service-{number}"), Echo),
        _ => app.register(&format!("orgs/:org/service-{number}"), Echo),
    })
}

/// The same call without hooks, among more and more other services. Those are registered only where they are measured:
/// every registration makes the routes anew, so ten thousand take a while.
fn paths(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("paths");
    for count in [10, 1_000, 10_000] {
        let last = [
            ("plain", format!("api/v1/service-{}", count - 2)),
            ("placeholder", format!("orgs/7/service-{}", count - 1)),
        ];
        for (kind, path) in last {
            group.bench_function(BenchmarkId::new(kind, count), |b| {
                let service = services(count).service(&path);
                b.iter(|| get(&runtime, &service, black_box("1")));
            });
        }
    }
    group.finish();
}

fn record(number: usize) -> Value {
    json!({
        "name": format!("name {}", number * 7919 % 1000), "age": number % 90, "done": number.is_multiple_of(3),
        "tags": ["a", "b"], "address": { "city": format!("city {}", number % 50) },
    })
}

/// One record against a query of each kind.
fn queries(c: &mut Criterion) {
    let mut group = c.benchmark_group("matches");
    let record = record(42);
    let record = record.as_object().unwrap();
    for (name, query) in [
        ("equal", json!({ "age": 42 })),
        ("range", json!({ "age": { "$gte": 18, "$lt": 65 } })),
        ("in", json!({ "name": { "$in": ["name 1", "name 2", "name 598"] } })),
        ("or", json!({ "$or": [{ "age": 1 }, { "done": true }] })),
        ("nested", json!({ "address.city": "city 42" })),
    ] {
        let query: Query = serde_json::from_value(query).unwrap();
        let filter = Filter::parse(&query).unwrap();
        assert!(filter.matches(record), "{name}: a record that fits shows all of the work");
        group.bench_function(name, |b| b.iter(|| filter.matches(black_box(record))));
    }
    group.bench_function("parse", |b| {
        let query: Query =
            serde_json::from_value(json!({ "age": { "$gte": 18 }, "$sort": { "name": 1 }, "$limit": 10 })).unwrap();
        b.iter(|| Filter::parse(black_box(&query)).unwrap());
    });
    group.finish();
}

/// A page of ten out of more and more records: filtered and sorted, so every record is looked at and ten are copied.
fn memory(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("memory");
    for count in [10usize, 100, 1_000, 10_000, 100_000] {
        let store = MemoryService::new().paginate(10, 50).records((0..count).map(record));
        let people = App::new().register("people", store).service("people");
        group.throughput(Throughput::Elements(count as u64));
        let page = json!({ "age": { "$gte": 18 }, "$sort": { "name": 1 }, "$limit": 10, "$skip": 5 });
        group.bench_function(BenchmarkId::new("find, filter, sort, page", count), |b| {
            b.iter(|| runtime.block_on(async { people.find().query(page.clone()).await }).unwrap());
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("get", count), |b| {
            b.iter(|| get(&runtime, &people, black_box("5")));
        });
        group.bench_function(BenchmarkId::new("create and remove", count), |b| {
            let replace = async |data| {
                let made = people.create(data).await?;
                people.remove(made["id"].as_i64().unwrap_or_default()).await
            };
            b.iter_batched(|| record(7), |data| runtime.block_on(replace(data)).unwrap(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, frames, hooks, paths, queries, memory);
criterion_main!(benches);
