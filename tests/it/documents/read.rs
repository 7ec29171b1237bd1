//! What a tenant reads of its documents: state, lists, text, files, usage, health; over HTTP and by command.

use reqwest::Method;
use reqwest::header;
use serde_json::{Value, json};

use crate::cli::gleaner;
use crate::support::TestDatabase;
use crate::support::documents::{Ready, Service, Tenant, lease};

const NOWHERE: &str = "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b";

/// A document in a state of the stage's.
async fn in_state(database: &TestDatabase, tenant: &Tenant, change: &str) -> String {
    let uid = Ready::new("a.txt", &["Some text."])
        .insert(database, tenant)
        .await;
    database
        .run(&format!(
            "UPDATE documents SET {change} WHERE uid = '{uid}'"
        ))
        .await;
    uid
}

#[tokio::test]
async fn the_status_has_the_form_that_clients_know_and_says_more() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let done = Ready::new("a.txt", &["One.", "Two."])
        .insert(&database, &tenant)
        .await;
    // How long the last ones took: ten seconds.
    database
        .run("UPDATE documents SET processing_started_at = now() - interval '10 seconds', processing_completed_at = now()")
        .await;
    let first = in_state(
        &database,
        &tenant,
        "process_status = 'Queued', process_due_at = now() - interval '1 minute'",
    )
    .await;
    let second = in_state(&database, &tenant, "process_status = 'Queued'").await;
    let third = in_state(
        &database,
        &tenant,
        "process_status = 'Queued', process_due_at = now() + interval '1 second'",
    )
    .await;
    let failed = in_state(
        &database,
        &tenant,
        "process_status = 'Error', error_code = 'no_text_layer', error_message = 'its pages are pictures', retryable = true, error_pages = '{1}'",
    )
    .await;
    let cancelled = in_state(&database, &tenant, "process_status = 'Cancelled'").await;
    let service = Service::start(database, |_| {}).await;
    let status = async |uid: &str| {
        service
            .json(&format!("/api/documents/{uid}/status"), &tenant.key)
            .await
    };

    let ready = status(&done).await;
    assert_eq!(ready["document_id"], json!(done));
    assert_eq!(
        (
            &ready["status"],
            &ready["progress"],
            &ready["task_state"],
            &ready["message"]
        ),
        (
            &json!("ready"),
            &json!(100),
            &json!("SUCCESS"),
            &json!("Ready")
        )
    );
    assert_eq!(
        (&ready["total_chunks"], &ready["ready"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        (&ready["page_count"], &ready["error"]),
        (&json!(2), &Value::Null)
    );

    for (uid, position, eta) in [(&first, 1, 10), (&second, 2, 10), (&third, 3, 20)] {
        let queued = status(uid).await;
        assert_eq!(
            (&queued["status"], &queued["task_state"]),
            (&json!("queued"), &json!("PENDING"))
        );
        assert_eq!(queued["queue_position"], json!(position), "{queued}");
        let told = queued["eta_seconds"].as_i64().expect("an estimate");
        assert!((eta..=eta + 2).contains(&told), "{queued}");
        assert_eq!(queued["ready"], json!(false));
    }
    let failed = status(&failed).await;
    assert_eq!(
        failed["error"],
        json!({"code": "no_text_layer", "message": "its pages are pictures", "retryable": true, "pages": [1]})
    );
    assert_eq!(
        (&failed["task_state"], &failed["status"]),
        (&json!("FAILURE"), &json!("failed"))
    );
    let cancelled = status(&cancelled).await;
    assert_eq!(
        (&cancelled["task_state"], &cancelled["status"]),
        (&json!("REVOKED"), &json!("cancelled"))
    );
}

#[tokio::test]
async fn an_estimate_is_made_of_pages_or_not_at_all() {
    let database = TestDatabase::new().await;
    let lease = lease(&database).await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = in_state(&database, &tenant, "process_status = 'Queued'").await;
    database
        .run(&format!(
            "UPDATE documents SET process_status = 'Processing', process_lease = {lease}, process_attempts = 1 WHERE uid = '{uid}'; \
             UPDATE documents SET processing_started_at = now() - interval '30 seconds', pages_done = 10, page_count = 40, \
                 step = 'read', processing_progress = 25 WHERE uid = '{uid}'"
        ))
        .await;
    let waiting = in_state(&database, &tenant, "process_status = 'Queued'").await;
    let service = Service::start(database, |_| {}).await;
    let status = service
        .json(&format!("/api/documents/{uid}/status"), &tenant.key)
        .await;
    assert_eq!(
        (
            &status["task_state"],
            &status["step"],
            &status["attempt"],
            &status["message"]
        ),
        (
            &json!("PROCESSING"),
            &json!("read"),
            &json!(1),
            &json!("Reading: 10 of 40 pages")
        )
    );
    let eta = status["eta_seconds"].as_i64().expect("an estimate");
    assert!((90..110).contains(&eta), "{status}");
    // Nothing has ever been finished: nothing is known.
    let waiting = service
        .json(&format!("/api/documents/{waiting}/status"), &tenant.key)
        .await;
    assert_eq!(
        (&waiting["queue_position"], &waiting["eta_seconds"]),
        (&json!(1), &Value::Null)
    );
}

#[tokio::test]
async fn who_has_the_answer_already_is_told_so() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &["One."])
        .insert(&database, &tenant)
        .await;
    let service = Service::start(database, |_| {}).await;
    for path in [
        format!("/api/documents/{uid}/status"),
        format!("/api/documents/{uid}"),
        "/api/documents".to_owned(),
        format!("/api/documents/{uid}/text?page=1"),
        format!("/api/documents/{uid}/chunks"),
    ] {
        let response = service.get(&path, &tenant.key).await;
        let tag = response.headers()[header::ETAG].clone();
        let again = async || {
            let request = service.request(Method::GET, &path, &tenant.key);
            let response = request
                .header(header::IF_NONE_MATCH, tag.clone())
                .send()
                .await
                .expect("an answer");
            (
                response.status().as_u16(),
                response.text().await.expect("a body"),
            )
        };
        assert_eq!(again().await, (304, String::new()), "{path}");
        let rename =
            |name: &str| format!("UPDATE documents SET filename = '{name}' WHERE uid = '{uid}'");
        if !path.contains("text") && !path.contains("chunks") {
            service.database().run(&rename("b.txt")).await;
            assert_eq!(again().await.0, 200, "{path}");
            service.database().run(&rename("a.txt")).await;
        }
    }
}

