//! `page/curation`.

use crate::support::app::start;
use crate::support::site::{Answer, Site};

const PAGES: &str = "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com');
    INSERT INTO page (domain_id, url, status) SELECT id, 'https://kettle-example.com/' || p, 'Selected' FROM domain,
        unnest('{contact,empty,away,file,gone}'::text[]) AS p";

const CONTACTS: &str = "SELECT kind, value, detail, source FROM contact ORDER BY kind, value";

/// F14, and what becomes of pages that are none.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_gives_every_contact_and_nothing_else() {
    let site = Site::start().await;
    site.put(
        "kettle-example.com/contact",
        Answer::html(
            r#"<html lang="en"><head><title>Contact</title>
            <script type="application/ld+json">{"@type":"LocalBusiness","telephone":"+44 20 7946 0018"}</script></head><body>
            <img src="logo@2x.png" alt="logo@2x.png"> <a href="mailto:Sales@Kettle-Example.com?subject=x">Sales</a>
            <p>Write to margaret.hill@kettle-example.com or press [at] kettle-example.com.</p>
            <a href="tel:+442079460123">Ring us</a> <form action="/send" method="post"><input name="email"><textarea name="message"></textarea></form>
            </body></html>"#,
        ),
    );
    site.put(
        "kettle-example.com/empty",
        Answer::html("<title>Empty</title><p>Order 20200101, 555.</p>"),
    );
    site.put(
        "kettle-example.com/away",
        Answer::redirect("https://other-example.com/"),
    );
    site.put(
        "other-example.com/",
        Answer::html("<a href='mailto:info@other-example.com'>x</a>"),
    );
    site.put(
        "kettle-example.com/file",
        Answer::of("image/png", "\u{89}PNG a@b.com"),
    );
    let app = start(&site, &["page-curation"], PAGES, |_| ()).await;
    app.wait_settled("page", "curation").await;
    let expected = [
        "email|margaret.hill@kettle-example.com|corporate|text",
        "email|press@kettle-example.com|service|obfuscated",
        "email|sales@kettle-example.com|service|mailto",
        "phone|+442079460018|voice|json-ld",
        "phone|+442079460123|voice|tel",
    ];
    let found = app.database.rows(CONTACTS).await;
    assert_eq!(found, expected);
    assert_eq!(
        app.database
            .rows("SELECT regexp_replace(url, '.*/', ''), curation_status, title, contact_scrape_status, has_contact_form FROM page ORDER BY id")
            .await,
        [
            "contact|Completed|Contact|ContactFound|t",
            "empty|Completed|Empty|NoContactFound|f",
            "away|Filtered||New|",
            "file|Filtered||New|",
            "gone|Error||New|",
        ]
    );
    // Again: the same rows, not others.
    let before = app
        .database
        .rows("SELECT id, value, confidence, source_url, updated_at FROM contact ORDER BY id")
        .await;
    app.database
        .run("UPDATE page SET curation_status = 'Queued' WHERE curation_status = 'Completed'")
        .await;
    app.wait_settled("page", "curation").await;
    assert_eq!(
        app.database
            .rows("SELECT id, value, confidence, source_url, updated_at FROM contact ORDER BY id")
            .await,
        before
    );
    app.stop().await;
}
