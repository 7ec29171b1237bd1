//! What it sends, and how much it takes: credentials, sizes, times, bombs, circles.

use std::collections::HashMap;
use std::time::Duration;

use gleaner::web::fetch::{Config, Decision, FetchError, RequestOptions};
use http::header::{self, HeaderValue};
use tokio::time::Instant;

use super::{OK, class, client, gzip, millis, url};
use crate::support::nasty::{
    Nasty, keep_silent, redirect, response, send, send_and_reset, send_for_ever, trickle,
};

#[tokio::test]
async fn nothing_private_crosses_an_origin() {
    let server = Nasty::start(async |request, mut stream| {
        let cookie = ("Set-Cookie", "session=1; Domain=example; Path=/");
        let answer = match (request.header("host").unwrap(), request.path.as_str()) {
            ("api.example", "/start") => {
                response("302 Found", &[cookie, ("Location", "/same")], b"")
            }
            ("api.example", "/same") => redirect("http://user:pw@other.example/away"),
            ("other.example", "/away") => redirect("http://api.example/back"),
            _ => response(OK, &[cookie], b"done"),
        };
        send(&mut stream, &answer).await;
    })
    .await;
    let client = client(|config| config.proxy_hosts_to = Some(server.address));
    let mut options = RequestOptions {
        accept: Some("text/html".to_owned()),
        ..RequestOptions::default()
    };
    options.headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_static("Bearer key"),
    );
    options
        .headers
        .insert("x-api-key", HeaderValue::from_static("key"));
    let start = url("http://login:secret@api.example/start#part");
    let answer = client.get_with(&start, options).await.unwrap();
    assert_eq!(
        (answer.url.as_str(), answer.redirects),
        ("http://api.example/back", 3)
    );

    let seen = server.seen();
    let with_key: Vec<bool> = seen
        .iter()
        .map(|r| r.header("x-api-key").is_some())
        .collect();
    assert_eq!(with_key, [true, true, false, false]);
    for request in &seen {
        let is_first = matches!(request.path.as_str(), "/start" | "/same");
        let authorization = request.header("authorization");
        assert_eq!(
            authorization,
            is_first.then_some("Bearer key"),
            "{}",
            request.path
        );
        // A suffix that many have is nobody's to set cookies for.
        assert_eq!(request.header("cookie"), None);
        assert_eq!(request.header("referer"), None);
        assert_eq!(request.header("accept"), Some("text/html"));
        assert_eq!(
            request.header("user-agent"),
            Some(Config::for_tests().user_agent.as_str())
        );
    }
    client.get(&url("http://api.example/end")).await.unwrap();
    assert_eq!(
        server.seen().last().unwrap().header("cookie"),
        None,
        "nor kept for later"
    );
}

#[tokio::test]
async fn bodies_end_where_their_limits_are() {
    let limit = 64 * 1024;
    let server = Nasty::start(async |request, mut stream| match request.path.as_str() {
        "/exact" => send(&mut stream, &response(OK, &[], &vec![b'x'; 64 * 1024])).await,
        "/over" => send(&mut stream, &response(OK, &[], &vec![b'x'; 64 * 1024 + 1])).await,
        "/claims-more" => {
            send(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
            )
            .await;
        }
        "/claims-huge" => {
            send(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx",
            )
            .await;
        }
        "/claims-less" => {
            send(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger",
            )
            .await;
        }
        "/contradicts" => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";
            send(&mut stream, head).await;
        }
        "/endless" => send_for_ever(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]).await,
        "/endless-chunks" => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            send_for_ever(&mut stream, head, b"5\r\nhello\r\n").await;
        }
        "/reset" => {
            send_and_reset(
                stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            )
            .await;
        }
        "/reset-at-once" => send_and_reset(stream, b"").await,
        "/header-flood" => {
            send_for_ever(&mut stream, b"HTTP/1.1 200 OK\r\n", b"X-Flood: yes\r\n").await;
        }
        "/endless-header" => {
            send_for_ever(&mut stream, b"HTTP/1.1 200 OK\r\nX-Long: ", &[b'a'; 4096]).await;
        }
        "/sloppy" => {
            let head = b"HTTP/1.1 200 Fine \xff\r\nX-Folded: a\r\n b\r\nSpace : 1\r\nB@d;: 2\r\nno colon\r\n\
                Content-Length: 2\r\n\r\nok";
            send(&mut stream, head).await;
        }
        "/no-http" => send(&mut stream, b"220 mail.example ESMTP ready\r\n").await,
        _ => send(&mut stream, b"").await,
    })
    .await;
    let client = client(|config| config.max_body_bytes = limit);
    assert_eq!(
        client.get(&server.url("/exact")).await.unwrap().body.len(),
        64 * 1024
    );
    assert_eq!(
        client.get(&server.url("/claims-less")).await.unwrap().body,
        "lo"
    );
    for (path, expected) in [
        ("/over", "too_large"),
        ("/claims-more", "body"),
        ("/claims-huge", "too_large"),
        ("/contradicts", "transport"),
        ("/endless", "too_large"),
        ("/endless-chunks", "too_large"),
        ("/reset", "body"),
        ("/reset-at-once", "transport"),
        ("/header-flood", "transport"),
        ("/endless-header", "transport"),
        ("/no-http", "transport"),
        ("/nothing", "transport"),
    ] {
        assert_eq!(class(&client, &server.url(path)).await, expected, "{path}");
    }
    let options = RequestOptions {
        truncate: true,
        ..RequestOptions::default()
    };
    let cut = client
        .get_with(&server.url("/endless"), options.clone())
        .await
        .unwrap();
    assert_eq!((cut.body.len(), cut.truncated), (64 * 1024, true));
    let whole = client
        .get_with(&server.url("/exact"), options)
        .await
        .unwrap();
    assert_eq!((whole.body.len(), whole.truncated), (64 * 1024, false));
}

