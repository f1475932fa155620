//! Public keys of others that sign tokens, such as an identity provider: from a file, or from the address of a key set.
//!
//! They are read when a token first needs one, and again when they are ten minutes old (ten seconds, from a file) or a token
//! names a key that is not among them; then at most once in ten seconds, whatever strangers send.

use super::fetch;
use arc_swap::ArcSwap;
use jsonwebtoken::{
    AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use rachis_config::{JwtOptions, KeyAlgorithm};
use rachis_core::{Error, Result};
use serde_json::Value;
use std::{fmt, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// What a token says of how it is signed.
pub(super) struct Header {
    pub(super) algorithm: Option<String>,
    /// The name of the key.
    pub(super) key: Option<String>,
}

/// After this time keys of a key set are read again. Those of a file are after [`PAUSE`], which costs next to nothing: a key in
/// PEM has no name that could tell that it is another one now.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// For so long keys count that can not be read again. One that was withdrawn meanwhile still does, too.
const GOOD: Duration = Duration::from_secs(60 * 60);
/// Between two attempts to read them.
const PAUSE: Duration = Duration::from_secs(10);

enum KeySource {
    File(String),
    Url(String),
}

/// Where public keys are, and those that were read there.
pub(super) struct Keys {
    place: KeySource,
    algorithms: Vec<KeyAlgorithm>,
    known: ArcSwap<Known>,
    /// When they were last looked for. The holder of the lock looks.
    tried: Mutex<Option<Tried>>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    read: Option<Instant>,
}

struct Tried {
    at: Instant,
    failure: Option<Error>,
}

/// One key that may verify something.
struct Key {
    id: Option<String>,
    /// What it is for alone, if it says so.
    algorithm: Option<String>,
    curve: Option<EllipticCurve>,
    key: DecodingKey,
}

impl Keys {
    /// Those that the options name; `None` if they name none.
    ///
    /// # Errors
    /// `GeneralError` for a file that can not be read, or has no key in it.
    pub(super) fn new(options: &JwtOptions) -> Result<Option<Self>> {
        let place = match (&options.keys_file, &options.jwks_url) {
            (Some(file), _) => KeySource::File(file.clone()),
            (None, Some(url)) => KeySource::Url(url.clone()),
            (None, None) => return Ok(None),
        };
        let known = match &place {
            KeySource::File(file) => Known { keys: of_file(file)?, read: Some(Instant::now()) },
            KeySource::Url(_) => Known::default(),
        };
        let algorithms = options.key_algorithms.clone();
        Ok(Some(Keys { place, algorithms, known: ArcSwap::from_pointee(known), tried: Mutex::new(None) }))
    }

    /// The algorithm of that name, if tokens may be signed by it.
    pub(super) fn accepts(&self, name: &str) -> Option<KeyAlgorithm> {
        self.algorithms.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    /// Returns `true` if one of the known keys verifies the signature.
    pub(super) fn verify(&self, header: &Header, algorithm: KeyAlgorithm, message: &str, signature: &str) -> bool {
        let known = self.known.load();
        if known.read.is_none_or(|read| read.elapsed() >= GOOD) {
            return false;
        }
        let mut fitting = known.keys.iter().filter(|key| key.fits(header.key.as_deref(), algorithm));
        // An error is a signature that is none of this kind.
        fitting.any(|key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, signature_algorithm(algorithm))
                .unwrap_or(false)
        })
    }

    /// Reads the keys where those at hand are too old, or lack the one that a token names.
    ///
    /// # Errors
    /// `Unavailable` if the token can not be judged, since they can not be read: it may be good.
    pub(super) async fn prepare(&self, header: &Header) -> Result<()> {
        let Some(algorithm) = header.algorithm.as_deref().and_then(|name| self.accepts(name)) else { return Ok(()) };
        let fresh = match self.place {
            KeySource::File(_) => PAUSE,
            KeySource::Url(_) => FRESH,
        };
        if self.is_enough(header, algorithm, fresh) {
            return Ok(());
        }
        // Only one waits for newer keys where older ones will do.
        let mut tried = if self.is_enough(header, algorithm, GOOD) {
            match self.tried.try_lock() {
                Ok(tried) => tried,
                Err(_) => return Ok(()),
            }
        } else {
            self.tried.lock().await
        };
        let is_due = tried.as_ref().is_none_or(|tried| tried.at.elapsed() >= PAUSE);
        if is_due && !self.is_enough(header, algorithm, fresh) {
            let failure = self.read().await.err();
            if let Some(error) = &failure {
                tracing::warn!(%error, "the public keys of tokens could not be read");
            }
            *tried = Some(Tried { at: Instant::now(), failure });
        }
        match tried.as_ref().and_then(|tried| tried.failure.clone()) {
            Some(error) if !self.is_enough(header, algorithm, GOOD) => Err(error),
            _ => Ok(()),
        }
    }

    fn is_enough(&self, header: &Header, algorithm: KeyAlgorithm, age: Duration) -> bool {
        let known = self.known.load();
        known.read.is_some_and(|read| read.elapsed() < age)
            && known.keys.iter().any(|key| key.fits(header.key.as_deref(), algorithm))
    }

    async fn read(&self) -> Result<()> {
        let keys = match &self.place {
            KeySource::File(file) => of_file(file).map_err(|error| Error::unavailable(error.message()))?,
            KeySource::Url(url) => {
                let failed = |why: String| Error::unavailable(format!("The keys of tokens are not to be had: {why}"));
                of_set(&fetch::get(url).await.map_err(failed)?).map_err(|why| failed(format!("{url} {why}")))?
            }
        };
        self.known.store(Known { keys, read: Some(Instant::now()) }.into());
        Ok(())
    }
}

impl Key {
    /// A key verifies by algorithms of its own kind only, so that no public key is ever taken for a shared secret.
    fn fits(&self, id: Option<&str>, algorithm: KeyAlgorithm) -> bool {
        let curve = match algorithm {
            KeyAlgorithm::ES256 => Some(EllipticCurve::P256),
            KeyAlgorithm::ES384 => Some(EllipticCurve::P384),
            _ => None,
        };
        let family = match algorithm {
            KeyAlgorithm::ES256 | KeyAlgorithm::ES384 => AlgorithmFamily::Ec,
            KeyAlgorithm::EdDSA => AlgorithmFamily::Ed,
            _ => AlgorithmFamily::Rsa,
        };
        self.key.family() == family
            && id.is_none_or(|id| self.id.as_deref().is_none_or(|own| own == id))
            && self.algorithm.as_deref().is_none_or(|own| own == algorithm.name())
            && (curve.is_none() || self.curve.is_none() || self.curve == curve)
    }

    /// `None` for a key of another kind or use.
    fn of_jwk(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let curve = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKeyPair(_) => None,
            AlgorithmParameters::EllipticCurve(parameters) => Some(parameters.curve.clone()),
            // A shared secret in a set of public keys is no secret.
            _ => return None,
        };
        if jwk.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
            return None;
        }
        let algorithm = value.get("alg").and_then(Value::as_str).map(str::to_owned);
        Some(Key { id: jwk.common.key_id.clone(), algorithm, curve, key: DecodingKey::from_jwk(&jwk).ok()? })
    }
}

