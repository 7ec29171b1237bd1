//! Tokens by which an answer finds who waits for it: nobody can guess or make one, and whoever has one may answer for one attempt.
//!
//! 64 bytes in base64url: a random id, the node, the time until which it may be of use, and an HMAC-SHA256 over these. A text that is no token
//! of ours is told by that alone, without a look at the database.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRngCore as _;
use rand::rand_core::OsError;
use rand::rngs::OsRng;
use sha2::Sha256;

use crate::secret::Secret;

/// What is signed begins with this, so that no signature made for something else fits.
const PURPOSE: &[u8] = b"gleaner callback v1 ";
const ID_BYTES: usize = 16;
const PAYLOAD_BYTES: usize = ID_BYTES + 8 + 8;
const TOKEN_BYTES: usize = PAYLOAD_BYTES + 32;

/// How long a token is, in characters.
pub const TOKEN_CHARS: usize = (TOKEN_BYTES * 4).div_ceil(3);

/// The random part of a token, as the database has it: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) String);

/// Makes tokens and knows them again.
pub(super) struct Signer(Secret);

impl Signer {
    pub(super) fn new(key: Secret) -> Self {
        Self(key)
    }

    fn mac(&self, payload: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose().as_bytes()).ok()?;
        mac.update(PURPOSE);
        mac.update(payload);
        Some(mac)
    }

    /// A new token, and its id.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn token(&self, node: i64, lasts: Duration) -> Result<(Id, String), OsError> {
        let mut id = [0_u8; ID_BYTES];
        OsRng.try_fill_bytes(&mut id)?;
        let mut bytes = id.to_vec();
        bytes.extend(node.to_be_bytes());
        bytes.extend(
            seconds_since_1970()
                .saturating_add(lasts.as_secs())
                .to_be_bytes(),
        );
        if let Some(mac) = self.mac(&bytes) {
            bytes.extend(mac.finalize().into_bytes());
        }
        Ok((named(&id), URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The id of a token of ours; `None` for anything else.
    pub(super) fn id(&self, token: &str) -> Option<Id> {
        if token.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, signature) = bytes.split_at_checked(PAYLOAD_BYTES)?;
        self.mac(payload)?.verify_slice(signature).ok()?;
        payload.get(..ID_BYTES).map(named)
    }
}

fn named(id: &[u8]) -> Id {
    Id(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_is_known() {
        let signer = Signer::new(Secret::new("key"));
        let (id, token) = signer.token(7, Duration::from_secs(60)).unwrap();
        assert_eq!(token.len(), TOKEN_CHARS);
        assert_eq!(signer.id(&token), Some(id));
        assert_eq!(Signer::new(Secret::new("other")).id(&token), None);
        assert_ne!(signer.token(7, Duration::ZERO).unwrap().1, token);
        // Any one bit.
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[at / 8] ^= 1 << (at % 8);
            assert_eq!(signer.id(&URL_SAFE_NO_PAD.encode(forged)), None, "bit {at}");
        }
        for text in ["", "x", &token[1..], &format!("{token}A"), &"é".repeat(43)] {
            assert_eq!(signer.id(text), None, "{text}");
        }
    }
}
