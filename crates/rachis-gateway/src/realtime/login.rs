//! The login of a socket: what calls of the authentication service mean for it.
//!
//! Nothing is verified here. The service's own answer says that a user logged in, and the hooks of each service check
//! the token that goes with every call from then on.

use super::Realtime;
use crate::channels::{Channels, Connection, Login};
use rachis_auth::parse_header;
use rachis_core::{Answer, Call, Caller, Method, Params, Result};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::task::AbortHandle;

impl Realtime {
    /// Makes a call and heeds what it means for the connection it came in by, and for channels.
    ///
    /// # Errors
    /// Those of the call.
    pub(crate) async fn call(self: &Arc<Self>, call: Box<Call>, connection: Option<&Connection>) -> Result<Answer> {
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

    fn note(self: &Arc<Self>, method: &Method, params: &Params, result: &Value, connection: Option<&Connection>) {
        let login = Login { result, params, connection };
        if *method == Method::Create {
            if let Some(connection) = connection {
                self.log_in(connection, result);
            }
            self.channels.logged_in(&login);
        } else {
            if let Some(connection) = connection {
                self.log_out(connection, result);
            }
            self.channels.logged_out(&login);
        }
    }

    /// Logs in by the token of the handshake, if there is one and an authentication service to ask.
    ///
    /// # Errors
    /// Those of the authentication service.
    pub(super) async fn log_in_by_header(self: &Arc<Self>, connection: &Connection) -> Result<()> {
        let header = connection.headers().get("authorization");
        let Some(credentials) = header.and_then(|header| parse_header(header)) else { return Ok(()) };
        let service = self.node.resolve(&self.authentication).filter(|_| !self.authentication.is_empty());
        if !service.is_some_and(|service| service.descriptor.methods.contains(&Method::Create)) {
            return Ok(());
        }
        let call = Call {
            data: credentials,
            params: params_of(connection),
            ..Call::new(&self.authentication, Method::Create)
        };
        self.call(Box::new(call), Some(connection)).await.map(drop)
    }
}

impl Realtime {
    /// Whatever the strategy was, the token is what the next calls bring along.
    fn log_in(self: &Arc<Self>, connection: &Connection, result: &Value) {
        let Some(token) = result.get("accessToken").filter(|token| token.is_string()) else { return };
        let user = result.get(&self.entity);
        let id = user.and_then(|user| self.id_of(user));
        if connection.authentication().is_some() && !self.is_same(connection.user().as_ref(), user) {
            // What the one might hear, the other may not.
            self.end_login(connection);
        }
        let authentication = json!({ "strategy": "jwt", "accessToken": token });
        let expiry = result.pointer("/authentication/payload/exp").and_then(Value::as_f64);
        let expiry = expiry.map(|at| disconnect_at(self.channels.clone(), connection.clone(), at));
        connection.log_in(user.cloned(), authentication, expiry);
        self.channels.set_owner(connection, id.clone());
        if let Some(id) = id {
            self.check_login(connection, &id);
        }
    }

    /// Returns `true` if both are certainly one user. The record of a login may lack the id.
    fn is_same(&self, one: Option<&Value>, other: Option<&Value>) -> bool {
        let (Some(one), Some(other)) = (one, other) else { return false };
        match (self.id_of(one), self.id_of(other)) {
            (None, None) => one == other,
            (one, other) => one == other,
        }
    }

    /// Ends the login, if it was the token of this login that was logged out.
    fn log_out(&self, connection: &Connection, result: &Value) {
        let own = connection.authentication().and_then(|own| own.get("accessToken").cloned());
        if own.is_some() && own.as_ref() == result.get("accessToken") {
            self.channels.set_owner(connection, None);
            connection.log_out();
        }
    }

    /// Logs a connection out without its doing.
    pub(super) fn end_login(&self, connection: &Connection) {
        let Some(mut credentials) = connection.authentication() else { return };
        let result = json!({ "accessToken": credentials["accessToken"].take(), &self.entity: connection.user() });
        let params = params_of(connection);
        self.log_out(connection, &result);
        self.channels.logged_out(&Login { result: &result, params: &params, connection: Some(connection) });
    }
}

/// What comes along with a call that is made for a connection.
pub(super) fn params_of(connection: &Connection) -> Params {
    let headers = connection.shared_headers();
    let ip = connection.ip();
    let mut params = Params { provider: Some("socketio".into()), headers, ip, ..Params::default() };
    params.extensions.insert(connection.clone());
    params
}

/// Disconnects at `expiry`, in seconds since 1970 by this machine's clock. The connection hears nothing any more from then
/// on, even if its client takes its time to go.
fn disconnect_at(channels: Channels, connection: Connection, expiry: f64) -> AbortHandle {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let expiry = Duration::try_from_secs_f64(expiry.max(0.0)).unwrap_or(Duration::MAX);
    let left = expiry.saturating_sub(now);
    let task = tokio::spawn(async move {
        tokio::time::sleep(left).await;
        channels.silence(&connection);
        connection.disconnect();
    });
    task.abort_handle()
}
