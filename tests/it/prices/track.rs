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
