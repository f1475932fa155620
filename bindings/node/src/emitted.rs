//! Events in the form of either side.

use crate::message::{EventContextMessage, EventMessage};
use rachis::{Event, EventContext, Id};
use serde_json::Value;

impl From<Event> for EventMessage {
    fn from(event: Event) -> Self {
        let context = event.context.map(|context| EventContextMessage {
            method: context.method.name().to_owned(),
            id: context.id.map_or(Value::Null, Into::into),
            data: Vec::from_iter(context.data),
            query: context.query,
            route: context.route,
            provider: context.provider,
            user: context.user,
        });
        EventMessage { path: event.path, name: event.name, data: event.data, context, by: None }
    }
}

impl From<EventContextMessage> for EventContext {
    fn from(message: EventContextMessage) -> Self {
        EventContext {
            method: message.method.as_str().into(),
            id: Id::from_json(&message.id),
            query: message.query,
            route: message.route,
            provider: message.provider,
            user: message.user,
            data: message.data.into_iter().next(),
        }
    }
}
