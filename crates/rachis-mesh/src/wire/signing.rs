//! Signatures: nodes that share a secret believe no others.
//!
//! A signed frame has its kind in lower case and ends with 40 bytes: until when it counts (u64, big endian, ms of
//! Redis's clock; all ones for ever), and an HMAC-SHA-256. That covers the place where the frame stands (the name of
//! the stream, inbox, channel or key) and every byte of the frame but the time left in a request, which is written when
//! it leaves and can only be stretched up to the end that is signed. So a frame that is good in one place is worthless
//! in any other, and a request is worthless after its time.
//!
//! Nothing is encrypted: every reader of Redis can read the frames.

use super::{REQUEST, TIME_LEFT, VERSION, too_short};
use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use rachis_core::{Error, Result};
use sha2::Sha256;
use std::{fmt, sync::Arc};

type Signature = Hmac<Sha256>;

/// What a signature adds to a frame: the end of its time, and the HMAC.
const TAIL: usize = UNTIL + MAC;
const UNTIL: usize = size_of::<u64>();
const MAC: usize = 32;

/// Signs and verifies, where the mesh has a secret. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Signer(Option<Arc<ArcSwap<Secrets>>>);

/// HMACs that have taken in their secret and nothing else.
struct Secrets {
    current: Signature,
    /// Verifies, but does not sign.
    previous: Option<Signature>,
}

impl Signer {
    /// Signs with `secret` and believes either of the two; without `secret` nothing is signed and nothing that is
    /// signed is believed.
    pub(crate) fn new(secret: Option<&str>, previous: Option<&str>) -> Self {
        let secrets = secret.and_then(|secret| Secrets::new(secret, previous));
        Signer(secrets.map(|secrets| Arc::new(ArcSwap::from_pointee(secrets))))
    }

    /// The same from now on with other secrets, in all clones; nothing where nothing is signed.
    pub(crate) fn change(&self, secret: &str, previous: Option<&str>) {
        if let (Some(secrets), Some(new)) = (&self.0, Secrets::new(secret, previous)) {
            secrets.store(Arc::new(new));
        }
    }

    /// Returns `true` if frames are signed here.
    pub(crate) fn signs(&self) -> bool {
        self.0.is_some()
    }

    /// The frames of one place: what is signed for it is good nowhere else.
    pub(crate) fn at<'a>(&'a self, name: &'a str) -> SigningScope<'a> {
        SigningScope { signer: self, name, until: u64::MAX }
    }
}

impl Secrets {
    fn new(secret: &str, previous: Option<&str>) -> Option<Self> {
        Some(Secrets { current: keyed(secret)?, previous: previous.and_then(keyed) })
    }
}

fn keyed(secret: &str) -> Option<Signature> {
    // An HMAC takes keys of any length.
    Signature::new_from_slice(secret.as_bytes()).ok()
}

/// Shows no secret.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.signs() { "Signer(signs)" } else { "Signer(none)" })
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SigningScope<'a> {
    signer: &'a Signer,
    name: &'a str,
    until: u64,
}

impl<'a> SigningScope<'a> {
    /// For frames that are signed to count until then, in ms of Redis's clock; otherwise they count for ever.
    pub(crate) fn until(self, ms: u64) -> Self {
        SigningScope { until: ms, ..self }
    }

    /// `kind` as it stands in the header.
    pub(super) fn kind(self, kind: u8) -> u8 {
        if self.signer.signs() { kind.to_ascii_lowercase() } else { kind }
    }

    /// Signs a frame that is otherwise whole.
    pub(super) fn sign(self, frame: &mut Vec<u8>) {
        let Some(secrets) = &self.signer.0 else { return };
        frame.reserve_exact(TAIL);
        frame.extend_from_slice(&self.until.to_be_bytes());
        let signature = self.taken_in(&secrets.load().current, frame).finalize();
        frame.extend_from_slice(&signature.into_bytes());
    }

    /// The frame without its signature, if it is one of `kind` and may stand here.
    ///
    /// # Errors
    /// `NotAcceptable` for another version, naming both; `NotAuthenticated` for a frame that is signed and should not
    /// be, is not and should be, or is signed with another secret or for another place; `BadRequest` for any other kind.
    pub(super) fn open(self, frame: &[u8], kind: u8) -> Result<&[u8]> {
        let written = match *frame {
            [VERSION, written, ..] => written,
            [VERSION] | [] => return Err(too_short(frame)),
            [other, ..] => return Err(other_version(other)),
        };
        if !written.eq_ignore_ascii_case(&kind) {
            return Err(Error::bad_request("The frame is of another kind than its place says"));
        }
        match (&self.signer.0, written.is_ascii_lowercase()) {
            (None, false) => Ok(frame),
            (None, true) => Err(Error::not_authenticated(UNKNOWING)),
            (Some(_), false) => Err(Error::not_authenticated(format!(
                "The frame in {} is not signed: its writer needs this mesh's mesh.secret (MESH_SECRET)",
                self.name
            ))),
            (Some(secrets), true) => self.verify(&secrets.load(), frame),
        }
    }

    fn verify<'f>(self, secrets: &Secrets, frame: &'f [u8]) -> Result<&'f [u8]> {
        let signed = frame.len().checked_sub(MAC).filter(|end| *end >= 2 + UNTIL).ok_or_else(|| too_short(frame))?;
        let (signed, signature) = frame.split_at(signed);
        let by = |secret: &Signature| self.taken_in(secret, signed).verify_slice(signature).is_ok();
        if by(&secrets.current) || secrets.previous.as_ref().is_some_and(by) {
            return Ok(&signed[..signed.len() - UNTIL]);
        }
        Err(Error::not_authenticated(format!(
            "The frame in {} is signed with another secret or for another place, or was changed: compare mesh.secret and \
             mesh.previous_secret of all nodes; if they are the same, a stranger writes to this Redis",
            self.name
        )))
    }

    /// All that a signature covers, under the secret of `keyed`.
    fn taken_in(self, keyed: &Signature, frame: &[u8]) -> Signature {
        let mut signature = keyed.clone();
        // With its length first, so that no place ends where a frame begins.
        signature.update(&(self.name.len() as u64).to_be_bytes());
        signature.update(self.name.as_bytes());
        let header = TIME_LEFT.start.min(frame.len());
        let request = frame.get(1).is_some_and(|kind| kind.eq_ignore_ascii_case(&REQUEST));
        let rest = if request { TIME_LEFT.end.min(frame.len()) } else { header };
        signature.update(&frame[..header]);
        signature.update(&frame[rest..]);
        signature
    }
}

/// What a node without a secret says of a frame that is signed.
pub(crate) const UNKNOWING: &str =
    "this mesh signs its frames: set mesh.secret (MESH_SECRET) to the secret that the other nodes have";

/// Returns `true` for a frame of a node that signs.
pub(crate) fn is_signed(frame: &[u8]) -> bool {
    matches!(frame, [VERSION, kind, ..] if kind.is_ascii_lowercase())
}

/// Until when a frame counts that was [opened](SigningScope::open), in ms of Redis's clock: one that is not signed, for ever.
pub(crate) fn until(frame: &[u8]) -> u64 {
    let end = frame.len().saturating_sub(MAC);
    let bytes = frame.get(end.saturating_sub(UNTIL)..end).filter(|_| is_signed(frame));
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(u64::MAX, u64::from_be_bytes)
}

fn other_version(other: u8) -> Error {
    Error::not_acceptable(format!(
        "The frame has version {other}, this node speaks version {VERSION}: upgrade the older of the two nodes"
    ))
}
