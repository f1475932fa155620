//! Which sockets get which events.

use rachis::gateway::{Channel, Channels};
use serde_json::{Value, json};

const EVERYONE: &str = "everyone";
const ANONYMOUS: &str = "anonymous";
const AUTHENTICATED: &str = "authenticated";

pub(crate) fn channels() -> Channels {
    let silent = ["people", "people-customid", "echo", "orgs/:orgId/echo", "meta", "notes"];
    silent
        .iter()
        .fold(Channels::new(), |channels, path| channels.publish_service(path, |_, _| ()))
        .on_connection(|connection, channels| {
            channels.channel([EVERYONE, ANONYMOUS]).join(connection);
        })
        .on_login(|login, channels| {
            let Some(connection) = login.connection else { return };
            channels.channel(ANONYMOUS).leave(connection);
            channels.channel([AUTHENTICATED.to_owned(), user(&login.result["user"]["id"])]).join(connection);
        })
        .on_logout(|login, channels| {
            // It has left all channels by now.
            if let Some(connection) = login.connection {
                channels.channel([EVERYONE, ANONYMOUS]).join(connection);
            }
        })
        .publish(|_, channels| channels.channel(EVERYONE))
        .publish_service("secured", |_, channels| channels.channel(AUTHENTICATED))
        .publish_service_event("notes", "created", |event, channels| owner(&event.data, channels))
        .publish_service_event("notes", "patched", |event, channels| {
            let method = event.context.as_ref().map(|context| context.method.name());
            let redacted = json!({ "id": event.data["id"], "redacted": true, "method": method });
            // A socket in both gets it by the first.
            [owner(&event.data, channels), channels.channel(EVERYONE).send(redacted)]
        })
}

fn owner(note: &Value, channels: &Channels) -> Channel {
    channels.channel(user(&note["userId"]))
}

/// The channel of all sockets of one user.
fn user(id: &Value) -> String {
    format!("users/{id}")
}
