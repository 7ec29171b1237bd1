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
            "--every is 1m to 10years",
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

/// Spans that nobody means, which no time can be reckoned with.
#[tokio::test]
async fn a_policy_beyond_all_bounds_is_refused_with_the_bound() {
    let database = TestDatabase::new().await;
    for (flag, value, bound) in [
        ("--every", "170000000years", "--every is 1m to 10years"),
        ("--every", "11years", "--every is 1m to 10years"),
        ("--every", "59s", "--every is 1m to 10years"),
        ("--every", "500000000000years", "--every is 1m to 10years"),
        (
            "--backoff",
            "2years",
            "--backoff is longer than zero, and 1year at most",
        ),
        (
            "--backoff",
            "0s",
            "--backoff is longer than zero, and 1year at most",
        ),
        ("--timeout", "25h", "--timeout is 1s to 1d"),
    ] {
        let ran = gleaner(
            Some(&database),
            &["policy", "add", "odd", "all", flag, value],
        );
        assert_eq!(ran.code, 2, "{flag} {value}: {ran:?}");
        assert!(ran.stderr.contains(bound), "{flag} {value}: {ran:?}");
    }
    let ran = gleaner(
        Some(&database),
        &[
            "policy",
            "add",
            "slow",
            "all",
            "--every",
            "10years",
            "--backoff",
            "1year",
        ],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}
