//! A handler that is down, and a row that it cannot cope with.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use gleaner::handlers::http::options::Options;
use serde_json::json;

use super::{Server, answer, endpoint, kind, run};
use crate::support::wait::wait_until;

#[tokio::test]
async fn a_handler_that_is_down_charges_nobody_and_is_found_again() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let endpoint = endpoint(Options::of(format!("http://{address}/work")));
    let failure = async |key: i64| kind(&run(&endpoint, key).await.unwrap_err());
    assert_eq!(failure(1).await, "snooze 1s false");
    assert_eq!(failure(2).await, "snooze 1s false");
    assert_eq!(failure(3).await, "snooze 1s true");
    let server = Server::start_at(&address.to_string(), |_| answer(200, "{}")).await;
    // Once its time has come it is asked first whether it is there.
    wait_until("it is found again", async || {
        run(&endpoint, 4).await.is_ok()
    })
    .await;
    let keys: Vec<_> = server.calls().iter().map(super::Call::keys).collect();
    assert_eq!(keys, [vec![], vec![json!(4)]]);
}

#[tokio::test]
async fn a_row_that_alone_makes_it_fail_is_charged() {
    let server = Server::start(|call| {
        if call.keys().contains(&json!(13)) {
            answer(502, "the upstream died")
        } else {
            answer(200, "{}")
        }
    })
    .await;
    let endpoint = endpoint(Options::of(server.url()));
    let failure = async || kind(&run(&endpoint, 13).await.unwrap_err());
    assert_eq!(failure().await, "snooze 1s false");
    assert_eq!(failure().await, "retry handler_status None");
    assert_eq!(failure().await, "retry handler_status None");
    // Each of those after a request without rows, which was answered.
    let sizes: Vec<usize> = server
        .calls()
        .iter()
        .map(|call| call.keys().len())
        .collect();
    assert_eq!(sizes, [1, 0, 1, 0, 1]);
    assert!(run(&endpoint, 1).await.is_ok());
}

/// Answers the connections one after the other with these bytes; with nothing, it says nothing and keeps the connection.
fn raw(answers: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut kept = Vec::new();
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            // All of the request: what is closed with something unread is reset.
            let mut heard = Vec::new();
            let mut piece = [0; 1_024];
            while !heard.ends_with(b"]}") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => heard.extend_from_slice(&piece[..read]),
                }
            }
            if answer.is_empty() {
                kept.push(stream);
                continue;
            }
            drop(stream.write_all(answer.as_bytes()));
        }
        // Until the test is over.
        drop(listener.accept());
        drop(kept);
    });
    format!("http://{address}/work")
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
const CUT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 90\r\n\r\n{\"columns\":";

#[tokio::test]
async fn a_cut_answer_and_none_in_time_are_charged_where_the_handler_answers_otherwise() {
    for (spoiled, expected) in [
        (CUT, "retry handler_unreachable None"),
        (
            "HTTP/1.1 whatever\r\n\r\n",
            "retry handler_unreachable None",
        ),
        ("", "retry handler_timeout None"),
    ] {
        let mut options = Options::of(raw(vec![spoiled, GOOD, spoiled]));
        options.timeout = Duration::from_millis(if spoiled.is_empty() { 2_000 } else { 20_000 });
        let endpoint = endpoint(options);
        let first = run(&endpoint, 1).await.unwrap_err();
        assert_eq!(kind(&first), "snooze 1s false", "{first}");
        let second = run(&endpoint, 1).await.unwrap_err();
        assert_eq!(kind(&second), expected, "{second}");
    }
}