#[tokio::test]
async fn polling_is_never_refused() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &["One."])
        .insert(&database, &tenant)
        .await;
    let service = Service::start(database, |_| {}).await;
    // A front end that asks every two seconds asks so often within two minutes.
    for _ in 0..60 {
        service
            .json(&format!("/api/documents/{uid}/status"), &tenant.key)
            .await;
    }
}

#[tokio::test]
async fn a_list_is_paged_without_gaps_or_repeats() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let mut all = Vec::new();
    for at in 0..7 {
        let name = format!("{at}.txt");
        all.push(
            Ready::new(&name, &["Text."])
                .insert(&database, &tenant)
                .await,
        );
    }
    // Some at the same instant.
    database
        .run("UPDATE documents SET created_at = '2026-11-30 12:00:00+00' WHERE id BETWEEN 2 AND 5")
        .await;
    database
        .run("UPDATE documents SET process_status = 'Error' WHERE id IN (1, 6)")
        .await;
    let service = Service::start(database, |_| {}).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = service
            .json(
                &format!("/api/documents?limit=2&cursor={cursor}"),
                &tenant.key,
            )
            .await;
        let documents = page["documents"].as_array().expect("a list").clone();
        assert_eq!(page["count"], json!(documents.len()));
        seen.extend(
            documents
                .iter()
                .map(|document| document["id"].as_str().expect("an id").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
        if seen.len() == 2 {
            // What comes in meanwhile is newer, and what goes leaves no gap; also if it is what the cursor names.
            Ready::new("new.txt", &["Text."])
                .insert(service.database(), &tenant)
                .await;
            service
                .database()
                .run(&format!(
                    "UPDATE documents SET deleted_at = now() WHERE uid = '{}'",
                    seen[1]
                ))
                .await;
        }
    }
    let ids = service
        .database()
        .rows("SELECT uid FROM documents WHERE filename <> 'new.txt' ORDER BY created_at DESC, id DESC")
        .await;
    assert_eq!(seen, ids);
    assert_eq!(all.len(), seen.len());

    let failed = service
        .json("/api/documents?status=failed", &tenant.key)
        .await;
    // Of the two, one is deleted.
    assert_eq!(failed["count"], json!(1));
    for wrong in ["status=done", "cursor=1", "limit=x"] {
        let (status, body) = service
            .refused(&format!("/api/documents?{wrong}"), &tenant.key)
            .await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid")), "{wrong}");
    }
}

