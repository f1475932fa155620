//! Makes and checks hashes of passwords, off the threads that serve calls.

use argon2::{
    Argon2,
    password_hash::{PasswordVerifier, phc::PasswordHash},
};
use rachis_core::{Error, Result};
use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};
use tokio::sync::Semaphore;

/// As Feathers hashes; one more would double the work of guessing, and that of logging in.
const COST: u32 = 10;

/// A hash that no password has, of the same cost as a real one: checking against it takes as long.
const STAND_IN: &str = "$2b$10$4fmBId0RX3T3dZ1HaLcO2eRD9ElPEF07gDFuzqI4byLhD7iBTDXf2";

/// Hashing keeps a core busy, so no more of it runs at once than there are cores; the rest waits here, and a flood of
/// logins does not take all of the runtime's blocking threads.
static CORES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))));

/// The bcrypt hash (`$2b$10$…`) of a password. Like every bcrypt, it reads the first 72 bytes.
pub(super) async fn hash(password: String) -> Result<String> {
    work(move || bcrypt::hash(password, COST)).await?.map_err(|error| Error::general(format!("bcrypt: {error}")))
}

/// Is this the password that was hashed? Without a hash it takes as long and says no.
pub(super) async fn verify(password: &str, hash: Option<&str>) -> Result<bool> {
    let password = password.to_owned();
    let hash = hash.map(str::to_owned);
    work(move || {
        let checked = hash.as_deref().and_then(|hash| {
            let checked = check(&password, hash);
            if checked.is_none() {
                tracing::warn!("a stored password is no hash by bcrypt or argon2, so no login matches it");
            }
            checked
        });
        checked.unwrap_or_else(|| {
            let _ = bcrypt::verify(&password, STAND_IN);
            false
        })
    })
    .await
}

/// `None` if `hash` is none.
fn check(password: &str, hash: &str) -> Option<bool> {
    if hash.starts_with("$argon2") {
        let hash = PasswordHash::new(hash).ok()?;
        return Some(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
    }
    bcrypt::verify(password, hash).ok()
}

async fn work<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let permit = CORES.clone().acquire_owned().await.map_err(Error::other)?;
    let worked = tokio::task::spawn_blocking(move || {
        // It goes with the work: a caller that stops waiting does not stop the hashing.
        let _permit = permit;
        work()
    });
    worked.await.map_err(|error| Error::general(format!("The password could not be worked on: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher;
    use std::time::Instant;

    #[tokio::test]
    async fn a_hash_is_bcrypt_of_cost_10_and_knows_its_password() {
        let made = hash("hunter2".into()).await.unwrap();
        assert!(made.starts_with("$2b$10$") && made.len() == 60, "{made}");
        assert!(verify("hunter2", Some(&made)).await.unwrap());
        assert!(!verify("hunter3", Some(&made)).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_that_feathers_made_are_known() {
        // Made by bcryptjs, the library of Feathers.
        let theirs = "$2b$10$z14AlfujEji82X30QHCLyu4K0nCuYz7UW0T/BAuvhSc.MkyjbRhJa";
        assert!(verify("hunter2", Some(theirs)).await.unwrap());
    }

    #[tokio::test]
    async fn argon2_hashes_are_known() {
        let made = Argon2::default().hash_password(b"hunter2").unwrap().to_string();
        assert!(made.starts_with("$argon2id$"), "{made}");
        assert!(verify("hunter2", Some(&made)).await.unwrap());
        assert!(!verify("hunter3", Some(&made)).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_hash_lets_nobody_in() {
        for stored in
            ["hunter2", "", "$argon2id$", "$2b$10$short", "$2b$99$CwTycUXWue0Thq9StjUM0uJ8ppHVqZ6l2rPj7bNnYF3n"]
        {
            assert!(!verify("hunter2", Some(stored)).await.unwrap(), "{stored}");
        }
    }

    #[tokio::test]
    async fn no_user_takes_as_long_as_a_wrong_password() {
        let stored = hash("hunter2".into()).await.unwrap();
        assert_eq!(STAND_IN[..7], stored[..7], "the stand-in has another cost");
        let time = async |hash: Option<&str>| {
            let started = Instant::now();
            assert!(!verify("wrong", hash).await.unwrap());
            started.elapsed()
        };
        // On a busy machine one round says little. Without the work of hashing, none would ever come near.
        for _ in 0..20 {
            let wrong = time(Some(&stored)).await;
            let missing = time(None).await;
            if missing > wrong / 2 {
                return;
            }
        }
        panic!("a missing user is answered faster than a wrong password");
    }
}