/// The keys of a file: a key set in JSON, or one public key in PEM.
fn of_file(file: &str) -> Result<Vec<Key>> {
    let failed = |why: String| Error::general(format!("The keys of tokens in {file:?} {why}"));
    let text = std::fs::read_to_string(file).map_err(|error| failed(format!("can not be read: {error}")))?;
    if text.trim_start().starts_with('{') {
        return of_set(&text).map_err(failed);
    }
    let pem = text.as_bytes();
    let key = DecodingKey::from_rsa_pem(pem).or_else(|_| DecodingKey::from_ec_pem(pem));
    let key = key.or_else(|_| DecodingKey::from_ed_pem(pem));
    let key = key.map_err(|_| failed("are neither a JSON Web Key Set nor a public key in PEM".into()))?;
    Ok(vec![Key { id: None, algorithm: None, curve: None, key }])
}

fn of_set(text: &str) -> Result<Vec<Key>, String> {
    let set: Value = serde_json::from_str(text).map_err(|_| "tell no JSON".to_owned())?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or("tell no JSON Web Key Set")?;
    let keys: Vec<Key> = keys.iter().filter_map(Key::of_jwk).collect();
    if keys.is_empty() { Err("tell no public key that signatures could be verified by".into()) } else { Ok(keys) }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

fn signature_algorithm(algorithm: KeyAlgorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        KeyAlgorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        KeyAlgorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        KeyAlgorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        KeyAlgorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        KeyAlgorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        KeyAlgorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        KeyAlgorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        KeyAlgorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        KeyAlgorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}
