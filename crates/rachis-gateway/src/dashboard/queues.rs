//! Queues and dead letters as records.

use super::{
    cache::Cached,
    collector::Collector,
    listing::{Listing, fields},
};
use rachis_core::{Error, Id, Method, Params, Result, Service};
use rachis_mesh::{DeadLetter, Node, QueueInfo};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Letters that are read of one app, the newest, and apps whose letters are read at once.
const LETTERS: usize = 200;
const APPS: usize = 20;

/// What is read of all queues, for both services.
pub(super) type AllQueues = Arc<Cached<Vec<QueueInfo>>>;

/// `find` lists the queues of all apps.
pub(super) struct Queues {
    pub(super) collector: Arc<Collector>,
    pub(super) all: AllQueues,
}

impl Service for Queues {
    const METHODS: &'static [Method] = &[Method::Find];

    async fn find(&self, params: Params) -> Result<Value> {
        let listing = Listing::of(&params)?;
        let node = self.collector.node()?;
        let queues = self.all.get(|| node.queues()).await?;
        let found = queues.iter().filter(|queue| listing.finds([queue.app.as_str(), &queue.key]));
        let records = found.map(|queue| {
            fields(json!({
                "id": app_of(queue),
                "key": queue.key,
                "app": queue.app,
                "depth": queue.depth,
                "age": queue.age,
                "pending": queue.pending.values().sum::<u64>(),
                "replicas": queue.pending,
                "dead_letters": queue.dead_letters,
            }))
        });
        Ok(listing.page(records.collect(), |_| {}))
    }
}

/// `find` lists dead letters, `get` reads one, `replay` makes its call again and `drop` throws it away. Both of these are custom
/// methods, which fire no events.
pub(super) struct DeadLetters {
    pub(super) collector: Arc<Collector>,
    pub(super) all: AllQueues,
    pub(super) writable: bool,
}

impl Service for DeadLetters {
    const METHODS: &'static [Method] =
        &[Method::Find, Method::Get, Method::custom("replay"), Method::custom("discard")];

    async fn find(&self, mut params: Params) -> Result<Value> {
        let app = match params.query.shift_remove("of") {
            None | Some(Value::Null) => None,
            Some(Value::String(app)) => Some(app),
            Some(_) => return Err(Error::bad_request("`of` must be an app, as KEY/APP")),
        };
        let listing = Listing::of(&params)?;
        let node = self.collector.node()?;
        let queues = self.all.get(|| node.queues()).await?;
        let with_letters = queues.iter().filter(|queue| queue.dead_letters > 0);
        let apps: Vec<String> =
            with_letters.map(app_of).filter(|name| app.as_ref().is_none_or(|app| app == name)).take(APPS).collect();
        let mut records = Vec::new();
        for app in &apps {
            for letter in node.dead_letters(app).list(LETTERS).await? {
                let path = letter.call.as_ref().map_or("", |call| &call.path);
                if listing.finds([letter.id.as_str(), &letter.app, &letter.reason, path]) {
                    records.push(record(&letter));
                }
            }
        }
        records.sort_by_key(|record| std::cmp::Reverse(record["buried"].as_u64()));
        Ok(listing.page(records, |_| {}))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        let node = self.collector.node()?;
        let (app, letter) = place(&id.to_string())?;
        Ok(record(&node.dead_letters(&app).get(&letter).await?).into())
    }

    async fn custom(&self, method: &str, data: Value, _: Params) -> Result<Value> {
        if !self.writable {
            return Err(Error::forbidden("The dashboard is read-only: gateway.dashboard.writable allows more"));
        }
        let id = data["id"].as_str().ok_or_else(|| Error::bad_request("`id` must be the id of a dead letter"))?;
        let node = self.collector.node()?;
        let outcome = self.change(&node, method, id).await;
        self.all.forget().await;
        outcome
    }
}

impl DeadLetters {
    async fn change(&self, node: &Node, method: &str, id: &str) -> Result<Value> {
        let (app, letter) = place(id)?;
        let letters = node.dead_letters(&app);
        match method {
            "replay" => {
                tracing::info!(app, letter, "a dead letter is replayed by the dashboard");
                let replay = letters.replay(&letter).await?;
                Ok(match replay.outcome {
                    Ok(result) => json!({ "removed": replay.removed, "result": result }),
                    Err(error) => json!({ "removed": replay.removed, "error": error.to_json() }),
                })
            }
            "discard" => {
                tracing::info!(app, letter, "a dead letter is thrown away by the dashboard");
                Ok(json!({ "removed": letters.remove(&letter).await? }))
            }
            other => Err(Error::method_not_allowed(format!("Dead letters have no method '{other}'"))),
        }
    }
}

fn app_of(queue: &QueueInfo) -> String {
    format!("{}/{}", queue.key, queue.app)
}

/// The app and the letter that an id of a record means: `KEY/APP/LETTER`.
fn place(id: &str) -> Result<(String, String)> {
    let place = id.rsplit_once('/').filter(|(app, letter)| app.contains('/') && !letter.is_empty());
    let (app, letter) =
        place.ok_or_else(|| Error::not_found(format!("No dead letter '{id}': an id is KEY/APP/LETTER")))?;
    Ok((app.to_owned(), letter.to_owned()))
}

fn record(letter: &DeadLetter) -> Map<String, Value> {
    let mut record = fields(serde_json::to_value(letter).unwrap_or_default());
    let id = format!("{}/{}/{}", letter.key, letter.app, letter.id);
    record.insert("letter".into(), letter.id.clone().into());
    record.insert("id".into(), id.into());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_found_by_its_app_and_what_is_no_id_is_not_found() {
        assert_eq!(place("default/shop/17-0.3").unwrap(), ("default/shop".to_owned(), "17-0.3".to_owned()));
        for nonsense in ["", "17-0", "shop/17-0", "default/shop/"] {
            assert_eq!(place(nonsense).unwrap_err().code(), 404, "{nonsense}");
        }
    }
}