#[tokio::test]
async fn slow_servers_run_out_of_time() {
    let server = Nasty::start(async |request, mut stream| {
        let every = millis(20);
        match request.path.as_str() {
            "/slow-head" => trickle(&mut stream, b"HTTP/1.1 200 OK\r\nX: ", b'a', every).await,
            "/slow-body" => trickle(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n", b'a', every).await,
            "/silent-body" => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
                tokio::io::AsyncWriteExt::write_all(&mut stream, head)
                    .await
                    .unwrap();
                keep_silent(&mut stream).await;
            }
            _ => keep_silent(&mut stream).await,
        }
    })
    .await;
    let patient = client(|config| config.timeout = millis(400));
    let strict = client(|config| config.read_timeout = millis(100));
    for (client, path) in [
        (&patient, "/slow-head"),
        (&patient, "/slow-body"),
        (&patient, "/silent"),
        (&strict, "/silent-body"),
        (&strict, "/silent"),
    ] {
        let started = Instant::now();
        assert_eq!(class(client, &server.url(path)).await, "timeout", "{path}");
        assert!(started.elapsed() < Duration::from_secs(5), "{path}");
    }
    let options = RequestOptions {
        timeout: Some(millis(50)),
        ..RequestOptions::default()
    };
    let error = client(|_| {})
        .get_with(&server.url("/silent"), options)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Timeout { after } if after < Duration::from_secs(2)));
}

fn brotli(content: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: 5,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &content[..], &mut compressed, &params).unwrap();
    compressed
}

