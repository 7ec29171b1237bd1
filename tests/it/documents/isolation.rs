//! Tenants are kept apart: on every route, in lists, in the search, and by the database itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gleaner::documents::key::Scope;
use regex::Regex;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::documents::{Ready, Service, Tenant};

/// What a route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The document that it names.
    Document,
    /// All that the tenant has, or the tenant.
    Tenant,
    /// The upload that it names.
    Upload,
    /// Nobody: it needs no key.
    Nobody,
    /// Whoever asks: session.rs tests it.
    Oneself,
}

/// All that is served to tenants. `writes` where a key that may only read is refused.
pub(crate) const ROUTES: &[(&str, &str, About, bool)] = &[
    ("GET", "/api/documents", About::Tenant, false),
    ("GET", "/api/documents/events", About::Tenant, false),
    ("GET", "/api/documents/{id}", About::Document, false),
    ("GET", "/api/documents/{id}/status", About::Document, false),
    ("GET", "/api/documents/{id}/events", About::Document, false),
    ("GET", "/api/documents/{id}/text", About::Document, false),
    ("GET", "/api/documents/{id}/chunks", About::Document, false),
    ("GET", "/api/documents/{id}/file", About::Document, false),
    ("GET", "/api/search", About::Tenant, false),
    ("GET", "/api/user/stats", About::Tenant, false),
    ("GET", "/api/user/profile", About::Tenant, false),
    ("GET", "/api/health", About::Nobody, false),
    ("POST", "/api/documents/upload", About::Tenant, true),
    ("POST", "/api/documents/upload-batch", About::Tenant, true),
    ("DELETE", "/api/documents/{id}", About::Document, true),
    ("PUT", "/api/documents/{id}/rename", About::Document, true),
    ("POST", "/api/documents/{id}/cancel", About::Document, true),
    ("POST", "/api/documents/{id}/retry", About::Document, true),
    (
        "POST",
        "/api/documents/{id}/reprocess",
        About::Document,
        true,
    ),
    (
        "POST",
        "/api/documents/{id}/password",
        About::Document,
        true,
    ),
    ("OPTIONS", "/api/uploads", About::Nobody, false),
    ("POST", "/api/uploads", About::Tenant, true),
    ("OPTIONS", "/api/uploads/{id}", About::Nobody, false),
    ("HEAD", "/api/uploads/{id}", About::Upload, false),
    ("PATCH", "/api/uploads/{id}", About::Upload, true),
    ("DELETE", "/api/uploads/{id}", About::Upload, true),
    ("GET", "/api/session", About::Oneself, false),
    ("POST", "/api/session", About::Oneself, false),
    ("DELETE", "/api/session", About::Oneself, false),
    ("GET", "/api/auth/{provider}", About::Oneself, false),
    ("POST", "/api/auth/{provider}", About::Oneself, false),
];

/// A route that is served, and stands nowhere above, is one that nobody has thought about.
#[test]
fn every_route_is_listed() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/documents/http.rs")];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/documents/http");
    files.extend(
        fs::read_dir(folder)
            .expect("a folder of ours")
            .flatten()
            .map(|entry| entry.path()),
    );
    let route = Regex::new(
        r#"\.route\(\s*(?:"([^"]+)"|([^",\s]+))\s*,((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)"#,
    )
    .expect("a pattern");
    let method =
        Regex::new(r"\b(get|post|put|patch|delete|head|options|any)\(").expect("a pattern");
    let mut served = BTreeSet::new();
    // The page's own files are the same for everybody.
    let tells = |file: &&PathBuf| file.is_file() && !file.ends_with("http/page.rs");
    for file in files.iter().filter(tells) {
        let text = fs::read_to_string(file).expect("a file of ours");
        assert_eq!(
            text.matches(".route(").count(),
            route.find_iter(&text).count(),
            "{}: a route is not written as it can be read here",
            file.display()
        );
        for found in route.captures_iter(&text) {
            let named = found.get(2).map(|name| {
                let written = format!(r#"let {} = "([^"]+)";"#, name.as_str());
                let written = Regex::new(&written).expect("a pattern").captures(&text);
                written
                    .map(|written| written[1].to_owned())
                    .unwrap_or_default()
            });
            let path = found.get(1).map(|path| path.as_str().to_owned());
            let path = path.or(named).unwrap_or_default();
            assert!(
                !path.is_empty(),
                "{}: a path is not written out",
                file.display()
            );
            // Operators' routes are behind another token, and what is said in place of all is no route.
            if path.starts_with("/api/v1/") || path.contains("{*") {
                continue;
            }
            for method in method.captures_iter(&found[3]) {
                served.insert((method[1].to_uppercase(), path.clone()));
            }
        }
    }
    let listed: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(served, listed);
}

