//! Orders: each looks up its product, and has a mail sent.

use rachis::{
    Error, Method, Params, Registration, Result, Service, ServiceExt,
    schema::{Schema, Schemas},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a customer wants.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    /// The id of the product.
    product: u32,
    #[schemars(range(min = 1, max = 20))]
    count: u32,
    /// Where the confirmation goes.
    #[schemars(length(min = 3, max = 100))]
    email: String,
    /// Whether it is a present.
    #[serde(default)]
    gift: bool,
}

#[derive(Serialize, JsonSchema)]
struct Order {
    id: u64,
    product: u32,
    count: u32,
    /// In cents.
    total: u64,
    gift: bool,
}

#[derive(Default)]
struct Orders(AtomicU64);

pub(crate) fn service() -> Registration {
    let schemas = Schemas::new()
        .record(Schema::output::<Order>())
        .data(Method::Create, Schema::input::<NewOrder>())
        .describe("Orders of customers. A confirmation goes by mail.");
    Orders::default().schemas(schemas)
}

impl Service for Orders {
    const METHODS: &[Method] = &[Method::Create];

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        let wanted: NewOrder = serde_json::from_value(data).map_err(|error| Error::bad_request(error.to_string()))?;
        let product = params.service("products").get(wanted.product).await?;
        let total = product["price"].as_u64().unwrap_or(0) * u64::from(wanted.count);
        let id = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("Your order {id}: {} x {}", wanted.count, product["name"].as_str().unwrap_or("?"));
        params.service("mails").custom("send", json!({ "to": wanted.email, "text": text })).await?;
        let order = Order { id, product: wanted.product, count: wanted.count, total, gift: wanted.gift };
        Ok(serde_json::to_value(order)?)
    }
}
