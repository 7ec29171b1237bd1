//! Passwords, keys and URLs that hold them.

use std::cell::Cell;

use rand::TryRngCore as _;
use rand::rand_core::OsError;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// A value that never shows: neither in `Debug` nor when the configuration is printed.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// A secret from its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// A new one that nobody can guess: `prefix`, and 32 random bytes in hexadecimal.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random(prefix: &str) -> Result<Self, OsError> {
        let mut bytes = [0_u8; 32];
        OsRng.try_fill_bytes(&mut bytes)?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Self::new(
            &digits.fold(prefix.to_owned(), |text, byte| text + &byte),
        ))
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

thread_local! {
    static IS_REVEALED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something that must see secrets as they are when it serialises what holds them: to compare two of them, or to read the
/// whole again. What it returns must not be shown.
pub(crate) fn revealed<T>(work: impl FnOnce() -> T) -> T {
    /// Covers them again, also when `work` panics.
    struct Cover;
    impl Drop for Cover {
        fn drop(&mut self) {
            IS_REVEALED.set(false);
        }
    }
    IS_REVEALED.set(true);
    let _cover = Cover;
    work()
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_shown = self.is_empty() || IS_REVEALED.get();
        serializer.serialize_str(if is_shown {
            self.expose()
        } else {
            "[redacted]"
        })
    }
}