#[tokio::test]
async fn bombs_are_defused_in_flat_memory() {
    let bomb = vec![b'x'; 64 * 1024 * 1024];
    let small = vec![b'x'; 100_000];
    let files: HashMap<&str, (&str, Vec<u8>)> = [
        ("/small.gz", ("gzip", gzip(&small))),
        ("/small.br", ("br", brotli(&small))),
        ("/bomb.gz", ("gzip", gzip(&bomb))),
        ("/bomb.br", ("br", brotli(&bomb))),
        // Not offered, so nobody who keeps to the rules sends it.
        ("/unasked.zst", ("zstd", b"(\xb5/\xfdwhatever".to_vec())),
        ("/stacked", ("gzip, gzip", gzip(&gzip(&bomb)))),
        ("/unknown", ("compress", b"\x1f\x9d\x90whatever".to_vec())),
        ("/broken.gz", ("gzip", b"\x1f\x8b\x00 no gzip".to_vec())),
        ("/cut.gz", ("gzip", gzip(&small)[..50].to_vec())),
        ("/plain", ("identity", small.clone())),
    ]
    .into();
    let sizes: Vec<_> = files
        .iter()
        .map(|(path, file)| (*path, file.1.len()))
        .collect();
    assert!(sizes.iter().all(|(_, size)| *size < 200_000), "{sizes:?}");
    let server = Nasty::start(move |request, mut stream| {
        let (coding, bytes) = files[request.path.as_str()].clone();
        async move {
            send(
                &mut stream,
                &response(OK, &[("Content-Encoding", coding)], &bytes),
            )
            .await;
        }
    })
    .await;
    let client = client(|_| {});
    for path in ["/small.gz", "/small.br", "/plain"] {
        let answer = client.get(&server.url(path)).await.unwrap();
        assert!(answer.body == small, "{path}");
    }
    for (path, expected) in [
        ("/bomb.gz", "too_large"),
        ("/bomb.br", "too_large"),
        ("/unasked.zst", "content_coding"),
        ("/stacked", "content_coding"),
        ("/unknown", "content_coding"),
        ("/broken.gz", "body"),
        ("/cut.gz", "body"),
    ] {
        assert_eq!(class(&client, &server.url(path)).await, expected, "{path}");
    }
    for path in ["/bomb.gz", "/bomb.br"] {
        let (head, mut body) = client
            .stream(&server.url(path), RequestOptions::default())
            .await
            .unwrap();
        assert_eq!(head.status, 200);
        let mut total = 0;
        let error = loop {
            match body.next_chunk().await {
                Ok(Some(chunk)) => {
                    assert!(chunk.len() <= 256 * 1024, "{path}: {}", chunk.len());
                    total += chunk.len();
                }
                Ok(None) => panic!("{path} ended"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.class(), "too_large");
        assert!(total <= 1024 * 1024, "{path}: {total}");
        assert!(
            matches!(body.next_chunk().await, Ok(None)),
            "nothing after an error"
        );
    }
}

/// Bodies that hold nothing, and never end: on one thread, which others need as well.
#[tokio::test]
async fn bodies_that_hold_nothing_are_given_up_and_hold_up_nobody() {
    let server = Nasty::start(async |request, mut stream| {
        let (coding, head, piece): (&str, Vec<u8>, Vec<u8>) = match request.path.as_str() {
            // Members of nothing, blocks of nothing, brotli's metadata of nothing.
            "/members" => ("gzip", Vec::new(), gzip(b"").repeat(1_000)),
            "/more" => ("x-gzip", gzip(b"kettle"), gzip(b"").repeat(1_000)),
            "/blocks" => (
                "gzip",
                gzip(b"")[..10].to_vec(),
                [0, 0, 0, 0xff, 0xff].repeat(4_000),
            ),
            "/metadata" => ("br", vec![0b0000_1100], vec![0b0000_0110; 20_000]),
            _ => return send(&mut stream, &response(OK, &[], b"kettle")).await,
        };
        let start = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n");
        send_for_ever(&mut stream, &[start.as_bytes(), &head].concat(), &piece).await;
    })
    .await;
    let client = client(|_| {});
    for (path, limit) in [
        ("/members", "more than 4096 gzip members"),
        ("/more", "more than 4096 gzip members"),
        (
            "/blocks",
            "more than 262144 compressed bytes that hold nothing",
        ),
        (
            "/metadata",
            "more than 262144 compressed bytes that hold nothing",
        ),
    ] {
        let hostile = server.url(path);
        let (error, other) = tokio::join!(client.get(&hostile), async {
            let mut answered = 0;
            for _ in 0..5 {
                answered += client.get(&server.url("/other")).await.unwrap().body.len();
            }
            answered
        });
        let error = error.unwrap_err();
        assert_eq!(error.class(), "decompression", "{path}");
        assert_eq!(
            error.to_string(),
            format!("decompression was given up: {limit}")
        );
        assert_eq!(error.decision(), Decision::Permanent);
        assert_eq!(other, 30);
    }
}

/// The body that is handed out is not the one that was sent, and its headers say so.
#[tokio::test]
async fn headers_of_a_coded_body_are_those_of_the_body() {
    let body = [gzip(b"brass "), gzip(b"kettle"), b"\0\0 padding".to_vec()].concat();
    let server = Nasty::fixed(response(
        OK,
        &[("Content-Encoding", "GZip"), ("ETag", "x")],
        &body,
    ))
    .await;
    let client = client(|_| {});
    let answer = client.get(&server.url("/")).await.unwrap();
    assert_eq!(&answer.body[..], b"brass kettle");
    assert!(!answer.headers.contains_key(header::CONTENT_ENCODING));
    assert!(!answer.headers.contains_key(header::CONTENT_LENGTH));
    assert_eq!(answer.etag.as_deref(), Some("x"));
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("gzip, br"));
    // What is larger when it is packed than it may be, may be none too large when it is not.
    let noise: Vec<u8> = (0..60_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    let server = Nasty::fixed(response(OK, &[("Content-Encoding", "gzip")], &gzip(&noise))).await;
    let options = RequestOptions {
        max_body_bytes: Some(60_000),
        ..RequestOptions::default()
    };
    let answer = client.get_with(&server.url("/"), options).await.unwrap();
    assert_eq!(answer.body.len(), 60_000);
}

/// Servers send hundreds of lines (cookies, links, policies), and say things in Latin-1.
#[tokio::test]
async fn many_header_lines_and_odd_ones_are_read_past() {
    let server = Nasty::start(async |request, mut stream| {
        let lines = |count: usize| {
            let lines = (0..count).map(|n| format!("X-Line-{n}: \u{fc}\r\n"));
            let lines: Vec<u8> = lines
                .collect::<String>()
                .chars()
                .map(|sign| sign as u8)
                .collect();
            [
                b"HTTP/1.1 200 OK\r\n",
                &lines[..],
                b"Content-Length: 2\r\n\r\nok",
            ]
            .concat()
        };
        let answer = match request.path.as_str() {
            "/101" => lines(101),
            "/400" => lines(400),
            "/5000" => lines(5_000),
            "/latin" => {
                b"HTTP/1.1 302 Found\r\nLocation: /caf\xe9?q=\xfc\r\nContent-Length: 0\r\n\r\n"
                    .to_vec()
            }
            "/caf%E9?q=%FC" => lines(1),
            _ => response("404 Not Found", &[], b""),
        };
        send(&mut stream, &answer).await;
    })
    .await;
    let client = client(|_| {});
    for path in ["/101", "/400", "/latin"] {
        let answer = client.get(&server.url(path)).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (200, &b"ok"[..]),
            "{path}"
        );
    }
    assert_eq!(class(&client, &server.url("/5000")).await, "transport");
}

/// What came of a body is handed out where it is asked for, and what is missing of it is told.
#[tokio::test]
async fn a_body_without_an_end_is_kept_where_that_is_asked_for() {
    let text = "brass kettles ".repeat(400);
    let packed = gzip(text.as_bytes());
    let cut = packed.len() - 4;
    let whole = response(OK, &[("Content-Encoding", "gzip")], &packed);
    let server = Nasty::start(move |request, mut stream| {
        let head = |declared: usize, coding: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {declared}\r\n{coding}\r\n").into_bytes()
        };
        let coding = "Content-Encoding: gzip\r\n";
        let answer = match request.path.as_str() {
            "/length" => [head(text.len() + 20, ""), text.clone().into_bytes()].concat(),
            "/chunks" => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                format!("{head}{:x}\r\n{text}\r\n", text.len()).into_bytes()
            }
            "/trailer" => [head(cut, coding), packed[..cut].to_vec()].concat(),
            "/both" => [head(packed.len(), coding), packed[..cut].to_vec()].concat(),
            _ => whole.clone(),
        };
        async move { send(&mut stream, &answer).await }
    })
    .await;
    let client = client(|_| {});
    let keeping = RequestOptions {
        keep_cut: true,
        ..RequestOptions::default()
    };
    for (path, is_cut) in [
        ("/length", true),
        ("/chunks", true),
        ("/trailer", true),
        ("/both", true),
        ("/", false),
    ] {
        let answer = client
            .get_with(&server.url(path), keeping.clone())
            .await
            .unwrap();
        assert_eq!(answer.body.len(), 14 * 400, "{path}");
        assert_eq!(
            answer.cut.map(|why| why.class()),
            is_cut.then_some("body"),
            "{path}"
        );
        if is_cut {
            assert_eq!(class(&client, &server.url(path)).await, "body", "{path}");
        }
    }
}

