//! The parts that need no Redis: frames, hooks, the way from a path to its service, queries, schemas, the store in memory.
//!
//! ```sh
//! cargo bench --bench pure --features schema -- memory
//! ```

#![allow(clippy::unwrap_used)] // what fails here is a mistake of the benchmark

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rachis::{
    ALL, App, Call, Context, Handle, Id, MemoryService, Method, Next, Params, Registration, Result, Service,
    ServiceExt,
    query::{Filter, Query},
    schema::Schemas,
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

/// Takes what it is given, and returns nothing of it.
struct Sink;

impl Service for Sink {
    const METHODS: &[Method] = &[Method::Find, Method::Create];

    async fn find(&self, _: Params) -> Result<Value> {
        Ok(Value::Null)
    }

    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        Ok(Value::Null)
    }
}

/// A call in the process with a record of ten fields, or a query of three, and what checking it adds.
fn schemas(c: &mut Criterion) {
    let record = json!({
        "name": "Ada Lovelace", "email": "ada@example.org", "age": 36, "height": 1.65, "active": true,
        "tags": ["one", "two"], "city": "London", "zip": "W1", "visits": 12_345, "note": "x".repeat(100),
    });
    let text = json!({ "type": "string", "minLength": 1, "maxLength": 200 });
    let integer = json!({ "type": "integer", "minimum": 0 });
    let schema = json!({
        "type": "object",
        "properties": {
            "name": text, "email": text, "age": integer, "height": { "type": "number" }, "active": { "type": "boolean" },
            "tags": { "type": "array", "items": text }, "city": text, "zip": text, "visits": integer, "note": text,
        },
        "required": ["name", "email"],
        "additionalProperties": false,
    });
    let query = json!({ "age": { "$gte": "18", "$lt": "65" }, "city": "London", "$limit": "10" });
    let runtime = runtime();
    let mut group = c.benchmark_group("schemas");
    for (kind, service) in [
        ("without", Registration::from(Sink)),
        ("with", Sink.schemas(Schemas::new().record(schema.clone()).data(Method::Create, schema.clone()))),
    ] {
        let sink = App::new().register("sink", service).service("sink");
        group.bench_function(BenchmarkId::new("create", kind), |b| {
            b.iter_batched(
                || record.clone(),
                |record| runtime.block_on(async { sink.create(record).await }).unwrap(),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("find", kind), |b| {
            b.iter_batched(
                || query.clone(),
                |query| runtime.block_on(async { sink.find().query(query).await }).unwrap(),
                BatchSize::SmallInput,
            );
        });
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

criterion_group!(benches, frames, schemas, hooks, paths, queries, memory);
criterion_main!(benches);
