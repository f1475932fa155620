//! Keys by which a repeated call is known.

use crate::{Error, Result};

/// The longest key; it travels with the call.
const LONGEST: usize = 255;

/// # Errors
/// `BadRequest` for what is no key.
pub fn check_key(key: &str) -> Result<()> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=LONGEST).contains(&key.len()) {
        Ok(())
    } else {
        Err(Error::bad_request(format!(
            "An idempotency key has 1 to {LONGEST} characters, all of them visible ASCII: take a UUID"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_visible() {
        for good in ["a", "order-17", "~!", &"x".repeat(LONGEST)] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a\n", "é", "\u{7f}", &"x".repeat(LONGEST + 1)] {
            assert_eq!(check_key(bad).unwrap_err().code(), 400, "{bad:?}");
        }
    }
}
