//! Logins that expire, from a provider that is called before the first connection and before each expiry.

use super::{Backoff, Connector, Trouble, login::Login};
use futures_core::future::BoxFuture;
use rachis_config::Secret;
use rachis_core::Error;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// A login for Redis, and how long it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// ACL user; `None` for the one of `redis.url`, or the default user.
    pub username: Option<String>,
    /// Password or token.
    pub password: Secret,
    /// How long the login is valid from now on; `None` if it does not expire.
    pub valid_for: Option<Duration>,
}

/// Provides credentials for Redis. It is called before the first connection, and again when two thirds of the time that
/// the last credentials are valid are over. Open connections log in again, so none is dropped.
///
/// A provider that fails is called again, with pauses from 0.5 s to 20 s; until then the last credentials stay.
///
/// ```
/// use rachis::{Config, CredentialProvider, Credentials, Node, Result};
/// use std::time::Duration;
///
/// struct Vault;
///
/// impl CredentialProvider for Vault {
///     async fn credentials(&self) -> Result<Credentials> {
///         let password = "what a vault says".into();
///         Ok(Credentials { username: Some("todos".into()), password, valid_for: Some(Duration::from_secs(900)) })
///     }
/// }
///
/// let builder = Node::builder(Config::default()).credentials(Vault);
/// # drop(builder);
/// ```
pub trait CredentialProvider: Send + Sync + 'static {
    /// Returns the credentials to use from now on.
    ///
    /// # Errors
    /// Any error; it is logged, so it must not contain a secret.
    fn credentials(&self) -> impl Future<Output = Result<Credentials, Error>> + Send;
}

/// The pauses after a provider failed.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(20));
/// The time limit of one call of a provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shortest time between two calls of a provider, however soon the credentials expire.
const LEAST: Duration = Duration::from_millis(100);

trait Erased: Send + Sync {
    fn ask(&self) -> BoxFuture<'_, Result<Credentials, Error>>;
}

impl<P: CredentialProvider> Erased for P {
    fn ask(&self) -> BoxFuture<'_, Result<Credentials, Error>> {
        Box::pin(self.credentials())
    }
}

/// A provider of any kind.
#[derive(Clone)]
pub(crate) struct Provider(Arc<dyn Erased>);

impl Provider {
    pub(crate) fn new(provider: impl CredentialProvider) -> Self {
        Provider(Arc::new(provider))
    }

    /// Waits for the first credentials, and renews them until `stop` is cancelled. Returns `None` if it was cancelled
    /// before.
    pub(crate) async fn start(&self, connector: Connector, stop: CancellationToken) -> Option<()> {
        let mut valid_for = self.renew(&connector, &stop).await?;
        let provider = self.clone();
        tokio::spawn(async move {
            while let Some(time) = valid_for {
                let pause = (time * 2 / 3).max(LEAST);
                if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                valid_for = match provider.renew(&connector, &stop).await {
                    Some(valid_for) => valid_for,
                    None => return,
                };
            }
        });
        Some(())
    }

    /// Calls the provider until it succeeds, and lets all connections use the result. Returns how long that is valid.
    async fn renew(&self, connector: &Connector, stop: &CancellationToken) -> Option<Option<Duration>> {
        let mut backoff = BACKOFF;
        loop {
            let asked = stop.run_until_cancelled(tokio::time::timeout(PATIENCE, self.0.ask())).await?;
            match asked.unwrap_or_else(|_| Err(Error::timeout("the provider takes too long"))) {
                Ok(Credentials { username, password, valid_for }) => {
                    let login = Login { username, password: Some(password.expose().to_owned()) };
                    connector.logins().change(login);
                    return Some(valid_for);
                }
                Err(error) => {
                    connector.note_trouble(Trouble::Unreached(format!("no credentials: {error}")));
                    tracing::warn!(%error, "no credentials for Redis, asking again");
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await?;
        }
    }
}