#[tokio::test]
async fn a_document_is_shown_in_full() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("Ü \u{202e}.txt", &["One.", "Two."])
        .insert(&database, &tenant)
        .await;
    database
        .run("UPDATE documents SET doc_metadata = '{\"author\": \"A\"}', language = 'en'")
        .await;
    let service = Service::start(database, |_| {}).await;
    let document = service
        .json(&format!("/api/documents/{uid}"), &tenant.key)
        .await;
    for name in [
        "id",
        "document_id",
        "filename",
        "original_filename",
        "mime_type",
        "file_size",
        "status",
        "processing_progress",
        "total_chunks",
        "total_tokens",
        "created_at",
        "updated_at",
        "processing_started_at",
        "processing_completed_at",
        "error_message",
        "language",
        "sha256",
        "task_status",
        "doc_metadata",
    ] {
        assert!(document.get(name).is_some(), "{name}: {document}");
    }
    assert_eq!(document["doc_metadata"], json!({"author": "A"}));
    assert_eq!(document["task_status"], json!("SUCCESS"));
    // The key of the table is nobody's business.
    assert_eq!(document["id"], json!(uid));
    assert!(document.get("tenant_id").is_none() && document.get("process_lease").is_none());
}

#[tokio::test]
async fn text_is_read_by_page_and_as_a_whole() {
    let pages = ["Erste Seite \u{1f375}.", "", "Dritte Seite: é."];
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("a.txt", &pages).insert(&database, &tenant).await;
    let waiting = in_state(&database, &tenant, "process_status = 'Queued'").await;
    database.run(&format!("DELETE FROM document_page WHERE document_id = (SELECT id FROM documents WHERE uid = '{waiting}')")).await;
    let service = Service::start(database, |_| {}).await;
    let path = format!("/api/documents/{uid}/text");

    let page = service.json(&format!("{path}?page=3"), &tenant.key).await;
    assert_eq!(
        (&page["text"], &page["page"]),
        (&json!(pages[2]), &json!(3))
    );
    let start = pages[0].chars().count() + 1 + 1;
    assert_eq!(
        (&page["start"], &page["end"]),
        (&json!(start), &json!(start + pages[2].chars().count()))
    );

    let all = service.json(&path, &tenant.key).await;
    let texts: Vec<&str> = all["pages"]
        .as_array()
        .expect("pages")
        .iter()
        .map(|page| page["text"].as_str().expect("text"))
        .collect();
    assert_eq!(texts, pages);
    assert_eq!(all["next_after"], Value::Null);
    let rest = service.json(&format!("{path}?after=2"), &tenant.key).await;
    assert_eq!(rest["pages"].as_array().map(Vec::len), Some(1));

    let plain = async |path: &str| {
        let request = service
            .request(Method::GET, path, &tenant.key)
            .header(header::ACCEPT, "text/plain");
        let response = request.send().await.expect("an answer");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            response.headers()[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff"
        );
        response.text().await.expect("text")
    };
    assert_eq!(plain(&path).await, pages.join("\u{c}"));
    assert_eq!(plain(&format!("{path}?page=1")).await, pages[0]);

    assert_eq!(
        service
            .refused(&format!("{path}?page=4"), &tenant.key)
            .await
            .1["code"],
        json!("no_such_page")
    );
    assert_eq!(
        service
            .refused(&format!("{path}?page=0"), &tenant.key)
            .await
            .0,
        404
    );
    assert_eq!(
        service
            .refused(&format!("{path}?page=99999999999"), &tenant.key)
            .await
            .0,
        400
    );
    let (status, body) = service
        .refused(&format!("/api/documents/{waiting}/text"), &tenant.key)
        .await;
    assert_eq!((status, &body["code"]), (409, &json!("not_ready")));
}

#[tokio::test]
async fn a_long_text_comes_in_parts_and_streams_as_one() {
    let page = "lorem ipsum dolor sit amet ".repeat(9_000);
    let pages = [page.as_str(), page.as_str(), page.as_str(), "end"];
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let mut document = Ready::new("a.txt", &pages);
    document.pieces = &[(0, 100)];
    let uid = document.insert(&database, &tenant).await;
    let service = Service::start(database, |_| {}).await;
    let path = format!("/api/documents/{uid}/text");
    let (mut after, mut looks, mut texts) = (json!(0), 0, Vec::new());
    while !after.is_null() {
        let part = service
            .json(&format!("{path}?after={after}"), &tenant.key)
            .await;
        texts.extend(
            part["pages"]
                .as_array()
                .expect("pages")
                .iter()
                .map(|page| page["text"].as_str().expect("text").to_owned()),
        );
        after = part["next_after"].clone();
        looks += 1;
    }
    assert_eq!(
        (texts, looks > 1),
        (pages.map(str::to_owned).to_vec(), true)
    );
    let request = service
        .request(Method::GET, &path, &tenant.key)
        .header(header::ACCEPT, "text/plain");
    let whole = request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    assert_eq!(whole, pages.join("\u{c}"));
}

