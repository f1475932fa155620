//! Every answer here was compared with what Feathers 5.0.50 over jsonwebtoken 9.0.3 says to the same token.

use super::*;
use crate::AuthConfig;
use proptest::prelude::*;

const SECRET: &str = "a-fixture-secret-of-at-least-32-bytes!";

/// Made by the npm package `jsonwebtoken`, good until 2100.
const THEIRS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImFjY2VzcyJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwiYXVkIjoiaHR0cHM6Ly95b3VyZG9tYWluLmNvbSIsImlzcyI6ImZlYXRoZXJzIiwic3ViIjoiMSIsImp0aSI6ImI4ZjNiN2EyLTBjM2MtNGE1My05ZjBhLTBmNGM3ZTFmMmEzYiJ9.UjrmZAJeDbN_MHZFU3TzK-5jsRcCuV2HDv8nPMS7irM";
const THEIRS_384: &str = "eyJhbGciOiJIUzM4NCIsInR5cCI6ImFjY2VzcyJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwiYXVkIjoiaHR0cHM6Ly95b3VyZG9tYWluLmNvbSIsImlzcyI6ImZlYXRoZXJzIiwic3ViIjoiMSIsImp0aSI6ImI4ZjNiN2EyLTBjM2MtNGE1My05ZjBhLTBmNGM3ZTFmMmEzYiJ9.q17QRTS9KMbac-RdYsWI5iiMe77sqFm0HFJcoPycCmKczAEFNQOugv68dXefOjEa";
const THEIRS_512: &str = "eyJhbGciOiJIUzUxMiIsInR5cCI6ImFjY2VzcyJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwiYXVkIjoiaHR0cHM6Ly95b3VyZG9tYWluLmNvbSIsImlzcyI6ImZlYXRoZXJzIiwic3ViIjoiMSIsImp0aSI6ImI4ZjNiN2EyLTBjM2MtNGE1My05ZjBhLTBmNGM3ZTFmMmEzYiJ9.Y_rtsZB0ZHm0ivL3Iy7oHFU5qrNeBcim-7kSXZfTBzUo6MksH1ZS0g_wb88mPWoXgY9xGSCTBajk_oadHiOYSQ";
/// Made here, and verified by the npm package with the default options of Feathers.
const OURS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImFjY2VzcyJ9.eyJpYXQiOjE3MDAwMDcyMDAsImV4cCI6NDEwMjQ0NDgwMCwiYXVkIjoiaHR0cHM6Ly95b3VyZG9tYWluLmNvbSIsImlzcyI6ImZlYXRoZXJzIiwic3ViIjoiMSIsImp0aSI6ImQyNWVjZTc1LTRjOTUtNDEzMS1hNzdiLTI5ZTA0OGI0MmIzYyJ9.GTS7HeVvpZOXN4qLJ8cwzLyj3KpQzQYnSdk_Qo3retI";
/// Two hours after `THEIRS` was made.
const NOW: u64 = 1_700_007_200;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn tokens(change: impl FnOnce(&mut JwtOptions)) -> Tokens {
    let mut config = AuthConfig::new(SECRET);
    change(&mut config.jwt);
    Tokens::new(&config)
}

fn verify(token: &str) -> Result<Claims> {
    tokens(|_| {}).verify(token, None, now())
}

/// Any token, signed by any algorithm whatever its header says.
fn signed(header: &str, claims: &str, by: Algorithm) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    format!("{message}.{}", crypto::sign(message.as_bytes(), &key, algorithm(by)).unwrap())
}

fn saying(claims: Value) -> String {
    signed(r#"{"alg":"HS256","typ":"access"}"#, &claims.to_string(), Algorithm::HS256)
}

/// The claims that a token needs, with changes; `null` leaves one out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({ "exp": 4_102_444_800u64, "aud": "https://yourdomain.com", "iss": "feathers", "sub": "1" });
    for (claim, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
            value => claims[claim] = value.clone(),
        }
    }
    claims
}

