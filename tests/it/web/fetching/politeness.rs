//! How often it comes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use gleaner::web::fetch::{Decision, FetchError, RequestOptions};
use tokio::time::Instant;

use super::{OK, client, millis, url};
use crate::support::nasty::{Nasty, response, send};

#[tokio::test]
async fn server_never_sees_more_than_it_should() {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let server = Nasty::start({
        let (in_flight, most) = (Arc::clone(&in_flight), Arc::clone(&most));
        move |_, mut stream| {
            let (in_flight, most) = (Arc::clone(&in_flight), Arc::clone(&most));
            async move {
                most.fetch_max(
                    in_flight.fetch_add(1, Ordering::SeqCst) + 1,
                    Ordering::SeqCst,
                );
                tokio::time::interval_at(Instant::now() + millis(120), millis(120))
                    .tick()
                    .await;
                in_flight.fetch_sub(1, Ordering::SeqCst);
                send(&mut stream, &response(OK, &[], b"x")).await;
            }
        }
    })
    .await;
    let client = client(|config| {
        config.per_host_concurrency = NonZeroUsize::new(2).unwrap();
        config.per_host_delay = millis(50);
    });
    let page = server.url("/");
    let answers = join_all((0..10).map(|_| client.get(&page))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let mut starts: Vec<_> = server.seen().iter().map(|request| request.at).collect();
    starts.sort();
    // The client spaces what it sends; the server sees it through the scheduler of a busy machine.
    let whole = *starts.last().unwrap() - starts[0];
    assert!(whole >= millis(9 * 50 - 20), "{whole:?}");
}

#[tokio::test]
async fn host_that_asks_for_time_gets_it() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let until = "Sun, 06 Nov 1994 08:51:37 GMT";
    for (host, status, headers, expected) in [
        (
            "seconds.example",
            "429 Too Many Requests",
            vec![("Retry-After", "120")],
            120,
        ),
        (
            "date.example",
            "503 Service Unavailable",
            vec![("Retry-After", until), ("Date", date)],
            120,
        ),
        (
            "greedy.example",
            "429 Too Many Requests",
            vec![("Retry-After", "9999999")],
            3600,
        ),
    ] {
        let server = Nasty::fixed(response(status, &headers, b"")).await;
        let client = client(|config| config.proxy_hosts_to = Some(server.address));
        let page = url(&format!("http://{host}/"));
        let answer = client.get(&page).await.unwrap();
        let expected = Duration::from_secs(expected);
        assert_eq!(answer.retry_after, Some(expected), "{host}");
        let decision = answer.error_for_status().unwrap_err().decision();
        assert_eq!(
            decision,
            Decision::Retry {
                after: Some(expected)
            }
        );

        let busy = client.get(&page).await.unwrap_err();
        assert!(
            matches!(busy, FetchError::HostBusy { retry_after }
                if retry_after <= expected && retry_after > expected - Duration::from_secs(10)),
            "{busy:?}"
        );
        let api = RequestOptions {
            own_pace: true,
            ..RequestOptions::default()
        };
        assert_eq!(
            client.get_with(&page, api).await.unwrap_err().class(),
            "host_busy"
        );
        assert_eq!(server.paths().len(), 1, "it was left alone");
        let other = client.get(&url("http://other.example/")).await;
        assert!(other.is_ok(), "another host is not concerned");
    }
}
