//! Where it goes: addresses, names, redirects, and failures to get there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner::fault::{self, Shortage};
use gleaner::web::fetch::{Client, Config, Decision, FetchError, Lookup, Unanswered};
use gleaner::web::page::{Door, NoPage, home};

use super::{OK, class, client, millis, url};
use crate::support::nasty::{Nasty, keep_silent, redirect, response, send};

/// Names with scripted answers: each lookup takes the next one, the last one stays.
#[derive(Default)]
pub(super) struct Script {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Script {
    pub(super) fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
        let answers = names
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), answers.iter().map(parse).collect()))
            .collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Lookup for Script {
    fn lookup(&self, host: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get_mut(&host) {
            Some(list) if list.len() > 1 => Ok(list.remove(0)),
            Some(list) => Ok(list[0].clone()),
            None => Err(std::io::Error::other("no such host")),
        };
        Box::pin(async move { answer })
    }
}

#[tokio::test]
async fn own_network_is_refused_by_default() {
    let closed = client(|config| config.allow_networks.clear());
    for target in [
        "http://169.254.169.254/",
        "http://169.254.169.254/latest/meta-data/iam/",
        "http://localhost/",
        "http://localhost:5432/",
        "http://127.0.0.1/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://192.168.1.1/",
    ] {
        let error = closed.get(&url(target)).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Blocked { .. }),
            "{target}: {error}"
        );
        assert_eq!(error.decision(), Decision::Permanent);
    }
}

#[tokio::test]
async fn redirects_are_guarded_like_first_requests() {
    let server = Nasty::start(async |request, mut stream| {
        let target = request
            .path
            .split_once("?to=")
            .map(|(_, to)| to.to_owned())
            .unwrap();
        send(&mut stream, &redirect(&target)).await;
    })
    .await;
    let names = Script::new(&[("inside.example", &[&["10.0.0.1"]])]);
    let mut config = Config::for_tests();
    config.allow_networks = vec!["127.0.0.1/32".parse().unwrap()];
    let client = Client::with_lookup(config, names).unwrap();
    for (target, expected) in [
        ("http://169.254.169.254/latest/", "blocked"),
        ("http://127.0.0.2/", "blocked"),
        ("http://[::ffff:10.0.0.1]/", "blocked"),
        ("//0xa9fea9fe/", "blocked"),
        ("http://inside.example/", "blocked"),
        ("http://nowhere.example/", "dns"),
        ("file:///etc/passwd", "bad_url"),
        ("http://127.0.0.1:25/", "bad_url"),
        ("http://[", "bad_url"),
    ] {
        let first = server.url(&format!("/?to={target}"));
        assert_eq!(class(&client, &first).await, expected, "{target}");
    }
}

#[tokio::test]
async fn name_that_changes_its_mind_is_refused() {
    let server = Nasty::fixed(response(OK, &[], b"inside")).await;
    let names = Script::new(&[
        ("rebind.example", &[&["127.0.0.1"], &["127.0.0.2"]]),
        ("mixed.example", &[&["127.0.0.2", "127.0.0.1", "10.0.0.1"]]),
    ]);
    let mut config = Config::for_tests();
    config.allow_networks = vec!["127.0.0.1/32".parse().unwrap()];
    let client = Client::with_lookup(config, Arc::clone(&names) as Arc<dyn Lookup>).unwrap();
    let port = server.address.port();
    let rebinding = url(&format!("http://rebind.example:{port}/"));
    assert_eq!(client.get(&rebinding).await.unwrap().body, "inside");
    assert_eq!(
        names.asked.load(Ordering::SeqCst),
        1,
        "connected to what was checked"
    );
    assert_eq!(class(&client, &rebinding).await, "blocked");
    let mixed = url(&format!("http://mixed.example:{port}/"));
    assert_eq!(
        client.get(&mixed).await.unwrap().body,
        "inside",
        "its allowed address is used"
    );
    assert_eq!(server.paths().len(), 2);
}

#[tokio::test]
async fn reload_that_closes_a_network_closes_it_at_once() {
    let server = Nasty::fixed(response(OK, &[], b"x")).await;
    let open = client(|_| {});
    assert!(open.get(&server.url("/")).await.is_ok());
    let mut config = Config::for_tests();
    config.allow_networks.clear();
    open.reconfigure(config.clone()).unwrap();
    assert_eq!(class(&open, &server.url("/")).await, "blocked");
    config.timeout = Duration::ZERO;
    assert_eq!(open.reconfigure(config).unwrap_err().class(), "config");
}

#[tokio::test]
async fn failures_to_connect_are_told_apart() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let silent = Nasty::start(async |_, mut stream| keep_silent(&mut stream).await).await;
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            send(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let client = Client::with_lookup(
        Config {
            read_timeout: millis(200),
            ..Config::for_tests()
        },
        Script::new(&[]),
    )
    .unwrap();
    for (target, expected) in [
        (format!("http://127.0.0.1:{port}/"), "connect"),
        (format!("https://127.0.0.1:{plain_port}/"), "tls"),
        ("http://nowhere.example/".to_owned(), "dns"),
        (silent.url("/").into(), "timeout"),
    ] {
        assert_eq!(class(&client, &url(&target)).await, expected, "{target}");
    }
    answering.abort();
}

