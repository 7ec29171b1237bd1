//! `import`: F19 and F20 of the acceptance fixtures, and what files from the outside are like.

use std::fs;

use serde_json::{Value, json};

use crate::cli::{Ran, gleaner, gleaner_with};
use crate::support::TestDatabase;

fn import(database: &TestDatabase, kind: &str, text: &str, flags: &[&str]) -> Ran {
    let mut arguments = vec!["import", kind, "-", "--json"];
    arguments.extend(flags);
    gleaner_with(Some(database), &arguments, text)
}

/// rows, stored, duplicates, invalid, queued.
fn numbers(summary: &Value) -> [i64; 5] {
    ["rows", "stored", "duplicates", "invalid", "queued"]
        .map(|name| summary[name].as_i64().expect("a number"))
}

/// F19: header, blank line, one bad, one duplicate, three good.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_once_with_true_line_numbers() {
    let database = TestDatabase::new().await;
    let lines = [
        "domain",
        "one.example.com",
        "",
        "not a domain",
        "two.example.com",
        "ONE.example.com.",
        "three.example.com",
    ];
    for ending in ["\n", "\r\n"] {
        let text = format!("\u{feff}{}{ending}", lines.join(ending));
        let first = import(&database, "domains", &text, &[]);
        assert_eq!(first.code, 1, "{first:?}");
        let summary = first.json();
        let stored = if ending == "\n" { 3 } else { 0 };
        assert_eq!(
            numbers(&summary),
            [5, stored, 4 - stored, 1, 0],
            "{summary}"
        );
        assert_eq!(summary["errors"][0]["line"], 4, "{summary}");
        assert_eq!(summary["errors"][0]["value"], "not a domain");
    }
    assert_eq!(
        database
            .rows(
                "SELECT domain, registrable_domain, status, metadata_status FROM domain ORDER BY id"
            )
            .await,
        [
            "one.example.com|example.com|New|",
            "three.example.com|example.com|New|",
            "two.example.com|example.com|New|"
        ]
    );
}