#[track_caller]
fn refusal(token: &str) -> (String, Value) {
    let error = verify(token).unwrap_err();
    assert_eq!(error.code(), 401);
    (error.message().to_owned(), error.data().unwrap().clone())
}

#[test]
fn a_token_of_the_npm_package_is_taken() {
    let said = verify(THEIRS).unwrap();
    assert_eq!(
        Value::Object(said).to_string(),
        r#"{"exp":4102444800,"iat":1700000000,"aud":"https://yourdomain.com","iss":"feathers","sub":"1","jti":"b8f3b7a2-0c3c-4a53-9f0a-0f4c7e1f2a3b"}"#
    );
    let same = signed(
        r#"{"alg":"HS256","typ":"access"}"#,
        &Value::Object(verify(THEIRS).unwrap()).to_string(),
        Algorithm::HS256,
    );
    assert_eq!(same, THEIRS);
    assert!(tokens(|jwt| jwt.algorithm = Algorithm::HS384).verify(THEIRS_384, None, now()).is_ok());
    assert!(tokens(|jwt| jwt.also_accept = vec![Algorithm::HS512]).verify(THEIRS_512, None, now()).is_ok());
}

#[test]
fn a_new_token_says_what_those_of_feathers_say_in_the_same_order() {
    let (token, said) = tokens(|_| {}).sign(Claims::new(), Some("1"), now()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts[0], THEIRS.split('.').next().unwrap());
    let jti = said["jti"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(jti).unwrap().get_version_num(), 4);
    let payload = format!(
        r#"{{"iat":1700007200,"exp":1700093600,"aud":"https://yourdomain.com","iss":"feathers","sub":"1","jti":"{jti}"}}"#
    );
    assert_eq!(String::from_utf8(BASE64.decode(parts[1]).unwrap()).unwrap(), payload);
    assert_eq!(Value::Object(said.clone()).to_string(), payload);
    assert_eq!(verify(&token).unwrap(), said);
    assert_ne!(tokens(|_| {}).sign(Claims::new(), Some("1"), now()).unwrap().0, token);
}

#[test]
fn a_token_that_the_npm_package_has_taken_is_still_made_the_same_way() {
    let claims = verify(OURS).unwrap();
    let again = tokens(|jwt| jwt.expires_in = Duration::from_secs(4_102_444_800 - NOW));
    let (token, made) = again.sign(Claims::new(), Some("1"), now()).unwrap();
    assert_eq!(token.split('.').next(), OURS.split('.').next());
    assert_eq!(made.keys().collect::<Vec<_>>(), claims.keys().collect::<Vec<_>>());
    let but_for_its_id = |mut claims: Claims| claims.shift_remove("jti").map(|_| claims);
    assert_eq!(but_for_its_id(made), but_for_its_id(claims));
}

#[test]
fn claims_of_the_application_come_first_and_may_not_replace_those_of_every_token() {
    let own = |claims: Value| tokens(|_| {}).sign(claims.as_object().unwrap().clone(), None, now());
    let (_, said) = own(json!({ "role": "admin" })).unwrap();
    assert_eq!(said.keys().collect::<Vec<_>>(), ["role", "iat", "exp", "aud", "iss", "jti"]);
    assert_eq!(own(json!({ "iat": 5 })).unwrap().1["exp"], 86_405);
    for claim in ["exp", "aud", "iss", "sub", "jti"] {
        let error = own(json!({ claim: 1 })).unwrap_err();
        assert!(error.code() == 500 && error.message().contains(claim), "{error}");
    }
    assert_eq!(own(json!({ "iat": "now" })).unwrap_err().code(), 500);
}

#[test]
fn an_empty_audience_or_issuer_is_neither_said_nor_verified() {
    let open = tokens(|jwt| (jwt.audience, jwt.issuer) = ("".into(), "".into()));
    let (token, said) = open.sign(Claims::new(), None, now()).unwrap();
    assert_eq!(said.keys().collect::<Vec<_>>(), ["iat", "exp", "jti"]);
    assert!(open.verify(&token, None, now()).is_ok() && open.verify(THEIRS, None, now()).is_ok());
}

