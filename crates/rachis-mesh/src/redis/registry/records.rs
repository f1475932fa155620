//! What the registry holds, read from its hashes and messages.

use serde::Deserialize;
use serde_bytes::ByteBuf;
use std::collections::HashMap;

/// Items of one change for which there is room from the start: what a message claims is not believed.
const ITEMS: usize = 256;

/// A node as the registry has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeRecord {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) head: Vec<u8>,
    pub(crate) state: String,
    pub(crate) services: Vec<ServiceRecord>,
}

/// A service as the registry has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceRecord {
    pub(crate) path: String,
    /// Since when its app offers it, in ms of Redis's clock.
    pub(crate) since: u64,
    pub(crate) descriptor: Vec<u8>,
}

/// A path whose replicas are gone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LingeringRecord {
    pub(crate) app: String,
    pub(crate) service: ServiceRecord,
    /// When it stops being callable, in ms of Redis's clock; `None` for never.
    pub(crate) until: Option<u64>,
}

/// One version of the registry and what made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RegistryChange {
    /// The version it follows.
    pub(crate) prev: u64,
    pub(crate) epoch: u64,
    pub(crate) items: Vec<NodeChange>,
}

/// What became of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeChange {
    /// It came, or says something else of itself than before.
    Up(NodeRecord),
    /// It left or died, and these paths of its app linger since then.
    Down(String, Vec<LingeringRecord>),
}

pub(super) type Fields = HashMap<String, Vec<u8>>;

fn text(fields: &Fields, name: &str) -> String {
    fields.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// The services among the fields of a node or an app.
fn services(fields: &Fields) -> Vec<ServiceRecord> {
    let mut services: Vec<ServiceRecord> = fields
        .iter()
        .filter_map(|(name, descriptor)| {
            let path = name.strip_prefix("s:")?;
            let since = text(fields, &format!("t:{path}")).parse().unwrap_or(0);
            Some(ServiceRecord { path: path.to_owned(), since, descriptor: descriptor.clone() })
        })
        .collect();
    services.sort_by(|a, b| a.path.cmp(&b.path));
    services
}

pub(super) fn lingering(app: &str, fields: &Fields, now: u64) -> Vec<LingeringRecord> {
    let ends = |path: &str| match text(fields, &format!("e:{path}")).as_str() {
        "" => None,
        "inf" => Some(None),
        ms => ms.parse().ok().filter(|until| *until > now).map(Some),
    };
    services(fields)
        .into_iter()
        .filter_map(|service| ends(&service.path).map(|until| LingeringRecord { app: app.to_owned(), until, service }))
        .collect()
}

impl NodeRecord {
    pub(super) fn from_fields(id: &str, fields: Fields) -> Option<Self> {
        // A hash that is gone reads as empty: the node died between two commands of a snapshot.
        let head = fields.get("head")?.clone();
        Some(NodeRecord {
            id: id.to_owned(),
            app: text(&fields, "app"),
            head,
            state: text(&fields, "state"),
            services: services(&fields),
        })
    }
}

/// A change as the scripts pack it.
#[derive(Deserialize)]
struct Packed(u64, u64, Vec<(String, String, Vec<ByteBuf>)>);

impl RegistryChange {
    /// Reads a message of the lifecycle channel or an entry of `changes`: one change, or some in their order that were
    /// told together. `None` for anything else.
    pub(crate) fn decode(message: &[u8]) -> Option<Vec<Self>> {
        let Packed(prev, epoch, items) = rmp_serde::from_slice(message).ok()?;
        let mut changes = vec![RegistryChange { prev, epoch, items: Vec::with_capacity(items.len().min(ITEMS)) }];
        for (kind, id, fields) in items {
            let fields = pairs(fields);
            let of = text(&fields, "@").parse().unwrap_or(epoch);
            let item = match kind.as_str() {
                "node-down" => NodeChange::Down(id, lingering(&text(&fields, "app"), &fields, 0)),
                _ => NodeChange::Up(NodeRecord::from_fields(&id, fields)?),
            };
            match changes.last_mut() {
                Some(change) if change.items.is_empty() || change.epoch == of => {
                    change.epoch = of;
                    change.items.push(item);
                }
                Some(RegistryChange { epoch: prev, .. }) if *prev < of => {
                    let prev = *prev;
                    changes.push(RegistryChange { prev, epoch: of, items: vec![item] });
                }
                _ => return None,
            }
        }
        changes.last().is_some_and(|last| last.epoch == epoch).then_some(changes)
    }
}

fn pairs(flat: Vec<ByteBuf>) -> Fields {
    let mut fields = Fields::new();
    let mut flat = flat.into_iter();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        fields.insert(String::from_utf8_lossy(&name).into_owned(), value.into_vec());
    }
    fields
}
