//! The check of the token that guards what only monitors may read.

use http::{HeaderMap, header::AUTHORIZATION};
use rachis_core::{Error, Result};
use rachis_mesh::Node;
use sha2::{Digest, Sha256};

/// # Errors
/// `NotAuthenticated` for a request without the token of `metrics.token`, where one is set.
pub(crate) fn admit(node: &Node, headers: &HeaderMap) -> Result<()> {
    let Some(token) = &node.config().metrics.token else { return Ok(()) };
    let sent = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let is_bearer = sent.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    // How long it takes to compare digests tells nothing of the token.
    let digest = |bytes: &[u8]| Sha256::digest(bytes);
    if is_bearer && digest(sent[7..].trim_ascii()) == digest(token.expose().as_bytes()) {
        return Ok(());
    }
    Err(Error::not_authenticated("This needs the token of metrics.token, as `Authorization: Bearer TOKEN`"))
}