async fn ask(service: &Service, (method, path): (&str, &str), id: &str, key: &str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut path = path.replace("{id}", id);
    if path == "/api/search" {
        path.push_str("?q=kettle");
    }
    let mut request = service.request(method.clone(), &path, key);
    if path.starts_with("/api/uploads") {
        request = request
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", "0");
        if method == Method::PATCH {
            let kind = "application/offset+octet-stream";
            request = request.header("content-type", kind).body("x");
        }
    } else if method != Method::GET {
        request = request.json(&json!({ "new_filename": "x.txt", "password": "x" }));
    }
    request.send().await.expect("an answer")
}

/// Status, and the whole answer to somebody who is refused.
async fn refusal(service: &Service, route: (&str, &str), id: &str, key: &str) -> (u16, Value) {
    let response = ask(service, route, id, key).await;
    let status = response.status().as_u16();
    assert!(status >= 400, "{route:?} {id} is answered with {status}");
    let is_bare = route.0 == "HEAD";
    let body = if is_bare {
        Value::Null
    } else {
        response.json().await.expect("JSON")
    };
    (status, body)
}

#[tokio::test]
async fn ids_of_others_are_ids_of_nobody_on_every_route() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    let document = Ready::new("same.txt", &["A kettle."]);
    let own = document.insert(&database, &one).await;
    let theirs = document.insert(&database, &other).await;
    let deleted = document.insert(&database, &one).await;
    database
        .run(&format!(
            "UPDATE documents SET deleted_at = now() WHERE uid = '{deleted}'"
        ))
        .await;
    let reader = one.key(&database, Scope::Read).await;
    let revoked = one.key(&database, Scope::Write).await;
    let expired = one.key(&database, Scope::Write).await;
    let shut_out = Tenant::create(&database, "c").await;
    for (key, change) in [
        (&revoked, "revoked_at = now()"),
        (&expired, "expires_at = now()"),
    ] {
        let digest: String = gleaner::documents::key::hash(key)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        database
            .run(&format!(
                "UPDATE api_key SET {change} WHERE digest = '\\x{digest}'"
            ))
            .await;
    }
    database
        .run(&format!(
            "UPDATE tenant SET disabled_at = now() WHERE id = {}",
            shut_out.id
        ))
        .await;
    let upload: String = database
        .scalar(&format!(
            "INSERT INTO upload (tenant_id, length, filename, expires_at) VALUES ({}, 5, 'b.txt', now() + interval '1 hour') \
             RETURNING id::text",
            other.id
        ))
        .await;
    let number: i64 = database
        .scalar(&format!("SELECT id FROM documents WHERE uid = '{own}'"))
        .await;
    let service = Service::start(database, |_| {}).await;
    for tenant in [&one, &other] {
        service.keep(tenant, &document.bytes()).await;
    }

    for (method, path, about, writes) in ROUTES.iter().copied() {
        let route = (method, path);
        if about == About::Oneself {
            continue;
        }
        if about == About::Nobody {
            assert!(
                ask(&service, route, &own, "").await.status().is_success(),
                "{route:?}"
            );
            continue;
        }
        // Nobody, with whatever key that is none, learns nothing: not even whether there is such a document.
        let unknown = format!("gld_{}", "0".repeat(64));
        for key in ["", "x", "gld_", &unknown, &revoked, &expired, &shut_out.key] {
            let refused = refusal(&service, route, &own, key).await;
            assert_eq!(refused.0, 401, "{route:?}");
            assert_eq!(
                refused,
                refusal(&service, route, "7", key).await,
                "{route:?}"
            );
        }
        if writes {
            assert_eq!(
                refusal(&service, route, &own, &reader).await.0,
                403,
                "{route:?}"
            );
        } else if about != About::Upload {
            let status = ask(&service, route, &own, &reader).await.status();
            assert!(status.is_success(), "{route:?}: {status}");
        }
        if about == About::Upload {
            let nobody = "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b";
            let nobodys = refusal(&service, route, nobody, &one.key).await;
            assert_eq!(nobodys.0, 404, "{route:?}");
            for id in [upload.as_str(), &theirs, "7"] {
                let refused = refusal(&service, route, id, &one.key).await;
                assert_eq!(refused, nobodys, "{route:?} {id}");
            }
        }
        if about == About::Document {
            let nobodys = refusal(
                &service,
                route,
                "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b",
                &one.key,
            )
            .await;
            assert_eq!(
                (nobodys.0, &nobodys.1["code"]),
                (404, &json!("not_found")),
                "{route:?}"
            );
            for id in [
                theirs.as_str(),
                &deleted,
                &number.to_string(),
                "-1",
                "%00",
                "..%2F..",
                "%ff",
                &"a".repeat(5_000),
                &theirs.to_uppercase(),
            ] {
                assert_eq!(
                    refusal(&service, route, id, &one.key).await,
                    nobodys,
                    "{route:?} {id}"
                );
            }
        }
    }
}

