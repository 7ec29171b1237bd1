//! Changes as they happen: what there is comes first, then what changes, until the key is gone or the server stops.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use gleaner::documents::config::Documents;
use gleaner::documents::key::Scope;
use serde_json::{Value, json};

use crate::support::documents::{Ready, Service, Tenant, lease};
use crate::support::{PATIENCE, TestDatabase, wait_until};

/// One event.
#[derive(Clone, Debug, Default)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

/// A client that reads a stream of events.
struct Client {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

impl Client {
    async fn open(service: &Service, path: &str, key: &str) -> Self {
        let response = service.get(path, key).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        Self {
            bytes: response.bytes_stream().boxed(),
            text: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    let (name, value) = line.split_once(':').expect("a field");
                    match name {
                        "event" => value.trim().clone_into(&mut event.name),
                        "id" => value.trim().clone_into(&mut event.id),
                        "data" => event.data = serde_json::from_str(value).expect("JSON"),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                if !event.name.is_empty() {
                    return Some(event);
                }
            }
            let part = tokio::time::timeout(PATIENCE, self.bytes.next())
                .await
                .expect("something in time");
            match part {
                Some(Ok(part)) => self
                    .text
                    .push_str(std::str::from_utf8(&part).expect("text")),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The first event that is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("it goes on");
            if wanted(&event) {
                return event;
            }
        }
    }
}

/// Waits until this process listens, and what is told of it has been passed on.
async fn listening(service: &Service) {
    wait_until("somebody listens", async || {
        service
            .database()
            .count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN gleaner_document%'")
            .await
            == 1
    })
    .await;
}

#[tokio::test]
async fn a_document_is_told_as_it_is_and_as_it_changes() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &["A."])
        .insert(&database, &tenant)
        .await;
    database
        .run("UPDATE documents SET process_status = 'Queued'")
        .await;
    let service = Service::start(database, |_| {}).await;
    let path = format!("/api/documents/{uid}/events");
    let mut client = Client::open(&service, &path, &tenant.key).await;
    let first = client.next().await.expect("what there is");
    assert_eq!(
        (first.name.as_str(), &first.data["status"]),
        ("document", &json!("queued"))
    );
    assert!(first.id.parse::<i64>().is_ok());
    listening(&service).await;

    let set = async |change: &str| {
        service
            .database()
            .run(&format!(
                "UPDATE documents SET {change} WHERE uid = '{uid}'"
            ))
            .await;
    };
    let lease = lease(service.database()).await;
    set(&format!(
        "process_status = 'Processing', process_lease = {lease}, process_attempts = 1"
    ))
    .await;
    client
        .until(|event| event.data["status"] == json!("processing"))
        .await;
    set("step = 'read', pages_done = 3, page_count = 10, processing_progress = 30").await;
    let told = client
        .until(|event| event.data["pages_done"] == json!(3))
        .await;
    assert_eq!(
        (&told.data["progress"], &told.data["page_count"]),
        (&json!(30), &json!(10))
    );
    assert!(told.id.parse::<i64>().expect("a number") > first.id.parse::<i64>().expect("a number"));
    set("process_status = 'Completed', process_lease = NULL").await;
    let ready = client
        .until(|event| event.data["ready"] == json!(true))
        .await;
    assert_eq!(ready.data["progress"], json!(100));

    // Who comes again is told what there is.
    let request = service
        .request(reqwest::Method::GET, &path, &tenant.key)
        .header("last-event-id", ready.id);
    let mut again = Client {
        bytes: request
            .send()
            .await
            .expect("an answer")
            .bytes_stream()
            .boxed(),
        text: String::new(),
    };
    assert_eq!(
        again.next().await.expect("what there is").data["ready"],
        json!(true)
    );

    set("deleted_at = now()").await;
    let gone = client.until(|event| event.name == "deleted").await;
    assert_eq!(gone.data, json!({"document_id": uid}));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_tenant_is_told_of_its_own_documents_alone() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    let own = Ready::new("a.txt", &["A."]).insert(&database, &one).await;
    let theirs = Ready::new("b.txt", &["B."]).insert(&database, &other).await;
    let service = Service::start(database, |_| {}).await;
    let mut client = Client::open(&service, "/api/documents/events", &one.key).await;
    let first = client.next().await.expect("what there is");
    assert_eq!(
        (
            first.name.as_str(),
            first.data["documents"].as_array().map(Vec::len)
        ),
        ("list", Some(1))
    );
    assert_eq!(first.data["documents"][0]["document_id"], json!(own));
    listening(&service).await;

