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
    use std::io;
    use std::net::{IpAddr, TcpListener};
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::secret::Secret;
    use crate::web::fetch::{Config, Lookup};

    /// Names that lead into the house, all of them.
    struct Within;

    impl Lookup for Within {
        fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let address = match host.as_str() {
                "ten.example" => "10.0.0.1",
                "meta.example" => "169.254.169.254",
                "six.example" => "::1",
                "mapped.example" => "::ffff:127.0.0.1",
                _ => "127.0.0.1",
            };
            Box::pin(async move { Ok(vec![address.parse().map_err(io::Error::other)?]) })
        }
    }

    /// A subscriber's address may be a name that is theirs today and ours tomorrow.
    #[tokio::test]
    async fn what_leads_into_the_house_is_given_up_and_never_knocked_at() {
        let inside = TcpListener::bind("127.0.0.1:0").unwrap();
        inside.set_nonblocking(true).unwrap();
        let port = inside.local_addr().unwrap().port();
        let config = Config {
            allow_networks: Vec::new(),
            ..Config::for_tests()
        };
        let client = Client::with_lookup(config, Arc::new(Within)).unwrap();
        let options = Options {
            webhook_secret: Secret::new("key"),
            smtp_url: Secret::new(""),
            mail_from: String::new(),
            answer_timeout: Duration::from_secs(2),
        };
        for host in [
            "hooks.example",
            "ten.example",
            "meta.example",
            "six.example",
            "mapped.example",
            "localhost",
            "2130706433",
            "127.1",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "0",
        ] {
            let url = format!("http://{host}:{port}/hook");
            let told = post(&client, &options, &url, &Notice::for_tests(), 1).await;
            assert!(
                matches!(
                    &told,
                    Err(WorkflowError::Permanent {
                        class: "blocked",
                        ..
                    })
                ),
                "{url}: {told:?}"
            );
            let set = client.permits_now(&Url::parse(&url).unwrap()).await;
            assert_eq!(set.map_err(|error| error.class()), Err("blocked"), "{url}");
        }
        let knocked = inside.accept().map(|(_, from)| from);
        assert!(knocked.is_err(), "{knocked:?} got through");
    }

    /// Against `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_signature_is_what_others_compute() {
        assert_eq!(
            signature("key", 1_700_000_000, r#"{"a":1}"#),
            "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
        );
    }
}
