//! A collection with methods and an event of its own.

use rachis::{Error, Id, MemoryService, Method, Params, Result, Service};
use serde_json::{Value, json};

pub(crate) struct Messages {
    records: MemoryService,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Messages { records: MemoryService::new().multi(true).paginate(10, 50) }
    }

    fn shout(data: &Value, params: &Params) -> Result<Value> {
        if data["fail"].as_bool().unwrap_or_default() {
            return Err(Error::unprocessable("Can not shout").with_errors(json!({ "text": "too quiet" })));
        }
        let text = data["text"].as_str().unwrap_or_default().to_uppercase();
        Ok(json!({ "text": text, "provider": params.provider, "query": Value::from(params.query.clone()) }))
    }

    fn announce(data: &Value, params: &Params) -> Result<Value> {
        params.service("messages").emit("announced", json!({ "text": data["text"] }))?;
        Ok(json!({ "announced": true }))
    }
}

impl Service for Messages {
    const METHODS: &'static [Method] = &[
        Method::Find,
        Method::Get,
        Method::Create,
        Method::Update,
        Method::Patch,
        Method::Remove,
        Method::custom("shout"),
        Method::custom("announce"),
    ];
    const EVENTS: &'static [&'static str] = &["announced"];

    async fn find(&self, params: Params) -> Result<Value> {
        self.records.find(params).await
    }

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        self.records.get(id, params).await
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        self.records.create(data, params).await
    }

    async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        self.records.update(id, data, params).await
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        self.records.patch(id, data, params).await
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        self.records.remove(id, params).await
    }

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        match method {
            "shout" => Messages::shout(&data, &params),
            "announce" => Messages::announce(&data, &params),
            _ => Err(Error::method_not_allowed(format!("messages has no method {method}"))),
        }
    }
}
