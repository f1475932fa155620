//! Signature Version 4 of AWS, as far as a presigned URL needs it. Pure: the time is a parameter.

use super::{http::encode, keys::Keys};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// The hash of a request without a body.
pub(super) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A GET whose URL carries the identity of its caller.
pub(super) struct Presigned<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// The hash of the body, or what stands for it.
    pub(super) payload: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) expires: Duration,
}

impl Presigned<'_> {
    /// The URL without its scheme.
    pub(super) fn sign(&self, keys: &Keys, now: SystemTime) -> String {
        let time = time(now);
        let scope = scope(&time, self.region, self.service);
        let credential = format!("{}/{scope}", keys.id);
        let expires = self.expires.as_secs().to_string();
        // In the order of their names, as they are signed.
        let mut query: BTreeMap<&str, &str> = self.query.iter().copied().collect();
        query.extend([
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &expires),
            ("X-Amz-SignedHeaders", "host"),
        ]);
        if let Some(token) = &keys.token {
            query.insert("X-Amz-Security-Token", token.expose());
        }
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let query = query.join("&");
        let Presigned { host, path, payload, .. } = self;
        let request = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\n{payload}");
        let key = signing_key(keys.secret.expose(), &time, self.region, self.service);
        let signature = hex::encode(hmac(&key, &to_sign(&time, &scope, &request)));
        format!("{host}{path}?{query}&X-Amz-Signature={signature}")
    }
}

/// `20130524T000000Z`
fn time(now: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_seconds(now).to_string();
    text.retain(|c| !"-:".contains(c));
    text
}

fn scope(time: &str, region: &str, service: &str) -> String {
    format!("{}/{region}/{service}/aws4_request", day(time))
}

fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}

fn to_sign(time: &str, scope: &str, request: &str) -> String {
    format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(request)))
}

fn signing_key(secret: &str, time: &str, region: &str, service: &str) -> Vec<u8> {
    let first = format!("AWS4{secret}").into_bytes();
    [day(time), region, service, "aws4_request"].into_iter().fold(first, |key, part| hmac(&key, part))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn the_signing_keys_of_the_documentation_are_derived() {
        let key = |time, service| hex::encode(signing_key(SECRET, time, "us-east-1", service));
        let expected = "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d";
        assert_eq!(key("20120215T000000Z", "iam"), expected);
        let expected = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(key("20150830T123600Z", "iam"), expected);
    }

    #[test]
    fn the_request_of_the_documentation_has_its_signature() {
        let request = format!(
            "GET\n/\nAction=ListUsers&Version=2010-05-08\n\
             content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n\
             x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n{EMPTY}"
        );
        let time = "20150830T123600Z";
        let text = to_sign(time, &scope(time, "us-east-1", "iam"), &request);
        assert!(text.ends_with("f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"), "{text}");
        let signature = hex::encode(hmac(&signing_key(SECRET, time, "us-east-1", "iam"), &text));
        assert_eq!(signature, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }

    #[test]
    fn the_presigned_url_of_the_documentation_has_its_signature() {
        let request = Presigned {
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            payload: "UNSIGNED-PAYLOAD",
            service: "s3",
            region: "us-east-1",
            expires: Duration::from_secs(86_400),
        };
        let keys = Keys::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
        let url = request.sign(&keys, UNIX_EPOCH + Duration::from_secs(1_369_353_600));
        let expected = "examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&\
            X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&\
            X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&\
            X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(url, expected);
    }

    #[test]
    fn names_and_values_are_encoded_strictly() {
        assert_eq!(encode("a-._~ +/=é"), "a-._~%20%2B%2F%3D%C3%A9");
    }
}
