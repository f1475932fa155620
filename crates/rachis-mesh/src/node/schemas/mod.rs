//! Schemas on the mesh: those of this node's services are stored for others, and those of others are read when they are
//! asked for.
//!
//! Nothing of them is told to all nodes: the announcement of a node only names what is stored, and hardly any node asks.

mod own;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use own::OwnSchemas;
pub(crate) use reader::SchemaReader;
pub use reader::{OtherSchemas, ServiceSchemas};

use rachis_core::{Error, schema::Schemas};
use sha2::{Digest, Sha256};

/// Returns the hash by which schemas are stored.
fn hash_of(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Returns what is stored of schemas.
///
/// # Errors
/// `GeneralError` if they are no JSON.
fn text_of(schemas: &Schemas) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(schemas).map_err(|error| Error::general(format!("The schemas are no JSON: {error}")))
}