#[tokio::test]
async fn pieces_say_what_their_places_in_the_pages_say() {
    let pages = ["Alpha \u{1f375} beta gamma", "delta epsilon"];
    let whole: Vec<char> = pages.join("\u{c}").chars().collect();
    let pieces = [(0, 12), (8, 24), (19, whole.len())];
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let mut document = Ready::new("a.txt", &pages);
    document.pieces = &pieces;
    let uid = document.insert(&database, &tenant).await;
    let service = Service::start(database, |_| {}).await;
    let mut told = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/documents/{uid}/chunks?limit=2{cursor}");
        let part = service.json(&path, &tenant.key).await;
        assert_eq!(part["total_chunks"], json!(3));
        told.extend(part["chunks"].as_array().expect("pieces").clone());
        match part["next_cursor"].as_i64() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for (at, ((start, end), piece)) in pieces.iter().zip(&told).enumerate() {
        let text: String = whole[*start..*end].iter().collect();
        assert_eq!((&piece["seq"], &piece["text"]), (&json!(at), &json!(text)));
        assert_eq!(
            (&piece["start"], &piece["end"]),
            (&json!(start), &json!(end))
        );
    }
    assert_eq!(told.len(), 3);
    assert_eq!(
        (&told[1]["page"], &told[1]["page_to"]),
        (&json!(1), &json!(2))
    );
}

#[tokio::test]
async fn the_file_is_handed_out_to_be_saved_whole_or_in_parts() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let long = "<script>alert(1)</script> ".repeat(10_000);
    let pages = [long.as_str()];
    let document = Ready::new("Ü \"x\".html", &pages);
    let uid = document.insert(&database, &tenant).await;
    database
        .run("UPDATE documents SET mime_type = 'text/html'")
        .await;
    let service = Service::start(database, |_| {}).await;
    let path = format!("/api/documents/{uid}/file");
    assert_eq!(
        service.refused(&path, &tenant.key).await.1["code"],
        json!("file_missing")
    );
    service.keep(&tenant, &document.bytes()).await;

    let response = service.get(&path, &tenant.key).await;
    assert_eq!(response.status().as_u16(), 200);
    let headers = response.headers().clone();
    assert_eq!(
        headers[header::CONTENT_DISPOSITION],
        "attachment; filename=\"_ _x_.html\"; filename*=UTF-8''%C3%9C%20%22x%22.html"
    );
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(
        headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("text")
            .contains("sandbox")
    );
    assert_eq!(
        headers[header::CONTENT_LENGTH],
        document.bytes().len().to_string()
    );
    assert_eq!(response.bytes().await.expect("the file"), document.bytes());

    let part = async |range: &str| {
        let request = service
            .request(Method::GET, &path, &tenant.key)
            .header(header::RANGE, range);
        let response = request.send().await.expect("an answer");
        let range = response
            .headers()
            .get(header::CONTENT_RANGE)
            .map(|range| range.to_str().expect("text").to_owned());
        (
            response.status().as_u16(),
            range,
            response.bytes().await.expect("bytes"),
        )
    };
    let length = document.bytes().len();
    let (status, range, bytes) = part("bytes=100000-199999").await;
    assert_eq!(
        (status, range.as_deref()),
        (206, Some(format!("bytes 100000-199999/{length}").as_str()))
    );
    assert_eq!(bytes, document.bytes()[100_000..200_000]);
    let (status, range, _) = part("bytes=99999999-").await;
    assert_eq!(
        (status, range.as_deref()),
        (416, Some(format!("bytes */{length}").as_str()))
    );
    let request = service
        .request(Method::GET, &path, &tenant.key)
        .header(header::IF_NONE_MATCH, &headers[header::ETAG]);
    assert_eq!(
        request.send().await.expect("an answer").status().as_u16(),
        304
    );
}

