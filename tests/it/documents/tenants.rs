//! Tenants and their keys, as operators manage them; and files added from the command line.

use gleaner::secret::Secret;
use reqwest::Method;
use serde_json::{Value, json};

use super::desk::{Answer, Desk};
use crate::cli::gleaner;
use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn operators_create_tenants_and_change_what_they_may() {
    let desk = Desk::start(|config| config.http.admin_token = Secret::new("the-admin-token")).await;
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        let mut request = desk.request(method, path, "the-admin-token");
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request).await
    };
    let path = "/api/v1/tenants";
    let made = ask(
        Method::POST,
        path,
        Some(json!({"name": "acme", "quota_bytes": 1_000})),
    )
    .await;
    assert_eq!(made.status, 201, "{made:?}");
    let (uid, key) = (
        &made.body["tenant"]["uid"],
        made.body["key"].as_str().expect("a key"),
    );
    let one = format!("{path}/{}", uid.as_str().expect("a uid"));
    assert_eq!(
        ask(Method::POST, path, Some(json!({"name": "acme"})))
            .await
            .status,
        409
    );
    assert_eq!(
        ask(Method::POST, path, Some(json!({"name": " "})))
            .await
            .status,
        400
    );
    let listed = ask(Method::GET, path, None).await;
    assert_eq!(listed.body["tenants"][0]["name"], "acme");
    let wish = json!({"quota_bytes": 5, "tier": 3, "max_running": 1, "max_queued": 2});
    let changed = ask(Method::PATCH, &one, Some(wish)).await;
    assert_eq!(
        (changed.status, &changed.body["tenant"]["tier"]),
        (200, &json!(3))
    );
    for body in [
        json!({}),
        json!({"tier": 101}),
        json!({"quota": 1}),
        json!({"max_running": 0}),
    ] {
        assert_eq!(ask(Method::PATCH, &one, Some(body)).await.status, 400);
    }
    assert_eq!(
        ask(
            Method::PATCH,
            "/api/v1/tenants/nobody",
            Some(json!({"tier": 1}))
        )
        .await
        .status,
        404
    );
    // A key more, which is revoked.
    let keys = format!("{one}/keys");
    let second = ask(
        Method::POST,
        &keys,
        Some(json!({"name": "laptop", "scope": "read", "expires_in_days": 7})),
    )
    .await;
    assert_eq!(second.status, 201, "{second:?}");
    let listed = ask(Method::GET, &keys, None).await;
    assert_eq!(listed.body["keys"].as_array().map(Vec::len), Some(2));
    assert!(
        !listed
            .body
            .to_string()
            .contains(second.body["key"].as_str().expect("a key"))
    );
    let revoked = format!("{keys}/{}", second.body["id"].as_str().expect("an id"));
    assert_eq!(ask(Method::DELETE, &revoked, None).await.status, 200);
    assert_eq!(
        ask(Method::DELETE, &format!("{keys}/x"), None).await.status,
        404
    );
    // Of the first the work goes on, until the tenant is shut out.
    let cancel = "/api/documents/00000000-0000-4000-8000-000000000000/cancel";
    assert_eq!(desk.send(Method::POST, cancel, key).await.status, 404);
    let second_key = second.body["key"].as_str().expect("a key");
    assert_eq!(
        desk.send(Method::POST, cancel, second_key).await.status,
        401
    );
    assert_eq!(
        ask(Method::PATCH, &one, Some(json!({"disabled": true})))
            .await
            .status,
        200
    );
    assert_eq!(desk.send(Method::POST, cancel, key).await.status, 401);
    assert_eq!(
        ask(Method::PATCH, &one, Some(json!({"disabled": false})))
            .await
            .status,
        200
    );
    assert_eq!(desk.send(Method::POST, cancel, key).await.status, 404);
    // None of it is for tenants.
    assert_eq!(desk.send(Method::GET, path, key).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_the_same() {
    let database = TestDatabase::new().await;
    let run = |arguments: &[&str]| gleaner(Some(&database), arguments);
    let made = run(&["tenant", "create", "acme", "--quota", "100", "--json"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(
        made.json()["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("gld_"))
    );
    assert_eq!(run(&["tenant", "create", "acme"]).code, 2);
    assert_eq!(
        run(&["tenant", "quota", "acme", "--bytes", "7", "--tier", "2"]).code,
        0
    );
    assert_eq!(run(&["tenant", "quota", "acme"]).code, 2);
    let usage = run(&["tenant", "usage", "acme", "--json"]).json();
    assert_eq!(
        (&usage["quota_bytes"], &usage["tier"]),
        (&json!(7), &json!(2))
    );
    let key = run(&[
        "tenant", "key", "create", "acme", "--scope", "read", "--json",
    ])
    .json();
    let id = key["id"].as_str().expect("an id");
    assert_eq!(run(&["tenant", "key", "revoke", "acme", id]).code, 0);
    assert_eq!(run(&["tenant", "key", "revoke", "acme", "x"]).code, 2);
    let keys = run(&["tenant", "key", "list", "acme", "--json"]).json();
    let states: Vec<bool> = keys
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["revoked_at"].is_null())
        .collect();
    assert_eq!(states, [true, false]);
    assert_eq!(run(&["tenant", "disable", "acme"]).code, 0);
    assert!(run(&["tenant", "list"]).stdout.contains("disabled"));
    assert_eq!(run(&["tenant", "enable", "acme"]).code, 0);
    assert_eq!(run(&["tenant", "usage", "nobody"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_added_from_the_command_line() {
    let database = TestDatabase::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let storage = database.folder();
    let config = folder.path().join("gleaner.toml");
    let text = format!(
        "[documents]\nstorage = {:?}\nmax_file_bytes = 2000\n",
        storage.display().to_string()
    );
    std::fs::write(&config, text).expect("written");
    for (name, bytes) in [
        ("a.txt", &b"hello"[..]),
        ("b.pdf", b"MZ\x90\0"),
        ("c.txt", &[b'x'; 1_000]),
        ("d.txt", b""),
        ("e.txt", &[b'x'; 3_000]),
    ] {
        std::fs::write(folder.path().join(name), bytes).expect("written");
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let config = config.display().to_string();
    let run = |arguments: &[&str]| {
        gleaner(
            Some(&database),
            &[arguments, &["--config", &config, "--json"]].concat(),
        )
    };
    assert_eq!(run(&["tenant", "create", "acme", "--quota", "500"]).code, 0);
    let added = run(&["documents", "add", &file("a.txt"), "--tenant", "acme"]);
    assert_eq!(added.code, 0, "{added:?}");
    let result = &added.json()[0];
    assert_eq!(
        (&result["filename"], &result["status"], &result["duplicate"]),
        (&json!("a.txt"), &json!("queued"), &json!(false))
    );
    let names = ["a.txt", "b.pdf", "c.txt", "d.txt", "e.txt", "none.txt"].map(file);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mixed = run(&[&["documents", "add", "--tenant", "acme"], &names[..]].concat());
    assert_eq!(mixed.code, 1);
    let mixed = mixed.json();
    assert_eq!(mixed[0]["duplicate"], true);
    for (at, why) in [
        (1, "a program"),
        (2, "the storage quota is used up"),
        (3, "it is empty"),
        (4, "it has 3000 bytes"),
        (5, "it cannot be read"),
    ] {
        let error = mixed[at]["error"].as_str().unwrap_or_default();
        assert!(error.contains(why), "{at}: {error}");
    }
    let account =
        "SELECT used_bytes, reserved_bytes, (SELECT count(*) FROM reservation) FROM tenant";
    assert_eq!(database.rows(account).await, ["5|0|0"]);
    let id = result["document_id"].as_str().expect("a document");
    assert_eq!(
        run(&["documents", "cancel", id, "--tenant", "acme"]).json()[0]["status"],
        "cancelled"
    );
    assert_eq!(
        run(&["documents", "retry", id, "--tenant", "acme"]).json()[0]["status"],
        "queued"
    );
    assert_eq!(
        run(&["documents", "delete", id, "--tenant", "acme"]).json()[0]["status"],
        "deleted"
    );
    assert_eq!(
        run(&["documents", "delete", id, "--tenant", "acme"]).code,
        1
    );
    assert_eq!(database.rows(account).await, ["0|0|0"]);
    assert_eq!(
        run(&["documents", "add", &file("a.txt"), "--tenant", "nobody"]).code,
        2
    );
}