/// F20, from a file.
#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused() {
    let database = TestDatabase::new().await;
    let text = "url\nhttp://169.254.169.254/\nhttp://localhost/x\nhttp://[::ffff:10.0.0.1]/\nhttp://intranet/\n";
    for kind in ["domains", "sitemaps", "pages"] {
        let ran = import(&database, kind, text, &["--queue"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(numbers(&ran.json()), [4, 0, 0, 4, 0], "{ran:?}");
    }
    assert_eq!(database.count("SELECT count(*) FROM domain").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_selects_and_respects_decisions() {
    let database = TestDatabase::new().await;
    let text = "a.example.com\nb.example.com\nc.example.com\n";
    assert_eq!(
        numbers(&import(&database, "domains", text, &[]).json()),
        [3, 3, 0, 0, 0]
    );
    database
        .run("UPDATE domain SET status = 'Not a Fit' WHERE domain = 'b.example.com'")
        .await;
    let more = format!("{text}d.example.com\n");
    // A dry run says the same and does nothing.
    for (flags, times) in [(&["--queue", "--dry-run"][..], 2), (&["--queue"], 1)] {
        for _ in 0..times {
            let ran = import(&database, "domains", &more, flags);
            assert_eq!(numbers(&ran.json()), [4, 1, 3, 0, 3], "{ran:?}");
        }
    }
    assert_eq!(
        database
            .rows("SELECT status, metadata_status, sitemap_status FROM domain ORDER BY domain")
            .await,
        [
            "Selected|Queued|Queued",
            "Not a Fit||",
            "Selected|Queued|Queued",
            "Selected|Queued|Queued"
        ]
    );
    assert_eq!(
        numbers(&import(&database, "domains", &more, &["--queue"]).json()),
        [4, 0, 4, 0, 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sitemaps_and_pages_bring_their_domain() {
    let database = TestDatabase::new().await;
    let sitemaps = "name;Sitemap URL\nx;https://www.example.com/sitemap.xml\ny;http://example.com/sitemap.xml\n";
    let ran = import(&database, "sitemaps", sitemaps, &["--queue"]);
    assert_eq!(numbers(&ran.json()), [2, 2, 0, 0, 2], "{ran:?}");
    assert_eq!(ran.json()["ignored_columns"], json!(["name"]));
    let pages = "https://example.com/contact?utm_source=x\nhttps://example.com/contact\nhttps://shop.example.com/a,b\n";
    let ran = import(&database, "pages", pages, &[]);
    assert_eq!(numbers(&ran.json()), [3, 2, 1, 0, 0], "{ran:?}");
    assert_eq!(
        database
            .rows("SELECT domain, status, sitemap_status FROM domain ORDER BY 1")
            .await,
        ["example.com|New|", "shop.example.com|New|"]
    );
    assert_eq!(
        database.rows("SELECT domain_id, url, discovery_method, import_status FROM sitemap_file ORDER BY url").await,
        [
            "1|http://example.com/sitemap.xml|manual|Queued",
            "1|https://www.example.com/sitemap.xml|manual|Queued"
        ]
    );
    assert_eq!(
        database.rows("SELECT url, page_type, status, curation_status, curation_priority FROM page ORDER BY url").await,
        ["https://example.com/contact|contact_root|New||1", "https://shop.example.com/a,b|unknown|New||0"]
    );
    // A page that a sitemap stored with another host of the same site is the same page.
    database.run("UPDATE page SET domain_id = 1").await;
    let ran = import(&database, "pages", pages, &[]);
    assert_eq!(numbers(&ran.json()), [3, 0, 3, 0, 0], "{ran:?}");
}

/// One address in two spellings is stored once, as it was given first; what a dry run says is what is done.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_another_spelling_is_the_same() {
    let database = TestDatabase::new().await;
    let first = "https://example.com/list?news&123\nhttps://example.com/s?b=%c3%b3&a=1\nhttps://example.com/caf%c3%a9\n";
    let second =
        "https://example.com/s?a=1&b=ó\nexample.com/café\nhttps://example.com/list?123&news\n";
    for (text, stored) in [(first, 3), (second, 1), (second, 0)] {
        for kind in ["pages", "sitemaps"] {
            for flags in [&["--dry-run"][..], &[]] {
                let ran = import(&database, kind, text, flags);
                assert_eq!(numbers(&ran.json())[1], stored, "{kind} {flags:?} {ran:?}");
            }
        }
    }
    for table in ["page", "sitemap_file"] {
        assert_eq!(
            database
                .rows(&format!("SELECT url, url_key FROM {table} ORDER BY id"))
                .await,
            [
                "https://example.com/caf%C3%A9|",
                "https://example.com/list?news&123|https://example.com/list?news&123",
                "https://example.com/s?b=%c3%b3&a=1|https://example.com/s?a=1&b=%C3%B3",
                "https://example.com/list?123&news|https://example.com/list?123&news",
            ]
        );
    }
    // A row that somebody wrote by hand has no key, and its address is its own.
    database
        .run("UPDATE page SET url = 'https://example.com/t?y=1&x=2' WHERE url LIKE '%/s?%'")
        .await;
    let ran = import(
        &database,
        "pages",
        "https://example.com/t?y=1&x=2\n",
        &["--queue"],
    );
    assert_eq!(numbers(&ran.json()), [1, 0, 1, 0, 1], "{ran:?}");
    assert_eq!(
        database
            .count("SELECT count(*) FROM page WHERE url_key IS NULL")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn places_keep_their_columns() {
    let database = TestDatabase::new().await;
    let text = "place_id,name,address,lat,lng,rating,reviews,price_level\n\
        ChIJ1,\"Caf\u{e9} \"\"Nord\"\", Kiel\",\"Street 1,\nKiel\",54.3,10.1,4.5,12,2\n\
        ChIJ2,Bad,,north,,,,\n";
    let ran = import(&database, "places", text, &["--queue"]);
    assert_eq!(ran.code, 1);
    let summary = ran.json();
    assert_eq!(numbers(&summary), [2, 1, 0, 1, 1], "{ran:?}");
    // The record before it takes two lines.
    assert_eq!(summary["errors"][0]["line"], 4);
    assert_eq!(
        database
            .rows("SELECT name, replace(formatted_address, E'\\n', '/'), latitude, rating, user_ratings_total, deep_scan_status FROM place")
            .await,
        ["Caf\u{e9} \"Nord\", Kiel|Street 1,/Kiel|54.3|4.5|12|Queued"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_streams_and_every_refusal_is_kept() {
    let database = TestDatabase::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, errors) = (
        folder.path().join("large.csv"),
        folder.path().join("errors.csv"),
    );
    let mut text = "url\n".to_owned();
    for number in 1..=12_000 {
        // Every hundredth line is refused, every tenth is the one before.
        let line = match number {
            number if number % 100 == 0 => format!("http://10.0.0.{}/\n", number / 100),
            number if number % 10 == 0 => format!("https://example.com/{}\n", number - 1),
            number => format!("https://example.com/{number}\n"),
        };
        text.push_str(&line);
    }
    fs::write(&file, &text).unwrap();
    let (file, errors) = (file.to_str().unwrap(), errors.to_str().unwrap());
    let arguments = ["import", "pages", file, "--errors", errors];
    let ran = gleaner(Some(&database), &arguments);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .ends_with("12000 rows: 10800 stored, 1080 duplicates, 120 refused, 0 queued\n"),
        "{ran:?}"
    );
    assert_eq!(ran.stderr.lines().count(), 21, "{ran:?}");
    let mut kept = csv::Reader::from_path(errors).unwrap();
    let lines: Vec<u64> = kept
        .records()
        .map(|record| record.unwrap()[0].parse().unwrap())
        .collect();
    // The header is line 1.
    assert_eq!(
        lines,
        (1..=120)
            .map(|number| number * 100 + 1)
            .collect::<Vec<u64>>()
    );
    let again = gleaner(Some(&database), &arguments);
    assert!(
        again
            .stdout
            .ends_with("12000 rows: 0 stored, 11880 duplicates, 120 refused, 0 queued\n"),
        "{again:?}"
    );
    assert_eq!(database.count("SELECT count(*) FROM page").await, 10_800);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_csv_is_told() {
    let database = TestDatabase::new().await;
    let folder = tempfile::tempdir().unwrap();
    for (bytes, text) in [
        (&b"\xff\xfeu\0r\0l\0"[..], "UTF-16"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\x1f\x8b\x08", "zcat"),
    ] {
        let file = folder.path().join("file.csv");
        fs::write(&file, bytes).unwrap();
        let ran = gleaner(
            Some(&database),
            &["import", "pages", file.to_str().unwrap()],
        );
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
    let ran = import(&database, "domains", "company name\nexample.com\n", &[]);
    assert_eq!(numbers(&ran.json()), [2, 1, 0, 1, 0]);
    assert!(
        ran.json()["errors"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("must be called one of domain"),
        "{ran:?}"
    );
    let empty = import(&database, "domains", "", &[]);
    assert_eq!((empty.code, numbers(&empty.json())), (0, [0; 5]));
}

/// A line that the table refuses costs itself, not its chunk and not what comes after.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_the_table_refuses_is_named_and_the_others_are_stored() {
    let database = TestDatabase::new().await;
    database
        .run(
            "ALTER TABLE place ADD CONSTRAINT no_ghosts CHECK (name <> 'Ghost');
             ALTER TABLE page ADD CONSTRAINT no_sale CHECK (url !~ '/sale/');
             ALTER TABLE sitemap_file ADD CONSTRAINT no_news CHECK (url !~ 'news');
             ALTER TABLE domain ADD CONSTRAINT no_spam CHECK (domain !~ 'spam')",
        )
        .await;
    let mut text = "place_id,name\n".to_owned();
    for line in 2..=7_001 {
        let name = if [3, 777, 6_000].contains(&line) {
            "Ghost"
        } else {
            "Shop"
        };
        text.push_str(&format!("p{line},{name}\n"));
    }
    let ran = import(&database, "places", &text, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary = ran.json();
    assert_eq!(
        numbers(&summary),
        [7_000, 6_997, 0, 3, 0],
        "{}",
        summary["errors"]
    );
    let told = |summary: &Value| -> Vec<i64> {
        let errors = summary["errors"].as_array().expect("a list");
        errors
            .iter()
            .filter_map(|own| own["line"].as_i64())
            .collect()
    };
    assert_eq!(told(&summary), [3, 777, 6_000]);
    let reason = summary["errors"][0]["reason"].as_str().expect("a text");
    assert!(reason.contains("no_ghosts"), "{reason}");
    assert_eq!(summary["errors"][1]["value"], "p777,Ghost");
    for (kind, lines, stored, refused) in [
        (
            "pages",
            "url\nhttps://a-example.com/1\nhttps://a-example.com/sale/2\nhttps://b-example.com/3",
            2,
            3,
        ),
        (
            "sitemaps",
            "url\nhttps://a-example.com/s.xml\nhttps://a-example.com/s2.xml\nhttps://a-example.com/news.xml",
            2,
            4,
        ),
        ("domains", "domain\nspam-example.com\nham-example.com", 1, 2),
        // The page is good, and its domain is not.
        (
            "pages",
            "url\nhttps://a-example.com/4\nhttps://spam-example.com/5",
            1,
            3,
        ),
    ] {
        let ran = import(&database, kind, lines, &["--queue"]);
        let summary = ran.json();
        assert_eq!(
            (ran.code, summary["stored"].as_i64()),
            (1, Some(stored)),
            "{kind}: {summary}"
        );
        assert_eq!(told(&summary), [refused], "{kind}: {summary}");
    }
}