#[test]
fn what_is_no_token_is_malformed_or_invalid() {
    let cases = [
        ("abc", "jwt malformed"),
        ("a.b", "jwt malformed"),
        (&format!("{THEIRS}.x"), "jwt malformed"),
        ("...", "jwt malformed"),
        ("..", "invalid token"),
        ("a.b.c", "invalid token"),
        (&format!("{THEIRS} "), "invalid token"),
        (&THEIRS.replace("irM", "ir+"), "invalid token"),
        (&THEIRS[1..], "invalid token"),
        ("é.ü.ß", "invalid token"),
        (&signed("null", "{}", Algorithm::HS256), "invalid token"),
        (&signed("{", "{}", Algorithm::HS256), "invalid token"),
    ];
    for (token, message) in cases {
        assert_eq!(refusal(token), (message.into(), json!({ "name": "JsonWebTokenError" })), "{token}");
    }
}

#[test]
fn a_token_that_was_touched_anywhere_has_an_invalid_signature() {
    let parts: Vec<&str> = THEIRS.split('.').collect();
    let touched = [
        THEIRS[..THEIRS.len() - 1].to_owned(),
        format!("{}.{}.{}", parts[0], &parts[1][..parts[1].len() - 3], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1].replacen('e', "f", 1), parts[2]),
        // The last character has two bits that mean nothing; other ones are another text all the same.
        THEIRS.replace("irM", "irN"),
        format!("{}.{}.abc", parts[0], BASE64.encode("{")),
    ];
    for token in touched {
        assert_eq!(refusal(&token), ("invalid signature".into(), json!({ "name": "JsonWebTokenError" })), "{token}");
    }
    let mut config = AuthConfig::new("another-secret-of-at-least-32-bytes!!");
    config.jwt = JwtOptions::default();
    let error = Tokens::new(&config).verify(THEIRS, None, now()).unwrap_err();
    assert_eq!(error.message(), "invalid signature");
}

