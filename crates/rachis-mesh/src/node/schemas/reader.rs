//! The schemas of other nodes' services, read when they are asked for.

use super::{
    hash_of,
    own::{id_of, place_of},
    text_of,
};
use crate::{
    node::{
        catalog::Route,
        discovery::view::View,
        shared::{commands::unreachable, context::NodeContext, rate_limited_log::RateLimitedLog},
    },
    redis::{
        Failure,
        connection::{Trouble, pool::Admin},
        registry::{Registry, schemas::AppSchemas},
    },
    wire::{Frame, Manifest},
};
use parking_lot::Mutex;
use rachis_core::{
    Error, Result,
    host::path,
    schema::{self, Schemas},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// For how long it is believed which schemas an app has, unless the catalog changes before: a document of all services asks
/// for each of them.
const BELIEVED: Duration = Duration::from_secs(1);
/// The schemas that are kept, in bytes of their texts. Beyond that all are read anew.
const KEPT: usize = 32 * 1024 * 1024;
/// The apps of which it is kept which schemas they have.
const APPS: usize = 1024;

/// The schemas of a service, and who has them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceSchemas {
    /// What its methods take and return. Where replicas differ, as they do while a new version is rolled out, it is what
    /// those say that came with the newest schemas.
    pub schemas: Arc<Schemas>,
    /// The SHA-256 of their JSON, in hexadecimal digits.
    pub hash: String,
    /// The version of the application that these replicas run; empty while no replica is up.
    pub version: String,
    /// The nodes that have these schemas, by id; none while no replica is up.
    pub replicas: Vec<String>,
    /// What other replicas of the service have instead: each checks calls by its own.
    pub others: Vec<OtherSchemas>,
}

/// The schemas that other replicas of a service have.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OtherSchemas {
    /// The SHA-256 of their JSON, in hexadecimal digits; `None` if they have no schemas, or did not announce them.
    pub hash: Option<String>,
    /// The version of the application that these replicas run.
    pub version: String,
    /// The nodes that have them, by id.
    pub replicas: Vec<String>,
}

/// Reads the schemas of services.
pub(crate) struct SchemaReader {
    view: Arc<View>,
    registry: Registry,
    admin: Admin,
    context: Arc<NodeContext>,
    /// Limits warnings of manifests that are not believed.
    refused: RateLimitedLog,
    apps: Mutex<HashMap<String, Believed>>,
    contents: Mutex<Contents>,
}

/// What an app has, as it was read last.
struct Believed {
    read: Instant,
    epoch: u64,
    app: Arc<Described>,
}

#[derive(Default)]
struct Contents {
    by_hash: HashMap<[u8; 32], Arc<Schemas>>,
    bytes: usize,
}

/// What the replicas of an app have.
struct Described {
    /// Since when it is there, in ms, and the hashes of the schemas by path; by id.
    manifests: BTreeMap<String, (u64, Manifest)>,
    /// The id of its manifest for each replica that has one.
    replicas: BTreeMap<String, String>,
}

/// A replica of a service.
struct Replica {
    id: String,
    version: String,
    started: u64,
}

impl SchemaReader {
    pub(crate) fn new(view: Arc<View>, registry: Registry, admin: Admin, context: Arc<NodeContext>) -> Self {
        SchemaReader {
            view,
            registry,
            admin,
            context,
            refused: RateLimitedLog::new(),
            apps: Mutex::default(),
            contents: Mutex::default(),
        }
    }