#[tokio::test]
async fn circles_and_long_chains_of_redirects_end() {
    let server = Nasty::start(async |request, mut stream| {
        let target = match request.path.as_str() {
            "/self" => "/self".to_owned(),
            "/ping" => "/pong".to_owned(),
            "/pong" => "/ping#again".to_owned(),
            "/0" => return send(&mut stream, &response(OK, &[], b"end")).await,
            path => {
                let left: u32 = path.trim_start_matches('/').parse().unwrap();
                format!("/{}", left.saturating_sub(1))
            }
        };
        send(&mut stream, &redirect(&target)).await;
    })
    .await;
    let client = client(|_| {});
    for (path, requests) in [("/self", 1), ("/ping", 2), ("/9", 9)] {
        let before = server.paths().len();
        assert_eq!(
            class(&client, &server.url(path)).await,
            "too_many_redirects",
            "{path}"
        );
        assert_eq!(server.paths().len() - before, requests, "{path}");
    }
    let answer = client.get(&server.url("/8")).await.unwrap();
    assert_eq!((answer.redirects, answer.url.path()), (8, "/0"));
    assert_eq!(answer.requested.path(), "/8");
}

#[tokio::test]
async fn text_is_decoded_and_validators_are_kept() {
    let (body, _, _) = encoding_rs::WINDOWS_1251.encode("Привет");
    let headers = [
        ("Content-Type", "text/html; charset=windows-1251"),
        ("ETag", "\"v1\""),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    let server = Nasty::fixed(response("404 Not Found", &headers, &body)).await;
    let answer = client(|_| {}).get(&server.url("/")).await.unwrap();
    assert_eq!((answer.status, answer.text().as_ref()), (404, "Привет"));
    assert_eq!(answer.etag.as_deref(), Some("\"v1\""));
    assert_eq!(
        answer.last_modified.as_deref(),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    let error = answer.error_for_status().unwrap_err();
    assert_eq!(
        (error.class(), error.decision()),
        ("status_4xx", Decision::Permanent)
    );
}
