//! Signs and verifies tokens, with the very messages of the `jsonwebtoken` package that Feathers clients know.
//!
//! Pure: the time is a parameter.

use super::{
    Algorithm, AuthConfig, JwtOptions, Parties,
    keys::{Header, Keys},
};
use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jsonwebtoken::{DecodingKey, EncodingKey, crypto};
use rachis_core::{Error, Result};
use serde_json::{Map, Value, json};
use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Reads what Node.js reads: bits left over at the end do not matter. The signature is compared strictly.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// What a token says of itself.
pub type Claims = Map<String, Value>;

/// Makes and checks tokens of one secret.
#[derive(Clone)]
pub(super) struct Tokens {
    options: JwtOptions,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// Verifies, too, but nothing is signed by it.
    previous: Option<DecodingKey>,
}

impl Tokens {
    pub(super) fn new(config: &AuthConfig) -> Self {
        let secret = config.secret.expose().as_bytes();
        Tokens {
            options: config.jwt.clone(),
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
            previous: config
                .previous_secret
                .as_ref()
                .map(|secret| DecodingKey::from_secret(secret.expose().as_bytes())),
        }
    }

    /// A new token for `subject` and what it says. `claims` come first in it.
    ///
    /// # Errors
    /// `GeneralError` for a claim that only the configuration may set.
    pub(super) fn sign(&self, claims: Claims, subject: Option<&str>, now: SystemTime) -> Result<(String, Claims)> {
        let claims = self.complete(claims, subject, now)?;
        let header = json!({ "alg": self.options.algorithm.name(), "typ": self.options.typ });
        let message = format!("{}.{}", encode(&header), encode(&Value::Object(claims.clone())));
        let signature = crypto::sign(message.as_bytes(), &self.signing, algorithm(self.options.algorithm))
            .map_err(|error| Error::general(format!("The token could not be signed: {error}")))?;
        Ok((format!("{message}.{signature}"), claims))
    }

    fn complete(&self, mut claims: Claims, subject: Option<&str>, now: SystemTime) -> Result<Claims> {
        if let Some(claim) = ["exp", "aud", "iss", "sub", "jti"].into_iter().find(|claim| claims.contains_key(*claim)) {
            return Err(Error::general(format!(
                "`params.payload` has a claim `{claim}`, which is set for every token"
            )));
        }
        let issued = match claims.get("iat") {
            Some(given) => given.as_u64().ok_or_else(|| Error::general("The claim `iat` is no number of seconds"))?,
            None => now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        claims.insert("iat".into(), issued.into());
        claims.insert("exp".into(), issued.saturating_add(self.options.expires_in.as_secs()).into());
        let audiences: Vec<&str> = self.options.audience.iter().collect();
        let said = [
            ("aud", if let [one] = audiences[..] { one.into() } else { json!(audiences) }),
            ("iss", self.options.issuer.iter().next().unwrap_or_default().into()),
            ("sub", subject.unwrap_or_default().into()),
        ];
        for (claim, value) in said {
            if value != "" && value != json!([]) {
                claims.insert(claim.into(), value);
            }
        }
        claims.insert("jti".into(), uuid::Uuid::new_v4().to_string().into());
        Ok(claims)
    }

    /// What a genuine token says.
    ///
    /// # Errors
    /// `NotAuthenticated` with the message and the `data` that Feathers gives.
    pub(super) fn verify(&self, token: &str, keys: Option<&Keys>, now: SystemTime) -> Result<Claims> {
        let Parted { message, claims, signature, header } = check_form(token)?;
        let name = header.algorithm.as_deref().unwrap_or_default();
        // Which keys are tried follows from the algorithm, so a public key is never a secret to sign with.
        let genuine = if let Some(used) = self.accepted().find(|accepted| accepted.name() == name) {
            // An error is a signature that is no base64, so a wrong one.
            let by = |key| crypto::verify(signature, message.as_bytes(), key, algorithm(used)).unwrap_or(false);
            by(&self.verifying) || self.previous.as_ref().is_some_and(by)
        } else if let Some((keys, used)) = keys.and_then(|keys| Some((keys, keys.accepts(name)?))) {
            keys.verify(&header, used, message, signature)
        } else {
            return Err(refused("invalid algorithm"));
        };
        if !genuine {
            return Err(refused("invalid signature"));
        }
        // Signed, but no object: it says nothing, as in Feathers.
        let claims = match decode(claims) {
            Some(Value::Object(claims)) => claims,
            _ => Claims::new(),
        };
        self.check_claims(&claims, now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64().floor())?;
        Ok(claims)
    }

    fn accepted(&self) -> impl Iterator<Item = Algorithm> {
        [self.options.algorithm].into_iter().chain(self.options.also_accept.iter().copied())
    }

    fn check_claims(&self, claims: &Claims, now: f64) -> Result<()> {
        let leeway = self.options.leeway.as_secs_f64();
        if let Some(value) = claims.get("nbf") {
            let begin = value.as_f64().ok_or_else(|| refused("invalid nbf value"))?;
            if begin > now + leeway {
                return Err(refused_at("NotBeforeError", "jwt not active", "date", begin));
            }
        }
        if let Some(value) = claims.get("exp") {
            let end = value.as_f64().ok_or_else(|| refused("invalid exp value"))?;
            if now >= end + leeway {
                return Err(refused_at("TokenExpiredError", "jwt expired", "expiredAt", end));
            }
        }
        let JwtOptions { audience, issuer, .. } = &self.options;
        if !audience.is_empty() && !is_for(claims.get("aud"), audience) {
            return Err(refused(&format!("jwt audience invalid. expected: {}", either(audience, " or "))));
        }
        if !issuer.is_empty() && !issuer.iter().any(|one| claims.get("iss").is_some_and(|said| said == one)) {
            return Err(refused(&format!("jwt issuer invalid. expected: {}", either(issuer, ","))));
        }
        Ok(())
    }
}

/// What a token is made of.
struct Parted<'a> {
    /// What is signed.
    message: &'a str,
    /// The part of it with the claims.
    claims: &'a str,
    signature: &'a str,
    header: Header,
}

