//! `gleaner track`: pages, products, tags and subscriptions, each once.

use crate::cli::{gleaner, gleaner_with};
use crate::support::TestDatabase;

#[tokio::test]
async fn a_page_is_tracked_once_and_gains_what_is_added() {
    let database = TestDatabase::new().await;
    let ran = gleaner(
        Some(&database),
        &[
            "track",
            "https://Shop.example/p/1?utm_source=x",
            "--product",
            "Kettle",
            "--tag",
            "home",
            "--subscribe",
            "ann",
            "--priority",
            "high",
            "--target",
            "99.90",
            "--currency",
            "EUR",
        ],
    );
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "1 tracked\n"),
        "{ran:?}"
    );
    // Before it is admitted, and after.
    let again = gleaner(
        Some(&database),
        &[
            "track",
            "https://Shop.example/p/1?utm_source=x",
            "--tag",
            "tea",
        ],
    );
    assert_eq!(again.code, 0, "{again:?}");
    database
        .run("INSERT INTO site (domain) VALUES ('shop.example'); UPDATE product_url SET site_id = 1, url = 'https://shop.example/p/1', \
              url_hash = encode(sha256('https://shop.example/p/1'), 'hex')")
        .await;
    let ran = gleaner_with(
        Some(&database),
        &[
            "--json",
            "track",
            "-",
            "--product",
            "Kettle",
            "--subscribe",
            "ann",
            "--priority",
            "low",
        ],
        "shop.example/p/1#reviews\n\n  https://other.example/2 \nmailto:a@b.example\n",
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary = ran.json();
    assert_eq!(summary["tracked"].as_array().map(Vec::len), Some(2));
    assert_eq!(summary["tracked"][0], 1);
    assert_eq!(summary["refused"][0]["url"], "mailto:a@b.example");
    assert_eq!(
        database
            .rows("SELECT page.id, name, tags, subscriber, priority, target_price FROM product_url AS page \
                   JOIN product ON product.id = page.product_id JOIN subscription ON product_url_id = page.id ORDER BY 1")
            .await,
        ["1|Kettle|{home,tea}|ann|low|", "2|Kettle|{}|ann|low|"]
    );
    assert_eq!(database.count("SELECT count(*) FROM product").await, 1);
    for (arguments, text) in [
        (
            &["track", "x.example", "--subscribe", "a", "--target", "-5"][..],
            "unexpected argument",
        ),
        (
            &["track", "x.example", "--subscribe", "a", "--target", "1,5"],
            "plain positive number",
        ),
        (
            &["track", "x.example", "--subscribe", "a", "--target", "0"],
            "plain positive number",
        ),
        (&["track", "x.example", "--priority", "high"], "--subscribe"),
        (
            &[
                "track",
                "x.example",
                "--subscribe",
                "a",
                "--target",
                "5",
                "--currency",
                "eu",
            ],
            "three capital letters",
        ),
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
}

/// Where a notification could never be sent to is refused when it is set, and nothing is stored.
#[tokio::test]
async fn a_webhook_that_leads_into_the_house_is_refused() {
    let database = TestDatabase::new().await;
    let track = |webhook: &str, more: &[&str]| {
        let given = [
            "track",
            "https://shop.example/p/1",
            "--subscribe",
            "ann",
            "--webhook",
            webhook,
        ];
        gleaner(Some(&database), &[&given, more].concat())
    };
    for (webhook, why) in [
        ("http://127.0.0.1:8099/h?key=hunter2", "loopback"),
        ("http://localhost/h", "loopback"),
        ("http://10.1.2.3/hook", "private"),
        ("http://2130706433/", "loopback"),
        ("http://[::1]/", "loopback"),
        ("http://169.254.169.254/latest/meta-data", "link-local"),
        ("ftp://hooks.example/", "scheme"),
        ("hooks.example", "is no URL"),
        (
            "https://u:hunter2@hooks.example/",
            "must not hold a user or a password",
        ),
    ] {
        let ran = track(webhook, &[]);
        assert_eq!(ran.code, 2, "{webhook}: {ran:?}");
        assert!(
            ran.stderr.contains("--webhook: ") && ran.stderr.contains(why),
            "{webhook}: {ran:?}"
        );
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
    assert_eq!(database.count("SELECT count(*) FROM product_url").await, 0);

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gleaner.toml");
    std::fs::write(&config, "[fetch]\nallow_networks = [\"10.1.0.0/16\"]\n").unwrap();
    let ran = track(
        "http://10.1.2.3/hook",
        &["--config", config.to_str().unwrap()],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("webhook_secret is set"), "{ran:?}");
    // Asked again without one, it stays.
    let again = gleaner(
        Some(&database),
        &["track", "https://shop.example/p/1", "--subscribe", "ann"],
    );
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        database.rows("SELECT webhook_url FROM subscription").await,
        ["http://10.1.2.3/hook"]
    );
}
