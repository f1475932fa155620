//! Which calls pass a gateway, and how tokens and logins are written. The types are here, and not beside what uses
//! them, since a configuration is read by programs without the feature `auth`, too.

use crate::{CallFilter, Config, ConfigError, Gateway, Secret, duration};
use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, time::Duration};

/// The shortest secret that is not weak: an HMAC key shorter than its hash can be guessed sooner than forged.
pub const SECRET_BYTES: usize = 32;
/// What there is without code.
const STRATEGIES: [&str; 2] = ["jwt", "local"];

/// Which calls pass a gateway: without a secret all, with one those with a token, and `public` ones.
///
/// It is heeded by `rachis gateway`, and by programs that call `gateway::guarded`. The login service is at
/// [`authentication_path`](Gateway::authentication_path).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GatewayAuth {
    /// What tokens are signed with, at least 32 bytes. Default `None`: no authentication.
    pub secret: Option<Secret>,
    /// Another secret that tokens may be signed with, while the secret is being changed. Default `None`.
    pub previous_secret: Option<Secret>,
    /// Takes a shorter secret too. Default no.
    pub allow_weak_secret: bool,
    /// Which calls need no token. Default none.
    pub public: CallFilter,
    /// The service that has the entities. Default `users`.
    pub service: String,
    /// The field of a login's result that holds the entity that logged in. Default `user`; empty: no service is asked.
    pub entity: String,
    /// The field of an entity that names it. Default `id`.
    pub entity_id: String,
    /// What clients may log in with. Default `jwt` and `local`, which are all there is without code.
    pub strategies: Vec<String>,
    /// What tokens say.
    pub jwt: JwtOptions,
    /// How a login with a password is written.
    pub local: LocalOptions,
}

/// What tokens say, and must say to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JwtOptions {
    /// `typ` in the header of new tokens; it is not verified. Default `access`.
    pub typ: String,
    /// What new tokens are signed by. Default HS256.
    pub algorithm: Algorithm,
    /// By what else tokens may be signed, say, while the algorithm is being changed. Default nothing.
    pub also_accept: Vec<Algorithm>,
    /// The audience of tokens (`aud`): any of them is taken, new tokens are for all. Default `https://yourdomain.com`; empty: not
    /// said, not verified.
    pub audience: Parties,
    /// The issuers of tokens (`iss`): any of them is taken, new tokens are from the first. Default `feathers`; empty: not said,
    /// not verified.
    pub issuer: Parties,
    /// How long new tokens are good for, at least a second. Default one day. Written as text with a unit; a bare number
    /// is milliseconds, as everywhere in our configuration, where Feathers takes it for seconds.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub expires_in: Duration,
    /// How far clocks may differ: for so long a token is taken before it begins and after it ends. Default 0.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub leeway: Duration,
    /// A file with public keys that tokens of others are verified by: a JSON Web Key Set, or one key in PEM. Default none.
    pub keys_file: Option<String>,
    /// The address of such a key set, which is read when it is needed: `https`, or `http` on this machine. Default none.
    pub jwks_url: Option<String>,
    /// By what tokens of others may be signed. Default RS256 and ES256.
    pub key_algorithms: Vec<KeyAlgorithm>,
}

impl JwtOptions {
    /// What does not hold together, with its key.
    #[doc(hidden)]
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        let Some(url) = &self.jwks_url else {
            let useless = self.keys_file.is_some() && self.key_algorithms.is_empty();
            return useless.then(|| ("key_algorithms", "is empty: name what tokens may be signed by".into()));
        };
        let uri: Option<http::Uri> = url.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
        let here = matches!(host, "localhost" | "[::1]") || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
        let secret = uri.as_ref().and_then(http::Uri::authority).is_some_and(|part| part.as_str().contains('@'));
        match uri.as_ref().and_then(http::Uri::scheme_str) {
            _ if self.keys_file.is_some() => Some(("jwks_url", "and `keys_file` are both set: take one out".into())),
            _ if self.key_algorithms.is_empty() => {
                Some(("key_algorithms", "is empty: name what tokens may be signed by".into()))
            }
            _ if secret => Some(("jwks_url", "has a user in it: public keys need none".into())),
            Some("https") if !host.is_empty() => None,
            Some("http") if here => None,
            Some("http") if !host.is_empty() => {
                Some(("jwks_url", "is http: keys could be replaced on the way, so take https".into()))
            }
            _ => Some(("jwks_url", "is no address: write it as https://host/path".into())),
        }
    }
}