#[tokio::test]
async fn lists_search_and_usage_know_nothing_of_others() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    let own = Ready::new("report.txt", &["The copper kettle of A."])
        .insert(&database, &one)
        .await;
    let text = ["The secret kettle of B.", "Another kettle kettle kettle."];
    for _ in 0..40 {
        Ready::new("report.txt", &text)
            .insert(&database, &other)
            .await;
    }
    let alone = TestDatabase::new().await;
    let solo = Tenant::create(&alone, "a").await;
    Ready::new("report.txt", &["The copper kettle of A."])
        .insert(&alone, &solo)
        .await;
    let service = Service::start(database, |_| {}).await;

    let listed = service.json("/api/documents", &one.key).await;
    assert_eq!(
        (
            listed["count"].clone(),
            listed["documents"][0]["id"].clone()
        ),
        (json!(1), json!(own))
    );
    let found = service.json("/api/search?q=kettle+secret", &one.key).await;
    assert_eq!(found["count"], json!(1));
    assert_eq!(found["results"][0]["document_id"], json!(own));
    assert_eq!(
        service.json("/api/search?q=secret", &one.key).await["count"],
        json!(0)
    );
    assert_eq!(
        service.json("/api/user/stats", &one.key).await["total_documents"],
        json!(1)
    );
    // Cursors of theirs lead nowhere but into what is one's own.
    let theirs = service.json("/api/documents?limit=1", &other.key).await;
    let cursor = theirs["next_cursor"].as_str().expect("a cursor");
    let behind = service
        .json(&format!("/api/documents?cursor={cursor}"), &one.key)
        .await;
    assert!(
        behind["documents"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|document| document["id"] == json!(own))
    );
    // Nor do the scores tell how common a word is elsewhere.
    let lonely = Service::start(alone, |_| {}).await;
    let score = async |service: &Service, key: &str| {
        service.json("/api/search?q=kettle", key).await["results"][0]["score"].clone()
    };
    assert_eq!(
        score(&service, &one.key).await,
        score(&lonely, &solo.key).await
    );
}

/// The tables that are the tenants'.
const TABLES: [&str; 10] = [
    "tenant",
    "api_key",
    "tenant_identity",
    "blob",
    "documents",
    "document_page",
    "chunk",
    "embedding",
    "upload",
    "idempotency",
];

#[tokio::test]
async fn the_database_shows_a_tenant_its_own_rows_alone() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    for tenant in [&one, &other] {
        Ready::new("a.txt", &["A kettle."])
            .insert(&database, tenant)
            .await;
        database
            .run(&format!(
                "INSERT INTO tenant_identity (provider, subject, tenant_id) VALUES ('test', '{0}', {0}); \
                 INSERT INTO upload (tenant_id, length, filename, expires_at) VALUES ({0}, 1, 'x', now()); \
                 INSERT INTO embedding (document_id, seq, tenant_id, model, vector) \
                     SELECT id, 0, tenant_id, 'm', '{{1,2}}'::real[] FROM documents WHERE tenant_id = {0}; \
                 INSERT INTO idempotency (tenant_id, key, document_id) SELECT {0}, 'k', id FROM documents WHERE tenant_id = {0}",
                tenant.id
            ))
            .await;
    }
    // Whatever has a tenant is in the list, and protected.
    let with_tenants = database
        .rows("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relrowsecurity ORDER BY 1")
        .await;
    let mut known: Vec<&str> = TABLES.to_vec();
    known.sort_unstable();
    let missing: Vec<&&str> = known
        .iter()
        .filter(|table| !with_tenants.iter().any(|own| own == **table))
        .collect();
    assert!(
        missing.is_empty(),
        "without row-level security: {missing:?}"
    );
    let unprotected = database
        .rows(
            "SELECT DISTINCT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid \
             WHERE attname = 'tenant_id' AND relkind IN ('r', 'p') AND NOT relrowsecurity",
        )
        .await;
    assert_eq!(unprotected, [""; 0]);

    for table in &with_tenants {
        let column = if table == "tenant" { "id" } else { "tenant_id" };
        let seen = async |entered: &str| {
            let client = database.client().await;
            client
                .batch_execute(&format!("BEGIN; {entered}"))
                .await
                .expect("a transaction");
            let sql = format!(
                "SELECT count(*), count(*) FILTER (WHERE {column} <> {}) FROM {table}",
                one.id
            );
            let row = client
                .query_one(&sql, &[])
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
            (row.get::<_, i64>(0), row.get::<_, i64>(1))
        };
        let all = seen("").await;
        if TABLES.contains(&table.as_str()) {
            assert!(all.0 > all.1 && all.1 > 0, "{table}: {all:?}");
        }
        let entered = format!(
            "SET LOCAL gleaner.tenant = '{}'; SET LOCAL ROLE gleaner_tenant",
            one.id
        );
        assert_eq!(seen(&entered).await, (all.0 - all.1, 0), "{table}");
        assert_eq!(
            seen("SET LOCAL ROLE gleaner_tenant").await,
            (0, 0),
            "{table}"
        );
        assert_eq!(
            seen("SET LOCAL gleaner.tenant = ''; SET LOCAL ROLE gleaner_tenant").await,
            (0, 0),
            "{table}"
        );
        assert_eq!(
            seen("SET LOCAL gleaner.tenant = '999999'; SET LOCAL ROLE gleaner_tenant").await,
            (0, 0),
            "{table}"
        );
    }
}