#[tokio::test]
async fn usage_counts_what_the_tenant_has() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    Ready::new("a.txt", &["One.", "Two."])
        .insert(&database, &one)
        .await;
    in_state(&database, &one, "process_status = 'Error'").await;
    Ready::new("b.txt", &["One."])
        .insert(&database, &other)
        .await;
    let service = Service::start(database, |_| {}).await;
    for path in ["/api/user/stats", "/api/user/profile"] {
        let usage = service.json(path, &one.key).await;
        assert_eq!(
            (&usage["total_documents"], &usage["total_chunks"]),
            (&json!(2), &json!(3))
        );
        assert_eq!(usage["used_bytes"], json!(9 + 10));
        assert_eq!(usage["free_bytes"], json!((500 << 20) - 19));
        assert_eq!(
            usage["documents_by_status"],
            json!({"queued": 0, "processing": 0, "ready": 1, "failed": 1, "cancelled": 0})
        );
    }
}

#[tokio::test]
async fn health_is_looked_up_and_not_claimed() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    in_state(
        &database,
        &tenant,
        "process_status = 'Queued', process_due_at = now() - interval '1 hour'",
    )
    .await;
    let service = Service::start(database, |_| {}).await;
    let health = service.json("/api/health", "").await;
    assert_eq!(
        (&health["status"], &health["service"]),
        (&json!("healthy"), &json!("Gleaner"))
    );
    assert_eq!(
        (&health["checks"]["database"], &health["checks"]["storage"]),
        (&json!("ok"), &json!("ok"))
    );
    assert!(
        health["checks"]["oldest_queued_seconds"]
            .as_f64()
            .is_some_and(|age| (3_599.0..3_700.0).contains(&age))
    );

    // A file in the place of the folder: no file can be written below.
    let other = TestDatabase::new().await;
    let broken = Service::start(other, |config| {
        let section = config.section_mut::<gleaner::documents::config::Documents>();
        section.storage = "/dev/null/nowhere".to_owned();
    })
    .await;
    let (status, body) = broken.refused("/api/health", "").await;
    assert_eq!(
        (status, &body["status"], &body["checks"]["storage"]),
        (503, &json!("unhealthy"), &json!("failed"))
    );
    assert_eq!(body["checks"]["database"], json!("ok"));
}

#[tokio::test]
async fn commands_show_the_same() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "acme").await;
    let uid = Ready::new(
        "kettles.txt",
        &["A copper kettle.", "A steel & iron kettle."],
    )
    .insert(&database, &tenant)
    .await;
    let run = |arguments: &[&str]| {
        let mut all = vec!["documents"];
        all.extend(arguments);
        gleaner(Some(&database), &all)
    };
    let listed = run(&["list", "--tenant", "acme", "--json"]);
    assert_eq!(listed.json()[0]["document_id"], json!(uid));
    assert!(
        run(&["list", "--tenant", &tenant.uid])
            .stdout
            .contains("kettles.txt")
    );
    assert_eq!(
        run(&["list", "--tenant", "acme", "--status", "failed", "--json"]).json(),
        json!([])
    );
    let shown = run(&["show", &uid, "--tenant", "acme", "--json"]).json();
    assert_eq!(
        (&shown["filename"], &shown["message"]),
        (&json!("kettles.txt"), &json!("Ready"))
    );
    assert_eq!(
        run(&["show", &uid, "--tenant", "acme", "--page", "2"]).stdout,
        "A steel & iron kettle.\n"
    );
    let found = run(&["search", "--tenant", "acme", "--json", "kettle", "-copper"]).json();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(found[0]["page"], json!(2));
    let told = run(&["search", "--tenant", "acme", "steel"]).stdout;
    assert!(
        told.contains("page 2  kettles.txt") && told.contains("A *steel* & iron kettle."),
        "{told}"
    );
    for wrong in [
        &["show", NOWHERE, "--tenant", "acme"][..],
        &["show", "1", "--tenant", "acme"],
        &["list", "--tenant", "nobody"],
        &["search", "--tenant", "acme", "-copper"],
    ] {
        assert_eq!(run(wrong).code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn clients_that_know_three_words_are_told_no_others() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let queued = in_state(&database, &tenant, "process_status = 'Queued'").await;
    let cancelled = in_state(&database, &tenant, "process_status = 'Cancelled'").await;
    let service = Service::start(database, |config| {
        let section = config.section_mut::<gleaner::documents::config::Documents>();
        section.compat_statuses = true;
    })
    .await;
    for (uid, word, state) in [
        (&queued, "processing", "PENDING"),
        (&cancelled, "failed", "REVOKED"),
    ] {
        let status = service
            .json(&format!("/api/documents/{uid}/status"), &tenant.key)
            .await;
        assert_eq!(
            (&status["status"], &status["task_state"]),
            (&json!(word), &json!(state))
        );
        let document = service
            .json(&format!("/api/documents/{uid}"), &tenant.key)
            .await;
        assert_eq!(document["status"], json!(word));
    }
}
