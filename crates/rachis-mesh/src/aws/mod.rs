//! ElastiCache with IAM: tokens instead of passwords, signed anew before each expires.
//!
//! Without code: `redis.iam_cache`, `redis.username` and, where `AWS_REGION` does not say it, `redis.iam_region`. In code:
//!
//! ```no_run
//! use rachis::{App, Config, Node, aws::ElastiCacheIam};
//!
//! # async fn run() -> rachis::Result<()> {
//! let tokens = ElastiCacheIam::new("todos", "my-cache", "eu-central-1");
//! let node = Node::builder(Config::load()?).app(App::new()).credentials(tokens).start().await?;
//! # drop(node);
//! # Ok(()) }
//! ```

mod http;
mod keys;
mod sign;

use crate::{CredentialProvider, Credentials};
use rachis_core::{Error, Result};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long ElastiCache takes a token; more is refused.
const VALID_FOR: Duration = Duration::from_secs(900);

/// The name of a variable of the environment to its value.
type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Signs tokens by which an IAM identity may connect to one ElastiCache cache as one user of it.
///
/// The identity is that of the process, found as AWS's own programs do: `AWS_ACCESS_KEY_ID` and its companions; a service
/// account of EKS (`AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`); a task of ECS or a pod identity of EKS
/// (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`). The metadata service of EC2 and
/// profiles in files are not asked.
///
/// ElastiCache wants TLS (`rediss://`), the user's id equal to its name, and ends connections after twelve hours unless
/// they log in again, which happens every ten minutes.
#[derive(Clone)]
pub struct ElastiCacheIam {
    user: String,
    cache: String,
    region: String,
    serverless: bool,
    env: Env,
}

impl ElastiCacheIam {
    /// For the `user` of the `cache`: the id of a replication group, or the name of a serverless cache.
    pub fn new(user: impl Into<String>, cache: impl Into<String>, region: impl Into<String>) -> Self {
        // Names of caches are in lower case wherever they are signed.
        let cache = cache.into().to_ascii_lowercase();
        let env: Env = Arc::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        ElastiCacheIam { user: user.into(), cache, region: region.into(), serverless: false, env }
    }

    /// Says that the cache is serverless, which tokens have to say, too.
    pub fn serverless(self, serverless: bool) -> Self {
        ElastiCacheIam { serverless, ..self }
    }

    /// As the configuration says it; `None` if it says nothing of IAM.
    pub(crate) fn of(redis: &rachis_config::Redis) -> Result<Option<Self>> {
        let Some(cache) = &redis.iam_cache else { return Ok(None) };
        let missing = |key: &str, how: &str| Error::bad_request(format!("redis.iam_cache is set without {key}: {how}"));
        let user = redis.username.clone().ok_or_else(|| missing("redis.username", "name the user of the cache"))?;
        let of_env = || ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| std::env::var(name).ok());
        let region = redis.iam_region.clone().or_else(of_env);
        let region = region.ok_or_else(|| missing("redis.iam_region", "name the region, there or in AWS_REGION"))?;
        Ok(Some(ElastiCacheIam::new(user, cache, region).serverless(redis.iam_serverless.unwrap_or(false))))
    }

    fn token(&self, keys: &keys::Keys, now: SystemTime) -> String {
        let mut query = vec![("Action", "connect"), ("User", self.user.as_str())];
        if self.serverless {
            query.push(("ResourceType", "ServerlessCache"));
        }
        let request = sign::Presigned {
            host: &self.cache,
            path: "/",
            query: &query,
            payload: sign::EMPTY,
            service: "elasticache",
            region: &self.region,
            expires: VALID_FOR,
        };
        request.sign(keys, now)
    }
}

impl CredentialProvider for ElastiCacheIam {
    async fn credentials(&self) -> Result<Credentials> {
        let keys = keys::find(&self.env, &self.region).await?;
        let password = self.token(&keys, SystemTime::now()).into();
        Ok(Credentials { username: Some(self.user.clone()), password, valid_for: Some(VALID_FOR) })
    }
}

impl std::fmt::Debug for ElastiCacheIam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElastiCacheIam")
            .field("user", &self.user)
            .field("cache", &self.cache)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn provider(env: &'static [(&str, &str)]) -> ElastiCacheIam {
        let find = move |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        ElastiCacheIam { env: Arc::new(find), ..ElastiCacheIam::new("ann", "My-Cache", "eu-central-1") }
    }

    #[tokio::test]
    async fn a_token_is_a_signed_url_without_its_scheme() {
        let env = &[("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("AWS_SESSION_TOKEN", "a/b")];
        let Credentials { username, password, valid_for } = provider(env).serverless(true).credentials().await.unwrap();
        assert_eq!((username.as_deref(), valid_for), (Some("ann"), Some(Duration::from_secs(900))));
        let token = password.expose();
        assert!(token.starts_with("my-cache/?Action=connect&ResourceType=ServerlessCache&User=ann&X-Amz-"), "{token}");
        for part in ["X-Amz-Expires=900", "X-Amz-SignedHeaders=host", "X-Amz-Security-Token=a%2Fb", "&X-Amz-Signature="]
        {
            assert!(token.contains(part), "{part}: {token}");
        }
        assert!(token.contains("%2Feu-central-1%2Felasticache%2Faws4_request"), "{token}");
        assert!(!token.contains("hush"));
    }

    #[test]
    fn a_token_of_another_second_user_or_key_is_another() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let keys = |secret: &str| keys::Keys::new("AKID", secret, None);
        let ann = provider(&[]);
        let bob = ElastiCacheIam { user: "bob".into(), ..ann.clone() };
        let token = ann.token(&keys("one"), at(1_700_000_000));
        assert_eq!(token, ann.token(&keys("one"), at(1_700_000_000)));
        assert_ne!(token, ann.token(&keys("one"), at(1_700_000_001)));
        assert_ne!(token, ann.token(&keys("two"), at(1_700_000_000)));
        assert_ne!(token, bob.token(&keys("one"), at(1_700_000_000)));
        assert!(token.contains("X-Amz-Date=20231114T221320Z"), "{token}");
    }

    #[tokio::test]
    async fn without_an_identity_it_says_where_it_looked() {
        let error = provider(&[]).credentials().await.unwrap_err();
        assert!(error.message().contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
