//! Tokens that others have signed, verified by their public keys. Keys and tokens were made by the npm package `jose`.

use super::*;
use rachis::auth::{JwtOptions, KeyAlgorithm};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn made() -> Value {
    serde_json::from_str(include_str!("jose.json")).unwrap()
}

fn text(name: &str) -> String {
    made()[name].as_str().unwrap_or_else(|| panic!("{name}")).to_owned()
}

/// The key set with these keys only.
fn set(names: &[&str]) -> Value {
    let keys = made()["jwks"]["keys"].clone();
    let keys = keys.as_array().unwrap().iter().filter(|key| names.contains(&key["kid"].as_str().unwrap()));
    json!({ "keys": keys.collect::<Vec<_>>() })
}

fn with(change: impl FnOnce(&mut JwtOptions)) -> Authentication {
    let mut config = AuthConfig::new(SECRET);
    config.jwt.key_algorithms = KeyAlgorithm::ALL.to_vec();
    change(&mut config.jwt);
    Authentication::new(config).unwrap()
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn by_file(text: &str) -> Authentication {
    let file = file(text);
    with(|jwt| jwt.keys_file = Some(file.path().to_str().unwrap().to_owned()))
}

#[track_caller]
fn refusal(auth: &Authentication, token: &str) -> String {
    let error = auth.verify_token(token).unwrap_err();
    assert_eq!(error.code(), 401, "{error}");
    error.message().to_owned()
}

/// A server that answers every request with what it was told last, and counts.
#[derive(Clone)]
struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicU32>,
}

