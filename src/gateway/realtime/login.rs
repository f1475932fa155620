//! Who is at the other end of a socket: what calls of the authentication service mean for it.
//!
//! Nothing is verified here. The service's own answer says that somebody logged in, and the hooks of each service check
//! the token that goes with every call from then on.

use super::Realtime;
use crate::{
    Answer, Call, Caller, Method, Params, Result,
    auth::parse_header,
    gateway::channels::{Connection, Login},
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::task::AbortHandle;

impl Realtime {
    /// Makes a call and heeds what it means for the connection it came in by, and for channels.
    ///
    /// # Errors
    /// Those of the call.
    pub(in crate::gateway) async fn call(&self, call: Box<Call>, connection: Option<&Connection>) -> Result<Answer> {
        let logs = matches!(call.method, Method::Create | Method::Remove)
            && !self.authentication.is_empty()
            && call.path == self.authentication;
        let noted = logs.then(|| (call.method.clone(), call.params.clone()));
        let answer = self.node.call(call).await?;
        if let Some((method, params)) = noted {
            self.note(&method, &params, &answer.result, connection);
        }
        Ok(answer)
    }

    fn note(&self, method: &Method, params: &Params, result: &Value, connection: Option<&Connection>) {
        let login = Login { result, params, connection };
        if *method == Method::Create {
            if let Some(connection) = connection {
                log_in(connection, result, &self.entity);
            }
            self.channels.logged_in(&login);
        } else {
            if let Some(connection) = connection {
                log_out(connection, result);
            }
            self.channels.logged_out(&login);
        }
    }

    /// Logs in by the token of the handshake, if there is one and an authentication service to ask.
    ///
    /// # Errors
    /// Those of the authentication service.
    pub(super) async fn log_in_by_header(&self, connection: &Connection) -> Result<()> {
        let header = connection.headers().get("authorization");
        let Some(credentials) = header.and_then(|header| parse_header(header)) else { return Ok(()) };
        let service = self.node.resolve(&self.authentication).filter(|_| !self.authentication.is_empty());
        if !service.is_some_and(|service| service.descriptor.methods.contains(&Method::Create)) {
            return Ok(());
        }
        let mut params =
            Params { provider: Some("socketio".into()), headers: connection.shared_headers(), ..Params::default() };
        params.extensions.insert(connection.clone());
        let call = Call { data: credentials, params, ..Call::new(&self.authentication, Method::Create) };
        self.call(Box::new(call), Some(connection)).await.map(drop)
    }
}

/// Whatever the strategy was, the token is what the next calls bring along.
fn log_in(connection: &Connection, result: &Value, entity: &str) {
    let Some(token) = result.get("accessToken").filter(|token| token.is_string()) else { return };
    let authentication = json!({ "strategy": "jwt", "accessToken": token });
    let expiry = result.pointer("/authentication/payload/exp").and_then(Value::as_f64);
    let expiry = expiry.map(|at| disconnect_at(connection.clone(), at));
    connection.log_in(result.get(entity).cloned(), authentication, expiry);
}

/// Somebody else's token logs nobody out.
fn log_out(connection: &Connection, result: &Value) {
    let own = connection.authentication().and_then(|own| own.get("accessToken").cloned());
    if own.is_some() && own.as_ref() == result.get("accessToken") {
        connection.log_out();
    }
}

/// Disconnects at `expiry`, in seconds since 1970 by this machine's clock.
fn disconnect_at(connection: Connection, expiry: f64) -> AbortHandle {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let expiry = Duration::try_from_secs_f64(expiry.max(0.0)).unwrap_or(Duration::MAX);
    let left = expiry.saturating_sub(now);
    let task = tokio::spawn(async move {
        tokio::time::sleep(left).await;
        connection.disconnect();
    });
    task.abort_handle()
}
