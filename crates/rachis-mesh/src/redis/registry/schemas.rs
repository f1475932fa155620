//! Which schemas the replicas of apps have: kept beside the registry, for nodes that ask.
//!
//! A service's schemas are stored once, by the hash of their text. What a replica has is a manifest, which names them; it is
//! stored once for all replicas that have the same, and the entry of a replica in its app says only which one that is. All
//! of it expires, unless one of these replicas renews it.

use super::Registry;
use crate::redis::scripts;
use redis::{RedisResult, Script, aio::ConnectionLike};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
    time::Duration,
};

static DESCRIBE: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::DESCRIBE));

/// A replica renews what it names so often, in TTLs. All of it lasts for ten TTLs at least, so two may fail.
const RENEWAL_TTLS: u32 = 4;
/// For so many TTLs after one replica has renewed it, others need not.
const FRESH_TTLS: u32 = 3;
/// How often schemas that are missing are written before a node gives up until its next renewal.
const ATTEMPTS: usize = 3;

/// What a replica has, by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    /// The id of its manifest.
    pub(crate) manifest: String,
    /// The hashes of the schemas that it names.
    pub(crate) schemas: Vec<String>,
}

/// What is known of the schemas of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AppSchemas {
    /// By id.
    pub(crate) manifests: BTreeMap<String, StoredManifest>,
    /// Which manifest each replica has; those without schemas are not there.
    pub(crate) replicas: BTreeMap<String, String>,
}

/// A manifest as Redis has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredManifest {
    pub(crate) frame: Vec<u8>,
    /// Since when a replica has had it, in ms of Redis's clock.
    pub(crate) since: u64,
}

impl Registry {
    /// Returns how often a replica has to [renew](Registry::renew_schemas) its schemas.
    pub(crate) fn schema_renewal(&self) -> Duration {
        self.ttl * RENEWAL_TTLS
    }

    /// Renews this node's schemas, unless another replica has just done that. Returns `false` if some are missing: the node
    /// has to [describe](Registry::describe) itself again.
    pub(crate) async fn renew_schemas(&self, on: &mut impl ConnectionLike, named: &Named) -> RedisResult<bool> {
        Ok(self.run_describe(on, named, &[]).await?.is_empty())
    }

    /// Says which schemas this node has, and stores those that are missing; `text_of` returns the text of the schemas with
    /// that number in `named`. Returns `false` if Redis did not keep them.
    pub(crate) async fn describe<'a>(
        &self,
        on: &mut impl ConnectionLike,
        named: &Named,
        manifest: &[u8],
        text_of: impl Fn(usize) -> &'a [u8],
    ) -> RedisResult<bool> {
        for _ in 0..ATTEMPTS {
            let missing = self.run_describe(on, named, manifest).await?;
            if missing.is_empty() {
                return Ok(true);
            }
            for number in missing.into_iter().filter_map(|number| number.checked_sub(1)) {
                let Some(hash) = named.schemas.get(number) else { continue };
                let mut set = redis::cmd("SET");
                set.arg(self.keys.schema(hash)).arg(text_of(number)).arg("PX").arg(self.hygiene_ms());
                set.exec_async(on).await?;
            }
        }
        Ok(false)
    }

    async fn run_describe(
        &self,
        on: &mut impl ConnectionLike,
        named: &Named,
        manifest: &[u8],
    ) -> RedisResult<Vec<usize>> {
        let mut call = DESCRIBE.key(self.keys.schemas(&self.app));
        for hash in &named.schemas {
            call.key(self.keys.schema(hash));
        }
        let fresh = u64::try_from((self.ttl * FRESH_TTLS).as_millis()).unwrap_or(u64::MAX);
        call.arg(&named.manifest).arg(self.hygiene_ms()).arg(fresh).arg(manifest);
        call.invoke_async(on).await
    }

    /// Reads what is known of the schemas of `app` and of these replicas of it.
    pub(crate) async fn schemas_of(
        &self,
        on: &mut impl ConnectionLike,
        app: &str,
        replicas: &BTreeSet<String>,
    ) -> RedisResult<AppSchemas> {
        let fields: HashMap<String, Vec<u8>> =
            redis::cmd("HGETALL").arg(self.keys.schemas(app)).query_async(on).await?;
        let manifests = fields.iter().filter_map(|(name, frame)| {
            let id = name.strip_prefix("m:")?;
            let moments = str::from_utf8(fields.get(&format!("s:{id}"))?).ok()?;
            let since = moments.split(' ').next()?.parse().ok()?;
            Some((id.to_owned(), StoredManifest { frame: frame.clone(), since }))
        });
        let manifests: BTreeMap<String, StoredManifest> = manifests.collect();
        if replicas.is_empty() || manifests.is_empty() {
            return Ok(AppSchemas { manifests, replicas: BTreeMap::new() });
        }
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys.app(app));
        for replica in replicas {
            ask.arg(format!("n:{replica}"));
        }
        let lines: Vec<Option<Vec<u8>>> = ask.query_async(on).await?;
        let replicas = replicas.iter().zip(lines).filter_map(|(replica, lines)| {
            let lines = lines?;
            let id = lines.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"/"))?;
            Some((replica.clone(), String::from_utf8_lossy(id).into_owned()))
        });
        Ok(AppSchemas { manifests, replicas: replicas.collect() })
    }

    /// Reads the text of schemas; `None` if it is not there. Of a longer one than `most` bytes no more than one byte more
    /// is read.
    pub(crate) async fn schema(
        &self,
        on: &mut impl ConnectionLike,
        hash: &str,
        most: usize,
    ) -> RedisResult<Option<Vec<u8>>> {
        let mut get = redis::cmd("GETRANGE");
        get.arg(self.keys.schema(hash)).arg(0).arg(most);
        let text: Vec<u8> = get.query_async(on).await?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}