impl Provider {
    async fn start(answer: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider =
            Provider { address, answer: Arc::new(Mutex::new((200, answer.to_string()))), asked: Arc::default() };
        let own = provider.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                assert!(request.starts_with(b"GET /keys?of=all HTTP/1.1\r\n"));
                own.asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = own.answer.lock().unwrap().clone();
                let head = format!("HTTP/1.1 {status} OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        provider
    }

    fn says(&self, status: u16, body: impl ToString) {
        *self.answer.lock().unwrap() = (status, body.to_string());
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn auth(&self) -> Authentication {
        with(|jwt| jwt.jwks_url = Some(format!("http://{}/keys?of=all", self.address)))
    }
}

#[test]
fn tokens_of_a_key_set_are_taken_beside_our_own() {
    let auth = by_file(&made()["jwks"].to_string());
    for name in
        ["rsa", "rsa_no_kid", "rsa_rs512", "ec", "ec_no_kid", "ec384", "ec384_no_kid", "ed", "ed_no_kid", "late"]
    {
        assert_eq!(auth.verify_token(&text(name)).unwrap()["sub"], "1", "{name}");
    }
    let (own, _) = auth.sign(Default::default(), Some("2")).unwrap();
    assert_eq!(auth.verify_token(&own).unwrap()["sub"], "2");
    assert_eq!(self::auth().verify_token(&own).unwrap()["sub"], "2");
    assert_eq!(refusal(&self::auth(), &text("rsa")), "invalid algorithm");
}

#[test]
fn a_public_key_in_pem_verifies_what_its_owner_signed_and_nothing_else() {
    for name in ["rsa", "ec", "ec384", "ed"] {
        let auth = by_file(&text(&format!("{name}_pem")));
        assert!(auth.verify_token(&text(name)).is_ok(), "{name}");
        for other in ["rsa", "ec", "ec384", "ed", "late"].into_iter().filter(|other| *other != name) {
            assert_eq!(refusal(&auth, &text(other)), "invalid signature", "{other} by {name}");
        }
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with_and_nothing_goes_unsigned() {
    let set = made()["jwks"].to_string();
    for keys in [set, text("rsa_pem")] {
        let auth = by_file(&keys);
        for name in ["forged_pem", "forged_jwk", "forged_n"] {
            assert_eq!(refusal(&auth, &text(name)), "invalid signature", "{name}");
        }
        assert_eq!(refusal(&auth, &text("none")), "jwt signature is required");
        assert_eq!(refusal(&auth, &text("none_signed")), "invalid algorithm");
    }
    // A secret that a key set tells everybody is none.
    let shared = json!({ "keys": [{ "kty": "oct", "kid": "rsa", "k": "AAAA", "alg": "HS256" }] });
    let mut config = AuthConfig::new(SECRET);
    let file = file(&shared.to_string());
    config.jwt.keys_file = Some(file.path().to_str().unwrap().to_owned());
    assert!(Authentication::new(config).unwrap_err().message().contains("no public key"));
}

#[test]
fn only_the_algorithms_that_are_named_count_and_only_keys_for_signatures() {
    let keys = file(&made()["jwks"].to_string());
    let name = |jwt: &mut JwtOptions| jwt.keys_file = Some(keys.path().to_str().unwrap().to_owned());
    let auth = with(|jwt| {
        name(jwt);
        jwt.key_algorithms = vec![KeyAlgorithm::ES256];
    });
    assert!(auth.verify_token(&text("ec")).is_ok());
    for other in ["rsa", "rsa_rs512", "ec384", "ed"] {
        assert_eq!(refusal(&auth, &text(other)), "invalid algorithm", "{other}");
    }
    let mut set = set(&["rsa", "ec"]);
    set["keys"][0]["use"] = json!("enc");
    let auth = by_file(&set.to_string());
    assert_eq!(refusal(&auth, &text("rsa")), "invalid signature");
    set["keys"][0]["use"] = json!("sig");
    set["keys"][0]["alg"] = json!("RS256");
    let auth = by_file(&set.to_string());
    assert!(auth.verify_token(&text("rsa")).is_ok());
    assert_eq!(refusal(&auth, &text("rsa_rs512")), "invalid signature");
}

#[test]
fn a_token_is_for_any_of_several_audiences_and_new_ones_are_for_all() {
    let keys = file(&made()["jwks"].to_string());
    let of = |audience: &[&str], issuer: &[&str]| {
        with(|jwt| {
            jwt.keys_file = Some(keys.path().to_str().unwrap().to_owned());
            (jwt.audience, jwt.issuer) = (audience.to_vec().into(), issuer.to_vec().into());
        })
    };
    let auth = of(&["https://a.example", "https://yourdomain.com"], &["us", "feathers"]);
    assert!(auth.verify_token(&text("rsa")).is_ok());
    let (_, claims) = auth.sign(Default::default(), None).unwrap();
    assert_eq!(
        (&claims["aud"], &claims["iss"]),
        (&json!(["https://a.example", "https://yourdomain.com"]), &json!("us"))
    );
    let message = refusal(&of(&["https://a.example", "https://b.example"], &["feathers"]), &text("rsa"));
    assert_eq!(message, "jwt audience invalid. expected: https://a.example or https://b.example");
    let message = refusal(&of(&["https://yourdomain.com"], &["us", "them"]), &text("rsa"));
    assert_eq!(message, "jwt issuer invalid. expected: us,them");
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_one_that_is_not_among_them() {
    let provider = Provider::start(set(&["rsa", "ec"])).await;
    let auth = provider.auth();
    assert_eq!(provider.asked(), 0, "nobody needed them yet");
    let (own, _) = auth.sign(Default::default(), Some("1")).unwrap();
    auth.prepare_keys(&own).await.unwrap();
    assert_eq!((provider.asked(), auth.verify_token(&own).is_ok()), (0, true));
    let many = (0..20).map(|_| async {
        auth.prepare_keys(&text("rsa")).await.unwrap();
        auth.verify_token(&text("rsa")).unwrap();
    });
    futures_util::future::join_all(many).await;
    assert_eq!(provider.asked(), 1);
    // A key that nobody has told of is asked for, but not as often as strangers like.
    for _ in 0..20 {
        auth.prepare_keys(&text("late")).await.unwrap();
        assert_eq!(refusal(&auth, &text("late")), "invalid signature");
    }
    assert_eq!(provider.asked(), 1, "it was asked a moment ago");
    provider.says(200, set(&["rsa", "late"]));
    advance(11).await;
    auth.prepare_keys(&text("late")).await.unwrap();
    assert!(auth.verify_token(&text("late")).is_ok());
    assert_eq!(provider.asked(), 2);
    assert_eq!(refusal(&auth, &text("ec")), "invalid signature", "it was withdrawn");
}

/// Lets so many seconds pass.
async fn advance(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_are_read_again_in_time_and_outlive_a_provider_that_is_away_for_an_hour() {
    let provider = Provider::start(set(&["rsa", "ec"])).await;
    let auth = provider.auth();
    auth.prepare_keys(&text("rsa")).await.unwrap();
    advance(9 * 60).await;
    auth.prepare_keys(&text("rsa")).await.unwrap();
    assert_eq!(provider.asked(), 1);
    provider.says(200, set(&["ec"]));
    advance(2 * 60).await;
    auth.prepare_keys(&text("rsa")).await.unwrap();
    assert_eq!((provider.asked(), refusal(&auth, &text("rsa"))), (2, "invalid signature".into()));

    provider.says(503, "");
    advance(11 * 60).await;
    auth.prepare_keys(&text("ec")).await.unwrap();
    assert!(auth.verify_token(&text("ec")).is_ok());
    advance(50 * 60).await;
    assert_eq!(auth.prepare_keys(&text("ec")).await.unwrap_err().code(), 503);
    assert!(auth.verify_token(&text("ec")).is_err(), "they are too old");
    provider.says(200, set(&["ec"]));
    advance(11).await;
    auth.prepare_keys(&text("ec")).await.unwrap();
    assert!(auth.verify_token(&text("ec")).is_ok());
}

#[tokio::test]
async fn a_key_file_that_is_replaced_counts_within_seconds() {
    let file = file(&text("rsa_pem"));
    let auth = with(|jwt| jwt.keys_file = Some(file.path().to_str().unwrap().to_owned()));
    auth.prepare_keys(&text("rsa")).await.unwrap();
    assert!(auth.verify_token(&text("rsa")).is_ok());
    // A key in PEM has no name that could tell that it is another one.
    std::fs::write(file.path(), text("late_pem")).unwrap();
    advance(11).await;
    auth.prepare_keys(&text("rsa")).await.unwrap();
    assert_eq!(refusal(&auth, &text("rsa")), "invalid signature", "its key was withdrawn");
    auth.prepare_keys(&text("late")).await.unwrap();
    assert!(auth.verify_token(&text("late")).is_ok());
    // A file that is being written anew is none for a moment.
    std::fs::write(file.path(), "").unwrap();
    advance(11).await;
    auth.prepare_keys(&text("late")).await.unwrap();
    assert!(auth.verify_token(&text("late")).is_ok(), "the last ones that could be read count");
}

#[cfg(feature = "tls")]
mod https {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        path::Path,
        process::{Child, Command, Stdio},
    };

    /// Where the process that fetches keys finds them.
    const URL: &str = "RACHIS_TEST_JWKS";
    /// The test that is that process when the variable is set.
    const ENTRY: &str = "keys::https::keys_come_over_https_from_whom_the_authorities_of_the_system_vouch_for";

    /// A server of files over TLS, until it is dropped.
    struct Files {
        child: Child,
        url: String,
    }

    impl Files {
        /// Serves the keys `rsa` with a certificate for `names`, of the authority `ca.crt` in the folder.
        fn start(folder: &Path, names: &str) -> Files {
            let script = r#"
                openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
                openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout node.key -out node.csr
                printf 'subjectAltName=%s' "$NAMES" > names
                openssl x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out node.crt
            "#;
            let mut made = Command::new("sh");
            let made = made.args(["-ec", script]).env("NAMES", names).current_dir(folder).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            std::fs::write(folder.join("keys"), set(&["rsa"]).to_string()).unwrap();
            let mut serve = Command::new("openssl");
            serve.args(["s_server", "-accept", "127.0.0.1:0", "-cert", "node.crt", "-key", "node.key", "-WWW"]);
            let mut child = serve.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let port = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned));
            // It writes more for each request, which somebody has to read.
            std::thread::spawn(move || lines.for_each(drop));
            Files { child, url: format!("https://127.0.0.1:{}/keys", port.unwrap()) }
        }

        /// What comes of fetching the keys, in a process that trusts the authorities in this file, or those of the system.
        fn fetched(&self, authorities: Option<&Path>) -> String {
            let mut fetch = Command::new(std::env::current_exe().unwrap());
            fetch.args(["--exact", ENTRY, "--nocapture"]).env(URL, &self.url);
            fetch.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
            if let Some(file) = authorities {
                fetch.env("SSL_CERT_FILE", file);
            }
            let output = String::from_utf8(fetch.output().unwrap().stdout).unwrap();
            let (_, outcome) = output.split_once("fetched: ").unwrap_or_else(|| panic!("{output}"));
            outcome.lines().next().unwrap().to_owned()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[tokio::test]
    async fn keys_come_over_https_from_whom_the_authorities_of_the_system_vouch_for() {
        if let Ok(url) = std::env::var(URL) {
            let auth = with(|jwt| jwt.jwks_url = Some(url));
            let outcome = match auth.prepare_keys(&text("rsa")).await {
                Ok(()) => auth.verify_token(&text("rsa")).map(|claims| claims["sub"].to_string()),
                Err(error) => Err(error),
            };
            return match outcome {
                Ok(subject) => println!("fetched: {subject}"),
                Err(error) => println!("fetched: {} {error}", error.code()),
            };
        }
        let folder = tempfile::tempdir().unwrap();
        let files = Files::start(folder.path(), "IP:127.0.0.1");
        let authority = folder.path().join("ca.crt");
        assert_eq!(files.fetched(Some(&authority)), "\"1\"");
        let refused = files.fetched(None);
        assert!(refused.starts_with("503 ") && refused.contains("UnknownIssuer"), "{refused}");
        let others = tempfile::tempdir().unwrap();
        let misnamed = Files::start(others.path(), "DNS:id.example");
        let refused = misnamed.fetched(Some(&others.path().join("ca.crt")));
        assert!(refused.starts_with("503 ") && refused.contains("not valid for name"), "{refused}");
    }
}

#[tokio::test]
async fn a_login_by_a_token_of_others_finds_its_user_and_guards_take_it() {
    let provider = Provider::start(set(&["ec"])).await;
    let auth = provider.auth();
    let app = App::new()
        .register("authentication", auth.clone())
        .register("users", users(&auth))
        .register("secured", Echo.before(ALL, auth.authenticate("jwt")));
    sign_up(&app.service("users")).await;
    let login = json!({ "strategy": "jwt", "accessToken": text("ec") });
    let login = app.service("authentication").create(login).params(client()).await.unwrap();
    assert_eq!(login["user"], json!({ "email": "ada@example.org", "id": 1 }));
    let seen = app.service("secured").get(1).params(bearer(&text("ec"))).await.unwrap();
    assert_eq!(seen["user"]["id"], 1);
    assert_refused(app.service("secured").get(1).params(bearer(&text("forged_pem"))).await, "invalid signature");
}

/// Clients forget their tokens when they are refused, so one that can not be judged is not.
#[tokio::test]
async fn a_provider_that_is_away_makes_tokens_unavailable_and_not_wrong() {
    for (status, body) in
        [(500, "oops".to_owned()), (200, "no JSON".into()), (200, r#"{"keys":[]}"#.into()), (302, String::new())]
    {
        let provider = Provider::start(Value::Null).await;
        provider.says(status, &body);
        let auth = provider.auth();
        for _ in 0..3 {
            let error = auth.prepare_keys(&text("rsa")).await.unwrap_err();
            assert_eq!(error.code(), 503, "{status} {body}: {error}");
        }
        assert_eq!(provider.asked(), 1, "strangers do not decide how often it is asked");
        let secured = App::new().register("secured", Echo.before(ALL, auth.authenticate("jwt"))).service("secured");
        assert_eq!(secured.get(1).params(bearer(&text("rsa"))).await.unwrap_err().code(), 503);
        let (own, _) = auth.sign(Default::default(), Some("1")).unwrap();
        assert!(auth.prepare_keys(&own).await.is_ok() && auth.verify_token(&own).is_ok());
    }
}