/// The audiences or issuers of tokens: in a file one text, or a list of them.
///
/// ```
/// use rachis::config::Parties;
///
/// let parties: Parties = ["https://a.example", "https://b.example"].into();
/// assert_eq!(parties.iter().count(), 2);
/// assert!(Parties::from("").is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct Parties(Vec<String>);

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Parties {
    /// Every one of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns `true` if none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<OneOrMore> for Parties {
    fn from(read: OneOrMore) -> Self {
        let all = match read {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        };
        Parties(all.into_iter().filter(|one| !one.is_empty()).collect())
    }
}

impl From<Parties> for OneOrMore {
    fn from(mut parties: Parties) -> Self {
        match parties.0.len() {
            0 | 1 => OneOrMore::One(parties.0.pop().unwrap_or_default()),
            _ => OneOrMore::More(parties.0),
        }
    }
}

impl From<&str> for Parties {
    fn from(one: &str) -> Self {
        OneOrMore::One(one.to_owned()).into()
    }
}

impl From<String> for Parties {
    fn from(one: String) -> Self {
        OneOrMore::One(one).into()
    }
}

impl<T: Into<String>> From<Vec<T>> for Parties {
    fn from(all: Vec<T>) -> Self {
        OneOrMore::More(all.into_iter().map(Into::into).collect()).into()
    }
}

impl<const N: usize> From<[&str; N]> for Parties {
    fn from(all: [&str; N]) -> Self {
        all.to_vec().into()
    }
}

/// Ways to sign with a private key, which a public one verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub enum KeyAlgorithm {
    /// RSA with SHA-256.
    RS256,
    /// RSA with SHA-384.
    RS384,
    /// RSA with SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl KeyAlgorithm {
    /// All there are.
    pub const ALL: [KeyAlgorithm; 9] = {
        use KeyAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA]
    };

    /// The name as it stands in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            KeyAlgorithm::RS256 => "RS256",
            KeyAlgorithm::RS384 => "RS384",
            KeyAlgorithm::RS512 => "RS512",
            KeyAlgorithm::PS256 => "PS256",
            KeyAlgorithm::PS384 => "PS384",
            KeyAlgorithm::PS512 => "PS512",
            KeyAlgorithm::ES256 => "ES256",
            KeyAlgorithm::ES384 => "ES384",
            KeyAlgorithm::EdDSA => "EdDSA",
        }
    }
}

impl TryFrom<String> for KeyAlgorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = KeyAlgorithm::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            format!("is {name:?}, expected one of {}", KeyAlgorithm::ALL.map(KeyAlgorithm::name).join(", "))
        })
    }
}

/// How a login with a password is written. A dot leads into a nested field, both of the request and of the entity.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LocalOptions {
    /// The field that names the entity. Default `email`.
    pub username_field: String,
    /// The field with the password, in the entity its hash. Default `password`.
    pub password_field: String,
}

/// Ways to sign with a shared secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
// By its text, since figment would also take 0, 1 and 2.
#[serde(try_from = "String")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

impl Algorithm {
    /// The name as it stands in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let all = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        let known = all.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| format!("is {name:?}, expected \"HS256\", \"HS384\" or \"HS512\""))
    }
}

impl Default for JwtOptions {
    fn default() -> Self {
        JwtOptions {
            typ: "access".into(),
            algorithm: Algorithm::HS256,
            also_accept: Vec::new(),
            audience: "https://yourdomain.com".into(),
            issuer: "feathers".into(),
            expires_in: Duration::from_secs(24 * 60 * 60),
            leeway: Duration::ZERO,
            keys_file: None,
            jwks_url: None,
            key_algorithms: vec![KeyAlgorithm::RS256, KeyAlgorithm::ES256],
        }
    }
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions { username_field: "email".into(), password_field: "password".into() }
    }
}