    let run = async |sql: &str| service.database().run(sql).await;
    run(&format!(
        "UPDATE documents SET filename = 'theirs.txt' WHERE uid = '{theirs}'"
    ))
    .await;
    run(&format!(
        "UPDATE documents SET filename = 'renamed.txt' WHERE uid = '{own}'"
    ))
    .await;
    let new = Ready::new("new.txt", &["N."])
        .insert(service.database(), &one)
        .await;
    run(&format!(
        "UPDATE documents SET deleted_at = now() WHERE uid = '{theirs}'"
    ))
    .await;
    run(&format!(
        "UPDATE documents SET deleted_at = now() WHERE uid = '{own}'"
    ))
    .await;
    let (mut seen, mut is_gone) = (Vec::new(), false);
    while !is_gone || !seen.contains(&new) {
        let event = client.next().await.expect("it goes on");
        seen.push(
            event.data["document_id"]
                .as_str()
                .expect("a name")
                .to_owned(),
        );
        is_gone |= event.name == "deleted" && event.data["document_id"] == json!(own);
    }
    assert!(
        seen.iter().all(|uid| *uid == own || *uid == new),
        "{seen:?}"
    );
}

#[tokio::test]
async fn what_changes_fast_is_told_together() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &["A."])
        .insert(&database, &tenant)
        .await;
    let service = Service::start(database, |_| {}).await;
    let mut client = Client::open(
        &service,
        &format!("/api/documents/{uid}/events"),
        &tenant.key,
    )
    .await;
    client.next().await.expect("what there is");
    listening(&service).await;
    let start = std::time::Instant::now();
    let sql_client = service.database().client().await;
    for at in 1..=300 {
        let sql = format!("UPDATE documents SET pages_done = {at} WHERE uid = '{uid}'");
        sql_client.batch_execute(&sql).await.expect("an update");
    }
    let mut told = 0;
    loop {
        told += 1;
        if client.next().await.expect("it goes on").data["pages_done"] == json!(300) {
            break;
        }
    }
    // Four a second, and the one that was under way.
    let most = start.elapsed().as_millis() / 250 + 2;
    assert!(told <= most, "{told} of {most}");
}

#[tokio::test]
async fn without_notifications_changes_are_looked_for() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &["A."])
        .insert(&database, &tenant)
        .await;
    let service = Service::start(database, |config| config.database.listen = false).await;
    let mut one = Client::open(
        &service,
        &format!("/api/documents/{uid}/events"),
        &tenant.key,
    )
    .await;
    let mut all = Client::open(&service, "/api/documents/events", &tenant.key).await;
    one.next().await.expect("what there is");
    all.next().await.expect("what there is");
    service
        .database()
        .run("UPDATE documents SET filename = 'b.txt'")
        .await;
    one.until(|event| event.data["filename"] == json!("b.txt"))
        .await;
    all.until(|event| event.data["filename"] == json!("b.txt"))
        .await;
    service
        .database()
        .run("UPDATE documents SET deleted_at = now()")
        .await;
    all.until(|event| event.name == "deleted").await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_nothing_is_missed() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &["A."])
        .insert(&database, &tenant)
        .await;
    let service = Service::start(database, |_| {}).await;
    let mut client = Client::open(
        &service,
        &format!("/api/documents/{uid}/events"),
        &tenant.key,
    )
    .await;
    client.next().await.expect("what there is");
    listening(&service).await;
    service
        .database()
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN gleaner_document%'")
        .await;
    service
        .database()
        .run("UPDATE documents SET filename = 'b.txt'")
        .await;
    client
        .until(|event| event.data["filename"] == json!("b.txt"))
        .await;
    listening(&service).await;
    service
        .database()
        .run("UPDATE documents SET filename = 'c.txt'")
        .await;
    client
        .until(|event| event.data["filename"] == json!("c.txt"))
        .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_with_the_server() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let other = tenant.key(&database, Scope::Read).await;
    let service = Service::start(database, |_| {}).await;
    let mut doomed = Client::open(&service, "/api/documents/events", &tenant.key).await;
    let mut kept = Client::open(&service, "/api/documents/events", &other).await;
    doomed.next().await.expect("what there is");
    kept.next().await.expect("what there is");
    listening(&service).await;
    service
        .database()
        .run("UPDATE api_key SET revoked_at = now() WHERE scope = 'write'")
        .await;
    assert!(doomed.next().await.is_none());
    let new = Ready::new("a.txt", &["A."])
        .insert(service.database(), &tenant)
        .await;
    kept.until(|event| event.data["document_id"] == json!(new))
        .await;

    let stopping = service.app.stop();
    let (_stopped, ended) = tokio::join!(stopping, async { while kept.next().await.is_some() {} });
    assert_eq!(ended, ());
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    let service = Service::start(database, |config| {
        config.section_mut::<Documents>().max_streams = 5;
    })
    .await;
    let path = "/api/documents/events";
    // A fourth of five, rounded down: one each.
    let first = Client::open(&service, path, &one.key).await;
    let (status, body) = service.refused(path, &one.key).await;
    assert_eq!((status, &body["code"]), (429, &json!("too_many_streams")));
    let second = Client::open(&service, path, &other.key).await;
    drop(first);
    // The place is free again once the server has seen that nobody reads.
    wait_until("there is a place again", async || {
        service.get(path, &one.key).await.status().as_u16() == 200
    })
    .await;
    drop(second);
}
