//! `recategorise`: changed rules over stored pages, without undoing what a person decided.

use serde_json::{Value, json};

use crate::cli::{Ran, gleaner};
use crate::support::TestDatabase;

/// Pages as an import of older rules left them. The rules of today make of their addresses: contact, post, nothing.
const PAGES: &str = "
    INSERT INTO domain (domain, registrable_domain) VALUES ('a.example.com', 'example.com'), ('b.example.com', 'example.com');
    INSERT INTO page (domain_id, url, page_type, page_rule, page_confidence, rules_version, path_depth, status, curation_status, curation_error)
    SELECT domain.id, 'https://' || domain || path, old_type, old_rule, 0.2, 0, 1, page_status, stage, error
    FROM domain, (VALUES
        ('/contact', 'unknown', 'none', 'New', NULL, NULL),
        ('/contact-us', 'blog', 'old', 'New', 'Filtered', 'old'),
        ('/kontakt', 'unknown', 'none', 'Not a Fit', NULL, NULL),
        ('/impressum', 'unknown', 'other_site', 'New', 'Filtered', 'other_site'),
        ('/contact.php', 'contact_root', 'old', 'New', NULL, NULL),
        ('/contact.html', 'unknown', 'none', 'New', 'Completed', NULL),
        ('/blog/post', 'contact_root', 'old', 'New', NULL, NULL),
        ('/blog/read-me', 'unknown', 'none', 'Selected', 'Completed', NULL),
        ('/something', 'blog', 'old', 'New', 'Filtered', 'old'),
        ('/something-else', 'blog', 'old', 'New', 'Filtered', 'by hand')
    ) AS old(path, old_type, old_rule, page_status, stage, error)";

const STATES: &str = "SELECT regexp_replace(url, 'https://[ab].example.com', ''), page_type, page_rule, page.status,
    coalesce(curation_status, '-'), coalesce(curation_error, '-') FROM page JOIN domain ON domain.id = domain_id
    WHERE domain = 'a.example.com' ORDER BY page.id";

fn recategorise(database: &TestDatabase, flags: &[&str]) -> Ran {
    let mut arguments = vec!["recategorise", "--json"];
    arguments.extend(flags);
    gleaner(Some(database), &arguments)
}

/// pages, changed, queued, filtered, freed.
fn numbers(ran: &Ran) -> [i64; 5] {
    let summary = ran.json();
    ["pages", "changed", "queued", "filtered", "freed"]
        .map(|name| summary[name].as_i64().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_rules_reach_stored_pages_and_people_keep_their_say() {
    let database = TestDatabase::new().await;
    database.run(PAGES).await;
    let before = database.rows(STATES).await;

    let preview = recategorise(&database, &["--dry-run"]);
    assert_eq!(numbers(&preview), [20, 20, 4, 2, 2]);
    assert_eq!(database.rows(STATES).await, before);

    let one = recategorise(&database, &["--domain", "https://a.example.com/"]);
    assert_eq!(numbers(&one), [10, 10, 2, 1, 1], "{one:?}");
    let summary: Value = one.json();
    assert_eq!(summary["categories"]["unknown -> contact_root"], json!(3));
    assert_eq!(summary["categories"]["contact_root -> blog"], json!(1));
    let after = database.rows(STATES).await;
    let expected = [
        "/contact|contact_root|contact|Selected|Queued|-",
        "/contact-us|contact_root|contact|Selected|Queued|-",
        "/kontakt|contact_root|contact|Not a Fit|-|-",
        "/impressum|legal_root|other_site|New|Filtered|other_site",
        "/contact.php|contact_root|contact|New|-|-",
        "/contact.html|contact_root|contact|New|Completed|-",
        "/blog/post|blog|below-blog|New|Filtered|below-blog",
        "/blog/read-me|blog|below-blog|Selected|Completed|-",
        "/something|unknown|none|New|-|-",
        "/something-else|unknown|none|New|Filtered|by hand",
    ];
    assert_eq!(after, expected);

    let again = recategorise(&database, &["--domain", "a.example.com"]);
    assert_eq!(numbers(&again), [10, 0, 0, 0, 0]);
    let rest = recategorise(&database, &[]);
    assert_eq!(numbers(&rest), [20, 10, 2, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_selected_where_nothing_advances_by_itself() {
    let database = TestDatabase::new().await;
    database.run(PAGES).await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("gleaner.toml");
    let text = "[workflows.sitemap-import.options]\nadvance = false\n";
    std::fs::write(&config, text).expect("a file");
    let config = config.to_string_lossy();
    let ran = gleaner(Some(&database), &["--config", &config, "recategorise"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let selected = database
        .rows("SELECT count(*)::text FROM page WHERE status = 'Selected'")
        .await;
    assert_eq!(selected, ["2"]);
    assert!(ran.stdout.contains("20 pages under rules"), "{ran:?}");
    assert!(
        ran.stdout.contains(" 0 queued, 2 filtered, 4 freed"),
        "{ran:?}"
    );
}

#[test]
fn a_domain_that_is_none_is_refused() {
    let ran = gleaner(None, &["recategorise", "--domain"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

/// A page that may not be written is told of, and all others are.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_written_keeps_no_other_from_it() {
    let database = TestDatabase::new().await;
    database.run(PAGES).await;
    crate::support::refuse::refuse(&database, "page", "UPDATE", "NEW.id IN (2, 15)").await;
    for flags in [&["--dry-run"][..], &[]] {
        let ran = recategorise(&database, flags);
        assert_eq!(ran.code, 1, "{ran:?}");
        let summary = ran.json();
        assert_eq!(
            (&summary["pages"], &summary["changed"]),
            (&json!(20), &json!(18)),
            "{summary}"
        );
        let refused = summary["refused"].as_array().expect("a list");
        let ids: Vec<i64> = refused
            .iter()
            .filter_map(|own| own["id"].as_i64())
            .collect();
        assert_eq!(ids, [2, 15]);
        let reason = refused[0]["reason"].as_str().expect("a text");
        assert!(reason.contains("the books are closed"), "{reason}");
    }
    assert_eq!(
        database
            .count("SELECT count(*) FROM page WHERE rules_version > 0")
            .await,
        18
    );
}