    /// The schemas of the service that `path` leads to; `None` if it has none, or there is no such service.
    ///
    /// # Errors
    /// `Unavailable` if Redis does not answer, or does not have them; `GeneralError` for something else in their place.
    pub(crate) async fn schemas(&self, path: &str) -> Result<Option<ServiceSchemas>> {
        if let Some(found) = self.view.app.find(path) {
            let Some(schemas) = found.value.schemas() else { return Ok(None) };
            return Ok(Some(ServiceSchemas {
                hash: hex::encode(hash_of(&text_of(schemas)?)),
                schemas: Arc::new(schemas.clone()),
                version: self.view.config.at_start().version.clone(),
                replicas: vec![self.view.identity.id.clone()],
                others: Vec::new(),
            }));
        }
        let Some((route, replicas)) = self.remote(path) else { return Ok(None) };
        let app = self.app(&route.app).await?;
        let Some(mut found) = app.of(&route.path, replicas) else { return Ok(None) };
        let (hash, chosen) = found.remove(0);
        let Some(hash) = hash else { return Ok(None) };
        let schemas = self.content(&route, &hash).await?;
        let others = found.into_iter().map(|(hash, replicas)| OtherSchemas {
            hash: hash.map(hex::encode),
            version: version_of(&replicas),
            replicas: ids_of(replicas),
        });
        Ok(Some(ServiceSchemas {
            schemas,
            hash: hex::encode(hash),
            version: version_of(&chosen),
            others: others.collect(),
            replicas: ids_of(chosen),
        }))
    }

    /// Where `path` leads to on other nodes, and its replicas.
    fn remote(&self, path: &str) -> Option<(Arc<Route>, Vec<Replica>)> {
        let route = self.view.routes.get().find(path::strip(path))?.value.route.clone();
        let catalog = self.view.catalog.lock();
        // Which replicas there are changes more often than the routes do, and only the catalog always knows.
        let route = catalog.route(&route.path).filter(|newer| newer.app == route.app).unwrap_or(&route).clone();
        let replicas = catalog.nodes().filter(|member| route.replicas.contains(&member.id));
        let replicas = replicas.map(|member| Replica {
            id: member.id.clone(),
            version: member.info.version.clone(),
            started: member.info.started,
        });
        let replicas = replicas.collect();
        drop(catalog);
        Some((route, replicas))
    }

    /// What an app has.
    async fn app(&self, app: &str) -> Result<Arc<Described>> {
        let (epoch, replicas) = {
            let catalog = self.view.catalog.lock();
            let replicas = catalog.nodes().filter(|member| member.app == app).map(|member| member.id.clone());
            (catalog.epoch(), replicas.collect::<BTreeSet<String>>())
        };
        if let Some(known) = self.apps.lock().get(app)
            && known.epoch == epoch
            && known.read.elapsed() < BELIEVED
        {
            return Ok(known.app.clone());
        }
        let mut connection = self.admin.get(&self.registry.key()).await.map_err(unread)?;
        let read = Instant::now();
        let stored = self.registry.schemas_of(&mut connection, app, &replicas).await.map_err(unread)?;
        let described = Arc::new(self.read(app, stored));
        let mut apps = self.apps.lock();
        if apps.len() >= APPS {
            apps.clear();
        }
        apps.insert(app.to_owned(), Believed { read, epoch, app: described.clone() });
        Ok(described)
    }

    /// Reads manifests; those that this node can not read are left out.
    fn read(&self, app: &str, stored: AppSchemas) -> Described {
        let mut manifests = BTreeMap::new();
        for (id, stored) in stored.manifests {
            let place = place_of(&self.context.keys, app, &id);
            let manifest = Manifest::decode(&stored.frame, self.context.signer.at(&place)).and_then(|manifest| {
                let is_it = id_of(&manifest) == id;
                is_it.then_some(manifest).ok_or_else(|| Error::bad_request("It stands under the id of another one"))
            });
            match manifest {
                Ok(manifest) => {
                    manifests.insert(id, (stored.since, manifest));
                }
                Err(error) => {
                    if let Some(more) = self.refused.permit() {
                        tracing::warn!(app, %error, more, "schemas of an app are ignored");
                    }
                }
            }
        }
        Described { manifests, replicas: stored.replicas }
    }

