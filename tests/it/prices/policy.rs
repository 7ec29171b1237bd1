//! `gleaner policy`: what is added is as it was meant, or refused in words.

use crate::cli::gleaner;
use crate::support::TestDatabase;

#[tokio::test]
async fn policies_come_and_go() {
    let database = TestDatabase::new().await;
    for arguments in [
        &["policy", "add", "base", "all", "--every", "12h"][..],
        &[
            "policy",
            "add",
            "sale",
            "url-regex",
            "/sale/",
            "--every",
            "1h",
            "--priority",
            "20",
            "--attempts",
            "5",
            "--backoff",
            "1m",
            "--timeout",
            "90s",
        ],
        &["policy", "add", "shop", "domain", " Shop.Example "],
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(
        database
            .rows("SELECT name, selection, target, frequency, priority, max_retries, retry_backoff, timeout FROM crawl_policy ORDER BY id")
            .await,
        [
            "base|all||12:00:00|5|3|00:05:00|00:10:00",
            "sale|url_regex|/sale/|01:00:00|20|5|00:01:00|00:01:30",
            "shop|domain|shop.example|24:00:00|5|3|00:05:00|00:10:00",
        ]
    );
    let listed = gleaner(Some(&database), &["policy", "list", "--json"]).json();
    let names: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|own| own["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["sale", "shop", "base"],
        "in the order in which they decide"
    );
    assert!(
        gleaner(Some(&database), &["policy", "list"])
            .stdout
            .contains("12h")
    );

    for (arguments, text) in [
        (&["policy", "add", "x", "domain"][..], "needs a target"),
        (&["policy", "add", "x", "all", "y"], "needs a target"),
        (
            &["policy", "add", "x", "url-regex", "("],
            "the database refuses it",
        ),
        (
            &["policy", "add", "base", "all"],
            "there is a policy \"base\"",
        ),
        (
            &["policy", "add", "x", "all", "--every", "5s"],
            "--every is at least 1m",
        ),
        (
            &["policy", "add", "x", "all", "--timeout", "2d"],
            "--timeout is 1s to 1d",
        ),
        (&["policy", "remove", "sale", "nix"], "not all of these"),
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
    assert_eq!(database.count("SELECT count(*) FROM crawl_policy").await, 2);
}