/// How a name server is that a test asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameServer {
    /// It answers that there is no such name.
    Denies,
    /// It says that nobody knows.
    Passes,
    /// It says nothing.
    Silent,
}

/// One way for every host, another for names that no server has to ask for.
struct Server {
    hosts: NameServer,
    control: NameServer,
}

impl Lookup for Server {
    fn lookup(&self, host: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let is_control = host.ends_with(".invalid");
        let way = if is_control { self.control } else { self.hosts };
        Box::pin(async move {
            match way {
                NameServer::Denies => Err(std::io::Error::other("no such host")),
                NameServer::Passes => {
                    let again = std::io::Error::other("temporary failure");
                    Err(std::io::Error::other(Unanswered(again)))
                }
                NameServer::Silent => std::future::pending().await,
            }
        })
    }
}

/// A host without an answer is charged; that there is no name server to give one is not the host's fault.
#[tokio::test]
async fn a_resolver_that_answers_nobody_is_told_from_a_host_without_a_name() {
    use NameServer::{Denies, Passes, Silent};
    let own = Decision::Snooze {
        after: Duration::from_secs(1),
    };
    let retry = Decision::Retry { after: None };
    for (hosts, control, class, decision) in [
        (Denies, Denies, "dns", retry),
        (Denies, Passes, "dns", retry),
        (Passes, Denies, "dns", retry),
        (Silent, Denies, "timeout", retry),
        (Passes, Passes, "dns", own),
        (Passes, Silent, "dns", own),
        (Silent, Passes, "dns", own),
        (Silent, Silent, "dns", own),
    ] {
        let mut config = Config::for_tests();
        config.connect_timeout = millis(600);
        // Also the file that is asked for first is none of the host's doing.
        config.robots = true;
        let client = Client::with_lookup(config, Arc::new(Server { hosts, control })).unwrap();
        for path in ["a", "b"] {
            let target = url(&format!("http://shop.example/{path}"));
            let error = client.get(&target).await.unwrap_err();
            let told = format!("{hosts:?}, {control:?}: {error:?}");
            assert_eq!(error.class(), class, "{told}");
            let is_own = fault::shortage(&error) == Some(Shortage::Resolver);
            assert_eq!(is_own, decision == own, "{told}");
            match (error.decision(), decision) {
                // Not before robots.txt is asked for again.
                (Decision::Retry { after: Some(_) }, Decision::Retry { .. }) => {}
                (told_decision, _) => assert_eq!(told_decision, decision, "{told}"),
            }
        }
        // A site is not looked for elsewhere because we cannot look for it at all.
        let door = Door {
            host: "shop.example".to_owned(),
            is_www: false,
        };
        let missed = home(&client, None, &door, |_| (), |()| true)
            .await
            .unwrap_err();
        let NoPage::Fetch(error) = missed.why else {
            panic!("{missed:?}");
        };
        let is_own = fault::shortage(&error) == Some(Shortage::Resolver);
        assert_eq!(is_own, decision == own, "{hosts:?}, {control:?}: {error:?}");
    }
}

#[tokio::test]
async fn proxied_names_keep_their_host_and_scheme() {
    let server = Nasty::fixed(response(OK, &[], b"x")).await;
    let client = client(|config| {
        config.proxy_hosts_to = Some(server.address);
        config.allow_networks.clear();
    });
    for (target, host) in [
        ("http://shop.example/a", "shop.example"),
        ("https://secure.example/b", "secure.example"),
        ("http://shop.example:8080/c", "shop.example:8080"),
    ] {
        let answer = client.get(&url(target)).await.unwrap();
        assert_eq!(answer.url.as_str(), target);
        assert_eq!(server.seen().last().unwrap().header("host"), Some(host));
    }
    for target in [
        "http://localhost/",
        "http://127.0.0.1/",
        "http://169.254.169.254/",
    ] {
        assert_eq!(class(&client, &url(target)).await, "blocked", "{target}");
    }
}

#[tokio::test]
async fn certificate_that_nobody_trusts_is_refused_for_good() {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::{TlsAcceptor, rustls};

    gleaner::tls::install();
    let certificate = include_bytes!("../../../fixtures/tls/untrusted.crt.der")
        .to_vec()
        .into();
    let key =
        PrivateKeyDer::try_from(&include_bytes!("../../../fixtures/tls/untrusted.key.der")[..]);
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = url(&format!("https://{}/", listener.local_addr().unwrap()));
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });
    let error = client(|_| {}).get(&target).await.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Tls {
                is_certificate: true,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.decision(), Decision::Permanent);
    assert!(!accepting.await.unwrap(), "no session, so nothing was sent");
}