    /// The schemas with this hash.
    async fn content(&self, route: &Route, hash: &[u8; 32]) -> Result<Arc<Schemas>> {
        if let Some(known) = self.contents.lock().by_hash.get(hash) {
            return Ok(known.clone());
        }
        let name = hex::encode(hash);
        let mut connection = self.admin.get(&self.registry.key()).await.map_err(unread)?;
        let text = self.registry.schema(&mut connection, &name, schema::LARGEST_TOGETHER).await.map_err(unread)?;
        let text = text.ok_or_else(|| {
            Error::unavailable(format!(
                "The schemas of '{}' ({}) are not in Redis; its replicas store them again with their next heartbeats, if \
                 their Redis user may: see ACL LOG",
                route.path, route.app
            ))
        })?;
        let key = self.context.keys.schema(&name);
        let unusable = |reason: &str| {
            Error::general(format!(
                "The schemas of '{}' ({}) in {key} can not be used: {reason}",
                route.path, route.app
            ))
        };
        if text.len() > schema::LARGEST_TOGETHER {
            return Err(unusable(&format!("they have more than {} bytes", schema::LARGEST_TOGETHER)));
        }
        if hash_of(&text) != *hash {
            return Err(unusable("they are not those of that name, so somebody else writes to this Redis"));
        }
        let schemas: Schemas = serde_json::from_slice(&text).map_err(|error| unusable(&error.to_string()))?;
        schemas.check(&route.path).map_err(|error| unusable(error.message()))?;
        let schemas = Arc::new(schemas);
        let mut contents = self.contents.lock();
        if contents.bytes + text.len() > KEPT {
            *contents = Contents::default();
        }
        contents.bytes += text.len();
        contents.by_hash.insert(*hash, schemas.clone());
        Ok(schemas)
    }
}

/// Replicas that have the same schemas of a service, the newest first; `None` for those that have none.
type Alike = (Option<[u8; 32]>, Vec<Replica>);

/// When the newest manifest with some schemas came, and the replicas that have them, each with when its own came.
type Dated = (u64, Vec<(u64, Replica)>);

impl Described {
    /// What these replicas of `path` have, the newest schemas first; `None` if none has any. Without replicas, it is what the
    /// last ones had.
    fn of(&self, path: &str, replicas: Vec<Replica>) -> Option<Vec<Alike>> {
        let hash_in = |(since, manifest): &(u64, Manifest)| Some((*since, **manifest.services.get(path)?));
        if replicas.is_empty() {
            let (_, hash) = self.manifests.values().filter_map(hash_in).max()?;
            return Some(vec![(Some(hash), Vec::new())]);
        }
        // By when a manifest with these schemas came.
        let mut alike: BTreeMap<Option<[u8; 32]>, Dated> = BTreeMap::new();
        for replica in replicas {
            let manifest = self.replicas.get(&replica.id).and_then(|id| self.manifests.get(id));
            let found = manifest.and_then(hash_in);
            let since = found.map_or(0, |(since, _)| since);
            let (newest, replicas) = alike.entry(found.map(|(_, hash)| hash)).or_default();
            *newest = since.max(*newest);
            replicas.push((since, replica));
        }
        let mut alike: Vec<_> = alike.into_iter().collect();
        alike.sort_by_key(|(hash, (newest, _))| std::cmp::Reverse((hash.is_some(), *newest)));
        let sorted = alike.into_iter().map(|(hash, (_, mut replicas))| {
            replicas.sort_by(|(a, of_a), (b, of_b)| (b, of_b.started, &of_b.id).cmp(&(a, of_a.started, &of_a.id)));
            (hash, replicas.into_iter().map(|(_, replica)| replica).collect())
        });
        Some(sorted.collect())
    }
}

/// The error for a caller when Redis did not answer with what was asked.
fn unread(error: Failure) -> Error {
    match Trouble::of(&error) {
        Trouble::Forbidden(reason) => Error::unavailable(format!(
            "Redis forbids its user to read schemas ({reason}): what it needs is in docs/security.md"
        )),
        _ => unreachable(error),
    }
}

fn version_of(replicas: &[Replica]) -> String {
    replicas.first().map(|replica| replica.version.clone()).unwrap_or_default()
}

fn ids_of(replicas: Vec<Replica>) -> Vec<String> {
    replicas.into_iter().map(|replica| replica.id).collect()
}
