//! Passwords of documents, for as long as it takes to open one: in the memory of this process and nowhere else.
//!
//! The process that was given one is the one that can use it. The document says until when one is known (`unlocked_until`), and any other
//! process that claims it puts it back: before long it is claimed where the password is. If that process is gone, or has forgotten it, it is
//! said again that a password is required, once that time is over.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use gleaner_parse::protocol::Password;
use tokio::time::Instant;

/// How long one is remembered.
pub(super) const KEPT: Duration = Duration::from_secs(15 * 60);
/// How many are, at a time; beyond that the oldest is forgotten.
const MOST: usize = 1_000;

static GIVEN: LazyLock<Mutex<HashMap<i64, (Password, Instant)>>> = LazyLock::new(Mutex::default);

/// Remembers the password of a document, by its key.
pub fn remember(document: i64, password: Password) {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    given.retain(|_, (_, since)| since.elapsed() < KEPT);
    if given.len() >= MOST {
        let oldest = given.iter().min_by_key(|(_, (_, since))| *since);
        if let Some(oldest) = oldest.map(|(document, _)| *document) {
            given.remove(&oldest);
        }
    }
    given.insert(document, (password, Instant::now()));
}

/// The password of a document, if it was given to this process. It is needed again when the attempt is cut off, so it stays.
#[must_use]
pub fn of(document: i64) -> Option<Password> {
    let given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (password, since) = given.get(&document)?;
    (since.elapsed() < KEPT).then(|| password.clone())
}

/// Forgets it, once the document is open or has refused it.
pub fn forget(document: i64) {
    GIVEN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&document);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_password_is_remembered_for_a_while() {
        remember(-7, Password("secret".to_owned()));
        assert_eq!(of(-7), Some(Password("secret".to_owned())));
        assert_eq!(of(-8), None);
        tokio::time::advance(KEPT).await;
        assert_eq!(of(-7), None);
        remember(-8, Password(String::new()));
        forget(-8);
        assert_eq!(of(-8), None);
    }
}