/// What a statement that serves one tenant does to the rows of another: nothing, or it is refused.
#[tokio::test]
async fn the_database_lets_a_tenant_change_its_own_rows_alone() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    let theirs = Ready::new("a.txt", &["A kettle."])
        .insert(&database, &other)
        .await;
    Ready::new("a.txt", &["A kettle."])
        .insert(&database, &one)
        .await;
    let entered = format!(
        "BEGIN; SET LOCAL gleaner.tenant = '{}'; SET LOCAL ROLE gleaner_tenant",
        one.id
    );
    let run = async |sql: &str| {
        let client = database.client().await;
        client.batch_execute(&entered).await.expect("a transaction");
        client.execute(sql, &[]).await
    };
    for sql in [
        format!("UPDATE documents SET filename = 'x' WHERE uid = '{theirs}'"),
        format!("DELETE FROM documents WHERE uid = '{theirs}'"),
        format!("DELETE FROM chunk WHERE tenant_id = {}", other.id),
        format!(
            "UPDATE document_page SET text = 'x' WHERE tenant_id = {}",
            other.id
        ),
        format!("UPDATE tenant SET used_bytes = 0 WHERE id = {}", other.id),
    ] {
        assert_eq!(run(&sql).await.ok(), Some(0), "{sql}");
    }
    for sql in [
        format!("UPDATE documents SET tenant_id = {}", other.id),
        format!(
            "INSERT INTO blob (tenant_id, sha256, bytes, refs) VALUES ({}, sha256('x'), 1, 1)",
            other.id
        ),
        "UPDATE tenant SET quota_bytes = 1".to_owned(),
        "DELETE FROM api_key".to_owned(),
        "SELECT * FROM lease".to_owned(),
        "SELECT * FROM attempt".to_owned(),
    ] {
        assert!(run(&sql).await.is_err(), "{sql}");
    }
    // The function that goes past the policies takes the tenant from the transaction alone.
    let count = async |entered: &str| -> i64 {
        let client = database.client().await;
        client.batch_execute(entered).await.expect("a transaction");
        let sql = "SELECT count(*) FROM gleaner_search('kettle', '{}', '{}', NULL, NULL, NULL, NULL) AS hit \
            JOIN chunk ON chunk.id = hit.chunk_id";
        client.query_one(sql, &[]).await.expect("a count").get(0)
    };
    assert_eq!(count(&entered).await, 1);
    assert_eq!(count("BEGIN; SET LOCAL ROLE gleaner_tenant").await, 0);
    let (document, tenant): (i64, i64) = {
        let client = database.client().await;
        let row = client
            .query_one(
                "SELECT id, tenant_id FROM documents WHERE uid = $1::text::uuid",
                &[&theirs],
            )
            .await
            .expect("a row");
        (row.get(0), row.get(1))
    };
    assert_eq!(tenant, other.id);
    let client = database.client().await;
    client.batch_execute(&entered).await.expect("a transaction");
    let sql = "SELECT count(*) FROM gleaner_search('kettle', '{}', '{}', $1, NULL, NULL, NULL)";
    let hits: i64 = client
        .query_one(sql, &[&document])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(hits, 0);
}