impl Gateway {
    /// Returns `true` if the gateway authenticates callers.
    ///
    /// [`Config::validate`] does not ask this, since nodes that are no gateway may share the file without the secret,
    /// and have a `JWT_SECRET` that is none of ours.
    ///
    /// ```
    /// use rachis::Config;
    ///
    /// let mut gateway = Config::default().gateway;
    /// assert!(!gateway.authenticates()?);
    /// gateway.auth.secret = Some("short".into());
    /// let error = gateway.authenticates().unwrap_err().to_string();
    /// assert!(error.starts_with("`gateway.auth.secret` is shorter than 32 bytes: take a longer one"), "{error}");
    /// # Ok::<_, rachis::config::ConfigError>(())
    /// ```
    pub fn authenticates(&self) -> Result<bool, ConfigError> {
        let auth = &self.auth;
        let Some(secret) = &auth.secret else { return self.without_secret() };
        let length = secret.expose().len();
        check(length > 0, "secret", || "is empty: set one, or leave it out".into())?;
        check(length >= SECRET_BYTES || auth.allow_weak_secret, "secret", || {
            format!("is shorter than {SECRET_BYTES} bytes: take a longer one, or set gateway.auth.allow_weak_secret")
        })?;
        let previous = auth.previous_secret.as_ref().map(|secret| secret.expose().len());
        check(
            previous.is_none_or(|length| length >= SECRET_BYTES || auth.allow_weak_secret),
            "previous_secret",
            || format!("is shorter than {SECRET_BYTES} bytes: take it out, or set gateway.auth.allow_weak_secret"),
        )?;
        check(auth.jwt.expires_in >= Duration::from_secs(1), "jwt.expires_in", || {
            "is less than a second: raise it".into()
        })?;
        if let Some((key, why)) = auth.jwt.mistake() {
            return Err(ConfigError::new(why).at(format!("gateway.auth.jwt.{key}")));
        }
        for (key, name) in [
            ("entity_id", &auth.entity_id),
            ("local.username_field", &auth.local.username_field),
            ("local.password_field", &auth.local.password_field),
        ] {
            check(!name.is_empty(), key, || "is empty: give it a name".into())?;
        }
        check(!auth.service.is_empty() || auth.entity.is_empty(), "service", || {
            "is empty: name the service with the users, or leave gateway.auth.entity empty, too".into()
        })?;
        check(!auth.strategies.is_empty(), "strategies", || "is empty: name \"jwt\", \"local\" or both".into())?;
        let unknown = auth.strategies.iter().find(|name| !STRATEGIES.contains(&name.as_str()));
        check(unknown.is_none(), "strategies", || {
            let name = unknown.map_or("", String::as_str);
            format!("names {name:?}: there are \"jwt\" and \"local\"; others are added by code")
        })?;
        if self.authentication_path.trim_matches('/').is_empty() {
            let message = "is empty, but gateway.auth.secret is set: name the path to log in at";
            return Err(ConfigError::new(message).at("gateway.authentication_path"));
        }
        Ok(true)
    }

    /// A secret that was forgotten must not open what was meant to be closed.
    fn without_secret(&self) -> Result<bool, ConfigError> {
        check(self.auth == Config::default().gateway.auth, "secret", || {
            "is not set, but other keys of gateway.auth are: set it, e.g. by JWT_SECRET_FILE, or leave them all out"
                .into()
        })?;
        Ok(false)
    }
}

