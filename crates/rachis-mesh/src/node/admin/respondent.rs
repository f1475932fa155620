//! Says what operators ask a node for, and does what they tell it.

use super::history::History;
#[cfg(feature = "resilience")]
use crate::node::resilience::Resilience;
use crate::{
    node::{
        client::waiting::Waiting,
        server::partitions::Partitions,
        shared::{context::NodeContext, life::Life, live_config::LiveConfig, metrics::Meters},
    },
    redis::queue::{Write, Writer},
    wire::{Frame, Question, Statement},
};
use rachis_core::{Error, Result};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

/// Questions by their names on the wire.
pub(crate) mod name {
    pub(crate) const PING: &str = "ping";
    pub(crate) const STATS: &str = "stats";
    pub(crate) const LOG: &str = "log";
    pub(crate) const DRAIN: &str = "drain";
    pub(crate) const HISTORY: &str = "history";
    pub(crate) const TAP: &str = "tap";
}

/// Lets a program log by another level.
pub(crate) type SetLogLevel = Box<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// Answers the questions that come to a node.
pub(crate) struct Respondent {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) life: Arc<Life>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) history: Arc<History>,
    #[cfg(feature = "resilience")]
    pub(crate) resilience: Arc<Resilience>,
    pub(crate) set_log_level: SetLogLevel,
    pub(crate) writer: Writer,
    pub(crate) born: Instant,
}

impl Respondent {
    /// Answers one question, unless its asker has stopped waiting.
    pub(crate) fn asked(&self, question: &Question) {
        if self.context.clock.now() > question.expires {
            return tracing::debug!(name = question.name, from = question.from, "a question that came too late");
        }
        let outcome = self.answer(question);
        let inbox = self.context.keys.inbox(&question.from);
        match Statement::new(question.id, outcome).encode(self.context.signer.at(&inbox)) {
            Ok(frame) => {
                self.writer.push(Write::Send { inbox: inbox.into(), frame: frame.into(), then: None });
            }
            Err(error) => tracing::error!(%error, "no answer to a question could be made"),
        }
    }

    fn answer(&self, question: &Question) -> Result<Value> {
        match question.name.as_str() {
            name::PING => Ok(Value::Null),
            name::STATS => Ok(self.stats()),
            name::TAP => self.tapped(&question.argument),
            name::HISTORY => Ok(self.last_hour(&question.argument)),
            name::LOG => self.set_log_level(&question.argument, &question.from),
            name::DRAIN => {
                tracing::info!(by = question.from, "told to leave the mesh");
                self.life.dismissed.cancel();
                Ok(Value::Null)
            }
            other => Err(Error::method_not_allowed(format!(
                "This node ({}) knows no question '{other}': it is of version {}",
                self.context.identity.id,
                env!("CARGO_PKG_VERSION")
            ))),
        }
    }

    fn stats(&self) -> Value {
        json!({
            "uptime": u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX),
            "readiness": self.life.readiness().as_str(),
            "in_flight": self.partitions.in_flight(),
            "max_in_flight": self.config.load().limits.max_in_flight,
            "pending": self.waiting.len(),
            "events_out": self.context.metrics.published.get(),
            "events_in": self.context.metrics.heard.get(),
            "redeliveries": self.context.metrics.redeliveries.get(),
            "dead_letters": self.context.metrics.dead_lettered.get(),
            "calls": readings(&self.context.metrics.calls),
            "requests": readings(&self.context.metrics.requests),
            "resilience": self.resilience(),
        })
    }

    /// # Errors
    /// `Forbidden` unless the configuration permits it.
    fn tapped(&self, argument: &Value) -> Result<Value> {
        if !self.config.load().tap {
            return Err(Error::forbidden(format!(
                "The node {} does not permit to watch its calls: `tap = true` in its configuration does",
                self.context.identity.id
            )));
        }
        Ok(self.context.metrics.taps.read(argument["from"].as_u64(), |moment| self.context.clock.at(moment)))
    }

    fn last_hour(&self, argument: &Value) -> Value {
        let mut told = self.history.after(argument["after"].as_u64().unwrap_or(0));
        told["readiness"] = self.life.readiness().as_str().into();
        told["max_in_flight"] = self.config.load().limits.max_in_flight.into();
        told
    }

    #[cfg(feature = "resilience")]
    fn resilience(&self) -> Vec<Value> {
        let readings = self.resilience.read().into_iter().map(|reading| {
            let [rate_limit, concurrency, breaker] = reading.refused;
            json!({
                "path": reading.path,
                "breaker": reading.breaker,
                "refused": { "rate_limit": rate_limit, "concurrency": concurrency, "breaker": breaker },
                "retries": reading.retries,
            })
        });
        readings.collect()
    }

    #[cfg(not(feature = "resilience"))]
    fn resilience(&self) -> Vec<Value> {
        Vec::new()
    }

    fn set_log_level(&self, level: &Value, by: &str) -> Result<Value> {
        let level =
            level.as_str().ok_or_else(|| Error::bad_request("A level is a text, such as info or rachis=debug"))?;
        (self.set_log_level)(level)?;
        tracing::info!(by, level, "another log level");
        Ok(Value::Null)
    }
}

fn readings(meters: &Meters) -> Vec<Value> {
    let reading = meters.read().into_iter().map(|reading| {
        json!({
            "path": &*reading.path,
            "method": reading.method.name(),
            "errors": reading.errors,
            "latencies": reading.latencies.to_json(),
        })
    });
    reading.collect()
}
