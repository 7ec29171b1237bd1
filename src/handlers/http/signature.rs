//! Requests signed by Standard Webhooks (<https://www.standardwebhooks.com>), so that any of its libraries knows them to be ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::handlers::Item;
use crate::secret::Secret;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What secrets begin with.
const PREFIX: &str = "whsec_";
/// How long their keys may be, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key of a secret, if it is one.
pub(super) fn key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.expose().strip_prefix(PREFIX)?;
    let key = STANDARD.decode(text).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

/// The id of a request: the same whenever the same attempts at the same rows are handed out again.
pub(super) fn id(workflow: &str, items: &[&Item]) -> String {
    let mut digest = Sha256::new();
    let mut take = |text: &str| {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    };
    take(workflow);
    for item in items {
        // As JSON: the number 1 is not the text "1".
        take(&item.key.to_string());
        take(&item.attempt.to_string());
    }
    let bytes = digest.finalize();
    let digits = bytes.iter().take(16).map(|byte| format!("{byte:02x}"));
    digits.fold("msg_".to_owned(), |text, byte| text + &byte)
}

/// Adds the three headers; without keys the signature is left out. `sent_at` in seconds since 1970.
pub(super) fn sign(headers: &mut HeaderMap, keys: &[Vec<u8>], id: &str, sent_at: u64, body: &[u8]) {
    let signatures: Vec<String> = keys
        .iter()
        .filter_map(|key| signature(key, id, sent_at, body))
        .collect();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(ID, id);
    }
    headers.insert(TIMESTAMP, HeaderValue::from(sent_at));
    if let (false, Ok(signatures)) = (
        signatures.is_empty(),
        HeaderValue::from_str(&signatures.join(" ")),
    ) {
        headers.insert(SIGNATURE, signatures);
    }
}

fn signature(key: &[u8], id: &str, sent_at: u64, body: &[u8]) -> Option<String> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{sent_at}.").as_bytes());
    mac.update(body);
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    /// The example of the standard, and against
    /// `printf 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' | openssl dgst -sha256 -binary
    /// -mac HMAC -macopt hexkey:$(printf MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw | base64 -d | xxd -p -c99) | base64`.
    #[test]
    fn the_signature_is_what_others_compute() {
        let key = key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let mut headers = HeaderMap::new();
        let keys = [key, vec![0x61; 24]];
        sign(
            &mut headers,
            &keys,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            body,
        );
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        let signatures = headers["webhook-signature"].to_str().unwrap();
        let (first, second) = signatures.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(second, "v1,p/aCZAPUoPHV4ef7o8HCy2oI82P4UXjmN+MG//Bx9gE=");
    }

    #[test]
    fn a_secret_has_its_form() {
        for text in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_AAAA",
            "whsec_not base64 at all, is it?",
        ] {
            assert!(key(&Secret::new(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn an_attempt_has_one_id() {
        let item = |key: Value, attempt| Item {
            key,
            attempt,
            columns: RawValue::from_string("{}".to_owned()).unwrap(),
            deadline: None,
            on_progress: None,
        };
        let of = |key: Value, attempt| id("ocr", &[&item(key, attempt)]);
        assert_eq!(of(json!(1), 1), of(json!(1), 1));
        let mut all = vec![
            of(json!(1), 1),
            of(json!(1), 2),
            of(json!(11), 1),
            of(json!("1"), 1),
            id("scan", &[&item(json!(1), 1)]),
            id("ocr", &[&item(json!(1), 1), &item(json!(2), 1)]),
        ];
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert!(
            all[0].starts_with("msg_") && all[0].len() == 36,
            "{}",
            all[0]
        );
    }
}