/// Returns the header of a token, which need not be genuine.
///
/// # Errors
/// `NotAuthenticated` for what is no token.
pub(super) fn header(token: &str) -> Result<Header> {
    check_form(token).map(|parted| parted.header)
}

fn check_form(token: &str) -> Result<Parted<'_>> {
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, claims, signature] = parts[..] else { return Err(refused("jwt malformed")) };
    let is_base64 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if header.is_empty() || claims.is_empty() || !parts.iter().all(|part| is_base64(part)) {
        return Err(refused("invalid token"));
    }
    let header_value = decode(header).filter(|value| !value.is_null()).ok_or_else(|| refused("invalid token"))?;
    if signature.is_empty() {
        return Err(refused("jwt signature is required"));
    }
    let text = |name: &str| header_value.get(name).and_then(Value::as_str).map(str::to_owned);
    let message = &token[..header.len() + 1 + claims.len()];
    Ok(Parted { message, claims, signature, header: Header { algorithm: text("alg"), key: text("kid") } })
}

fn algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
    }
}

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64.decode(part).ok()?).ok()
}

fn is_for(said: Option<&Value>, audience: &Parties) -> bool {
    let ours = |one: &Value| audience.iter().any(|audience| one == audience);
    match said {
        Some(Value::Array(several)) => several.iter().any(ours),
        Some(one) => ours(one),
        None => false,
    }
}

fn either(parties: &Parties, or: &str) -> String {
    parties.iter().collect::<Vec<_>>().join(or)
}

/// The error of a token that is not taken; `data` is what Feathers keeps of the library's error.
pub(super) fn refused(message: &str) -> Error {
    Error::not_authenticated(message).with_data(json!({ "name": "JsonWebTokenError" }))
}

fn refused_at(name: &str, message: &str, field: &str, seconds: f64) -> Error {
    let mut data = json!({ "name": name });
    if let Some(time) = time(seconds).and_then(iso) {
        data[field] = time.into();
    }
    Error::not_authenticated(message).with_data(data)
}

/// The time that a claim names; `None` if no clock goes that far.
pub(super) fn time(seconds: f64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

fn iso(time: SystemTime) -> Option<String> {
    let mut text = String::new();
    // It fails, instead of writing, for years of more than four digits.
    write!(text, "{}", humantime::format_rfc3339_millis(time)).ok()?;
    Some(text)
}

#[cfg(test)]
#[path = "tests/token.rs"]
mod tests;
