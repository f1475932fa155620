//! What can be bought. Each replica has the same few products.

use rachis::{
    Error, Id, Method, Params, Registration, Result, Service, ServiceExt,
    query::Filter,
    schema::{Schema, Schemas},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Something to buy.
#[derive(Serialize, JsonSchema)]
struct Product {
    id: u32,
    name: String,
    /// In cents.
    price: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Book,
    Tool,
    Plant,
}

struct Products(Vec<Map<String, Value>>);

pub(crate) fn service() -> Registration {
    let all = [
        ("Atlas", Kind::Book, 3900),
        ("Spade", Kind::Tool, 2450),
        ("Fern", Kind::Plant, 1200),
        ("Lexicon", Kind::Book, 5600),
    ];
    let all = all.into_iter().zip(1..).map(|((name, kind, price), id)| Product { id, name: name.into(), price, kind });
    let records = all.filter_map(|product| serde_json::to_value(product).ok()?.as_object().cloned());
    let schemas = Schemas::new().record(Schema::output::<Product>()).describe("What can be bought.");
    Products(records.collect()).schemas(schemas)
}

impl Service for Products {
    const METHODS: &[Method] = &[Method::Find, Method::Get];

    async fn find(&self, params: Params) -> Result<Value> {
        // As long as a small database would take.
        tokio::time::sleep(Duration::from_millis(4)).await;
        let filter = Filter::of(&params)?;
        Ok(filter.find(self.0.iter(), filter.limit()).records.into_iter().cloned().map(Value::Object).collect())
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        // The id in a URL is text.
        let number: Option<u64> = id.to_string().parse().ok();
        let found = self.0.iter().find(|product| number.is_some() && product["id"].as_u64() == number);
        found.cloned().map(Value::Object).ok_or_else(|| Error::not_found(format!("No product {id}")))
    }
}