fn check(holds: bool, key: &str, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(message()).at(format!("gateway.auth.{key}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(text: &str) -> Gateway {
        Config::from_toml(text).unwrap().gateway
    }

    fn refusal(rest: &str) -> String {
        let text = format!("[gateway.auth]\nsecret = '{}'\n{rest}", "x".repeat(SECRET_BYTES));
        gateway(&text).authenticates().unwrap_err().to_string()
    }

    #[test]
    fn without_a_secret_nobody_is_asked_for_a_token() {
        assert_eq!(Config::default().gateway.authenticates(), Ok(false));
    }

    #[test]
    fn a_secret_that_was_forgotten_does_not_open_the_gateway() {
        for text in ["public = ['news']", "service = 'people'", "[gateway.auth.jwt]\nissuer = 'me'"] {
            let error = gateway(&format!("[gateway.auth]\n{text}")).authenticates().unwrap_err().to_string();
            assert!(error.starts_with("`gateway.auth.secret` is not set") && error.contains("JWT_SECRET"), "{error}");
        }
        let error = gateway("[gateway.auth]\nsecret = ''").authenticates().unwrap_err().to_string();
        assert_eq!(error, "`gateway.auth.secret` is empty: set one, or leave it out");
    }

    #[test]
    fn a_weak_secret_is_taken_only_where_it_is_allowed() {
        let weak = "[gateway.auth]\nsecret = 'hunter2'";
        let error = gateway(weak).authenticates().unwrap_err().to_string();
        assert!(error.contains("allow_weak_secret") && !error.contains("hunter2"), "{error}");
        assert_eq!(gateway(&format!("{weak}\nallow_weak_secret = true")).authenticates(), Ok(true));
    }

    #[test]
    fn what_can_not_work_is_told_with_its_key() {
        for (rest, key) in [
            ("entity_id = ''", "gateway.auth.entity_id"),
            ("service = ''", "gateway.auth.service"),
            ("strategies = []", "gateway.auth.strategies"),
            ("strategies = ['jwt', 'oauth']", "gateway.auth.strategies"),
            ("local.username_field = ''", "gateway.auth.local.username_field"),
            ("local.password_field = ''", "gateway.auth.local.password_field"),
            ("jwt.expires_in = '999ms'", "gateway.auth.jwt.expires_in"),
            ("jwt.jwks_url = 'id.example'", "gateway.auth.jwt.jwks_url"),
            ("jwt.jwks_url = 'http://id.example/keys'", "gateway.auth.jwt.jwks_url"),
            ("jwt.jwks_url = 'http://127.0.0.1.id.example/keys'", "gateway.auth.jwt.jwks_url"),
            ("jwt.jwks_url = 'https://me:you@id.example/keys'", "gateway.auth.jwt.jwks_url"),
            ("jwt.jwks_url = 'https://id.example/keys'\njwt.keys_file = 'x'", "gateway.auth.jwt.jwks_url"),
            ("jwt.keys_file = 'x'\njwt.key_algorithms = []", "gateway.auth.jwt.key_algorithms"),
            ("[gateway]\nauthentication_path = '/'", "gateway.authentication_path"),
        ] {
            assert!(refusal(rest).starts_with(&format!("`{key}` ")), "{}", refusal(rest));
        }
    }

    #[test]
    fn keys_of_others_may_be_at_an_https_address_or_on_this_machine() {
        for url in ["https://id.example/keys", "http://127.0.0.1:8080/keys", "http://[::1]/keys", "http://localhost/"] {
            let text = format!("[gateway.auth]\nsecret = '{}'\njwt.jwks_url = '{url}'", "x".repeat(SECRET_BYTES));
            assert_eq!(gateway(&text).authenticates(), Ok(true), "{url}");
        }
    }

    #[test]
    fn audiences_are_a_text_or_a_list_and_nothing_is_signed_by_a_public_key() {
        let jwt =
            |text: &str| Config::from_toml(&format!("[gateway.auth.jwt]\n{text}")).map(|read| read.gateway.auth.jwt);
        assert_eq!(jwt("audience = ['a', 'b', '']").unwrap().audience, ["a", "b"].into());
        assert_eq!(jwt("audience = 'a'").unwrap().audience, "a".into());
        assert!(jwt("audience = []").unwrap().audience.is_empty());
        assert_eq!(jwt("key_algorithms = ['EdDSA']").unwrap().key_algorithms, [KeyAlgorithm::EdDSA]);
        for wrong in [
            "algorithm = 'RS256'",
            "also_accept = ['RS256']",
            "key_algorithms = ['HS256']",
            "key_algorithms = ['none']",
        ] {
            assert!(jwt(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_of_defaults_has_the_defaults_of_the_options() {
        let auth = Config::default().gateway.auth;
        assert_eq!((auth.jwt, auth.local), (JwtOptions::default(), LocalOptions::default()));
    }
}