#[test]
fn only_the_algorithms_of_the_configuration_count() {
    let said = THEIRS.split('.').nth(1).unwrap();
    let unsigned = |header: &str, signature: &str| format!("{}.{said}.{signature}", BASE64.encode(header));
    let cases = [
        (unsigned(r#"{"alg":"none","typ":"access"}"#, ""), "jwt signature is required"),
        (THEIRS[..=THEIRS.rfind('.').unwrap()].to_owned(), "jwt signature is required"),
        (unsigned(r#"{"alg":"none"}"#, "abc"), "invalid algorithm"),
        (unsigned(r#"{"alg":"None"}"#, "abc"), "invalid algorithm"),
        (unsigned(r#"{"alg":"hs256"}"#, "abc"), "invalid algorithm"),
        (unsigned(r#"{"typ":"access"}"#, "abc"), "invalid algorithm"),
        (unsigned(r#"{"alg":5}"#, "abc"), "invalid algorithm"),
        (unsigned("[1]", "abc"), "invalid algorithm"),
        (unsigned(r#"{"alg":"RS256"}"#, "abc"), "invalid algorithm"),
        (THEIRS_384.to_owned(), "invalid algorithm"),
        (THEIRS_512.to_owned(), "invalid algorithm"),
        // What the header says is what it is verified by.
        (signed(r#"{"alg":"HS256"}"#, &claims(json!({})).to_string(), Algorithm::HS512), "invalid signature"),
    ];
    for (token, message) in cases {
        assert_eq!(refusal(&token), (message.into(), json!({ "name": "JsonWebTokenError" })), "{token}");
    }
}

#[test]
fn the_type_in_the_header_is_not_verified() {
    for header in [r#"{"alg":"HS256","typ":"refresh"}"#, r#"{"alg":"HS256"}"#] {
        assert!(verify(&signed(header, &claims(json!({})).to_string(), Algorithm::HS256)).is_ok());
    }
}

#[test]
fn a_token_ends_at_the_very_second_it_names() {
    assert!(verify(&saying(claims(json!({ "exp": NOW + 1 })))).is_ok());
    assert!(verify(&saying(claims(json!({ "exp": NOW as f64 + 0.5 })))).is_ok());
    let data = json!({ "name": "TokenExpiredError", "expiredAt": "2023-11-15T00:13:20.000Z" });
    assert_eq!(refusal(&saying(claims(json!({ "exp": NOW })))), ("jwt expired".into(), data));
    let no_date = refusal(&saying(claims(json!({ "exp": -1e300 }))));
    assert_eq!(no_date, ("jwt expired".into(), json!({ "name": "TokenExpiredError" })));
    assert!(verify(&saying(claims(json!({ "exp": null })))).is_ok());
}

#[test]
fn a_token_may_begin_later() {
    assert!(verify(&saying(claims(json!({ "nbf": NOW })))).is_ok());
    let data = json!({ "name": "NotBeforeError", "date": "2099-12-31T23:59:50.000Z" });
    assert_eq!(refusal(&saying(claims(json!({ "nbf": 4_102_444_790u64 })))), ("jwt not active".into(), data));
    let far = refusal(&saying(claims(json!({ "nbf": 1e18 }))));
    assert_eq!(far, ("jwt not active".into(), json!({ "name": "NotBeforeError" })));
}

#[test]
fn a_token_must_be_for_us_and_from_us() {
    let for_us = "jwt audience invalid. expected: https://yourdomain.com";
    let from_us = "jwt issuer invalid. expected: feathers";
    let cases = [
        (json!({ "aud": "https://else.com" }), for_us),
        (json!({ "aud": null }), for_us),
        (json!({ "aud": ["a", "b"] }), for_us),
        (json!({ "aud": "https://else.com", "iss": "else" }), for_us),
        (json!({ "iss": "else" }), from_us),
        (json!({ "iss": ["feathers"] }), from_us),
        (json!({ "iss": null }), from_us),
    ];
    for (changes, message) in cases {
        let got = refusal(&saying(claims(changes.clone())));
        assert_eq!(got, (message.into(), json!({ "name": "JsonWebTokenError" })), "{changes}");
    }
    assert!(verify(&saying(claims(json!({ "aud": ["a", "https://yourdomain.com"] })))).is_ok());
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    assert_eq!(refusal(&saying(claims(json!({ "exp": "5" })))).0, "invalid exp value");
    assert_eq!(refusal(&saying(claims(json!({ "nbf": "5" })))).0, "invalid nbf value");
    let null = signed(r#"{"alg":"HS256"}"#, r#"{"exp":null}"#, Algorithm::HS256);
    assert_eq!(refusal(&null).0, "invalid exp value");
    for no_object in ["\"x\"", "[1]", "nonsense", "null"] {
        let message = refusal(&signed(r#"{"alg":"HS256"}"#, no_object, Algorithm::HS256)).0;
        assert_eq!(message, "jwt audience invalid. expected: https://yourdomain.com", "{no_object}");
    }
}

proptest! {
    #[test]
    fn nothing_but_a_signed_token_is_taken_and_nothing_panics(text in "\\PC{0,60}", cut in 0..THEIRS.len()) {
        prop_assert!(verify(&text).is_err());
        prop_assert!(verify(&THEIRS[..cut]).is_err());
        let other_end = format!("{}{text}", &THEIRS[..cut]);
        prop_assert!(verify(&other_end).is_err() || other_end == THEIRS);
    }

    #[test]
    fn times_of_any_size_do_not_panic(exp in any::<f64>(), nbf in any::<f64>(), whole in any::<u64>()) {
        let _ = verify(&saying(claims(json!({ "exp": exp, "nbf": nbf }))));
        let _ = verify(&saying(claims(json!({ "exp": whole }))));
        let _ = tokens(|_| {}).sign(json!({ "iat": whole }).as_object().unwrap().clone(), None, now());
    }
}
