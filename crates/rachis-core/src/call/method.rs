//! The verbs of a service.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// A method of a service: one of the six that Feathers standardizes, or one of the service's own.
///
/// ```
/// use rachis::Method;
///
/// assert_eq!(Method::from("find"), Method::Find);
/// assert_eq!(Method::from("shout"), Method::custom("shout"));
/// assert_eq!(Method::Patch.event(), Some("patched"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Cow<'static, str>", into = "Cow<'static, str>")]
pub enum Method {
    /// Many records, chosen by a query.
    Find,
    /// One record by its id.
    Get,
    /// A new record, or several.
    Create,
    /// Replaces a record.
    Update,
    /// Changes some fields of a record, or of all that a query chooses.
    Patch,
    /// Deletes a record, or all that a query chooses.
    Remove,
    /// A method of the service's own, called with data.
    Custom(Cow<'static, str>),
}

impl Method {
    /// The six standard methods, which a service that is a plain collection offers.
    pub const STANDARD: &'static [Method] =
        &[Method::Find, Method::Get, Method::Create, Method::Update, Method::Patch, Method::Remove];

    /// A method of the service's own, usable in a `const METHODS` list.
    pub const fn custom(name: &'static str) -> Method {
        Method::Custom(Cow::Borrowed(name))
    }

    /// The name as it stands on the wire and in logs.
    pub fn name(&self) -> &str {
        match self {
            Method::Find => "find",
            Method::Get => "get",
            Method::Create => "create",
            Method::Update => "update",
            Method::Patch => "patch",
            Method::Remove => "remove",
            Method::Custom(name) => name,
        }
    }

    /// Returns `true` for the six standard methods.
    pub fn is_standard(&self) -> bool {
        !matches!(self, Method::Custom(_))
    }

    /// May it run twice with the effect of once? True of `find`, `get`, `update` and `remove`, which are redelivered
    /// when a replica dies; a service declares others by [`Service::IDEMPOTENT`](crate::Service::IDEMPOTENT).
    pub fn is_idempotent(&self) -> bool {
        matches!(self, Method::Find | Method::Get | Method::Update | Method::Remove)
    }

    /// The event that a successful call fires: `created`, `updated`, `patched`, `removed` or none.
    pub fn event(&self) -> Option<&'static str> {
        match self {
            Method::Create => Some("created"),
            Method::Update => Some("updated"),
            Method::Patch => Some("patched"),
            Method::Remove => Some("removed"),
            Method::Find | Method::Get | Method::Custom(_) => None,
        }
    }

    fn standard(name: &str) -> Option<Method> {
        Method::STANDARD.iter().find(|method| method.name() == name).cloned()
    }
}

/// The events that standard methods fire, in the order of their methods.
pub const STANDARD_EVENTS: &[&str] = &["created", "updated", "patched", "removed"];

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Method {
        Method::standard(name).unwrap_or_else(|| Method::Custom(Cow::Owned(name.to_owned())))
    }
}

impl From<String> for Method {
    fn from(name: String) -> Method {
        Method::standard(&name).unwrap_or(Method::Custom(Cow::Owned(name)))
    }
}

impl From<Cow<'static, str>> for Method {
    fn from(name: Cow<'static, str>) -> Method {
        Method::standard(&name).unwrap_or(Method::Custom(name))
    }
}

impl From<Method> for Cow<'static, str> {
    fn from(method: Method) -> Self {
        match method {
            Method::Custom(name) => name,
            standard => Method::STANDARD
                .iter()
                .find(|known| **known == standard)
                .map_or(Cow::Borrowed(""), |known| Cow::Borrowed(known.name())),
        }
    }
}
