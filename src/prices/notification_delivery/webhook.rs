//! Notifications by HTTP: one POST each, signed.
//!
//! The body is JSON (see [`body`]). `Gleaner-Delivery` is the notification's number, the same at every repeat.
//! `Gleaner-Signature` is `t=<seconds since 1970>,v1=<hex>`, where `hex` is the HMAC-SHA256 of `<t>.<body>` under the secret:
//! the receiver computes the same, compares in constant time, and refuses what is older than a few minutes.
//!
//! Any 2xx is an acceptance. 404 and 410 say that nobody listens there any more; all else is tried again. Redirects are not
//! followed. The address comes from subscribers, so the guard against private addresses stands before it as before any page.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::{Notice, Options};
use crate::web::fetch::{Client, RequestOptions};
use crate::workflow::WorkflowError;

/// The notification's number.
const DELIVERY: HeaderName = HeaderName::from_static("gleaner-delivery");
/// Time and signature.
const SIGNATURE: HeaderName = HeaderName::from_static("gleaner-signature");
/// What a receiver says is read no further than this, in bytes; nothing of it is used.
const MAX_ANSWER_BYTES: u64 = 4_096;

/// Sends a notification, and waits until its receiver has accepted it. `sent_at` in seconds since 1970.
///
/// # Errors
/// The decision whether to try again.
pub(super) async fn post(
    client: &Client,
    options: &Options,
    url: &str,
    notice: &Notice,
    sent_at: u64,
) -> Result<(), WorkflowError> {
    let url = Url::parse(url).map_err(|error| WorkflowError::permanent("bad_url", error))?;
    let body = body(notice).to_string();
    let signature = signature(options.webhook_secret.expose(), sent_at, &body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(DELIVERY, HeaderValue::from(notice.id));
    if let Ok(signature) = HeaderValue::from_str(&signature) {
        headers.insert(SIGNATURE, signature);
    }
    let answer = client
        .get_with(
            &url,
            RequestOptions {
                headers,
                post: Some(body.into()),
                max_body_bytes: Some(MAX_ANSWER_BYTES),
                truncate: true,
                ignore_robots: true,
                own_pace: true,
                timeout: Some(options.answer_timeout),
                ..RequestOptions::default()
            },
        )
        .await?;
    let said = || format!("the webhook answered {}", answer.status);
    match answer.status {
        200..=299 => Ok(()),
        404 | 410 => Err(WorkflowError::permanent("http", said())),
        _ => Err(WorkflowError::Retry {
            class: "http",
            after: answer.retry_after,
            source: said().into(),
        }),
    }
}

/// What is told, as JSON. Amounts are decimal texts; what is not known is null.
fn body(notice: &Notice) -> Value {
    json!({
        "id": notice.id,
        "kind": notice.kind,
        "message": notice.message,
        "subscriber": notice.subscriber,
        "product": notice.product,
        "product_url": { "id": notice.product_url_id, "url": notice.url, "title": notice.title },
        "old_price": notice.old_price,
        "new_price": notice.new_price,
        "currency": notice.currency,
        "created_at": notice.created_at,
    })
}

/// The value of `Gleaner-Signature`.
fn signature(secret: &str, sent_at: u64, body: &str) -> String {
    let mut signature = format!("t={sent_at},v1=");
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(format!("{sent_at}.{body}").as_bytes());
        let bytes = mac.finalize().into_bytes();
        signature.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_signature_is_what_others_compute() {
        assert_eq!(
            signature("key", 1_700_000_000, r#"{"a":1}"#),
            "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
        );
    }
}
