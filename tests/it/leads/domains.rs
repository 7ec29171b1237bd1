//! `local_business/domain_extraction` and `domain/metadata`.

use crate::support::app::start;
use crate::support::site::{Answer, Site};
use gleaner::leads::domain_extraction::DomainExtraction;

/// F10, F11, and F20's first half.
#[tokio::test(flavor = "multi_thread")]
async fn websites_become_hosts_or_say_why_not() {
    let cases = [
        ("http://User@Ex.com:8080/x", "Completed|ex.com|"),
        ("https://WWW.Example.COM/?x=1", "Completed|example.com|"),
        ("https://bücher.de", "Completed|xn--bcher-kva.de|"),
        ("mywww.site.com", "Completed|mywww.site.com|"),
        ("https://example.com/contact", "Completed|example.com|"),
        ("https://www.facebook.com/brasskettle", "Filtered||"),
        ("", "Filtered||no website"),
        (
            "http://169.254.169.254/latest/meta-data",
            "Error||website: ",
        ),
        ("http://localhost:8080/", "Error||website: "),
        ("not a website at all", "Error||website: "),
    ];
    let site = Site::start().await;
    let values: Vec<String> = cases
        .iter()
        .map(|(website, _)| format!("('b', nullif('{website}', ''), 'Selected')"))
        .collect();
    let app = start(
        &site,
        &["domain-extraction"],
        &format!(
            "INSERT INTO local_business (name, website, status) VALUES {}",
            values.join(", ")
        ),
        |config| config.workflows.options_mut::<DomainExtraction>().advance = false,
    )
    .await;
    app.wait_settled("local_business", "domain_extraction")
        .await;
    let found = app
        .database
        .rows(
            "SELECT domain_extraction_status, domain, domain_extraction_error FROM local_business b
             LEFT JOIN domain d ON d.id = b.domain_id ORDER BY b.id",
        )
        .await;
    for ((website, expected), found) in cases.iter().zip(&found) {
        assert!(found.starts_with(expected), "{website}: {found}");
    }
    // Two businesses share one; nobody else's got a row.
    assert_eq!(
        app.database
            .rows("SELECT domain, registrable_domain FROM domain ORDER BY domain")
            .await,
        [
            "ex.com|ex.com",
            "example.com|example.com",
            "mywww.site.com|site.com",
            "xn--bcher-kva.de|xn--bcher-kva.de",
        ]
    );
    assert_eq!(
        app.database
            .count(
                "SELECT count(*) FROM domain WHERE status <> 'New' OR metadata_status IS NOT NULL"
            )
            .await,
        0
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_page_tells_about_its_domain_and_invents_nothing() {
    let site = Site::start().await;
    site.put(
        "kettle-example.com/",
        Answer::html(
            r#"<html lang="en-GB"><head><title>Brass Kettle</title><meta name="description" content="Copper and brass.">
            <meta name="generator" content="WordPress 6.4.2"><link rel="icon" href="/favicon.ico"></head>
            <body><a href="mailto:hello@kettle-example.com">Write</a> <a href="tel:+442079460018">Call</a>
            <a href="https://www.instagram.com/brasskettle/">Instagram</a></body></html>"#,
        ),
    );
    site.put("bare-example.com/", Answer::html("<p>Nothing here.</p>"));
    site.put(
        "paper-example.com/",
        Answer::of("application/pdf", "%PDF-1.7 and so on"),
    );
    site.script(
        "flaky-example.com/",
        vec![Answer::status(503), Answer::html("<title>Up again</title>")],
    );
    let app = start(
        &site,
        &["domain-metadata"],
        "INSERT INTO domain (domain, registrable_domain, metadata_status) SELECT d, d, 'Queued'
         FROM unnest('{bare-example.com,flaky-example.com,gone-example.com,kettle-example.com,paper-example.com}'::text[]) AS d",
        |_| (),
    )
    .await;
    app.wait_settled("domain", "metadata").await;
    let found = app
        .database
        .rows(
            "SELECT domain, metadata_status, metadata_attempts, title, description, language, favicon_url, is_wordpress, wordpress_version,
                 email_addresses, phone_numbers, instagram_url, facebook_url FROM domain ORDER BY domain",
        )
        .await;
    assert_eq!(found[0], "bare-example.com|Completed|1|||||f||{}|{}||");
    assert_eq!(
        found[1],
        "flaky-example.com|Completed|2|Up again||||f||{}|{}||"
    );
    assert!(
        found[2].starts_with("gone-example.com|Error|1|"),
        "{}",
        found[2]
    );
    assert_eq!(
        found[3],
        "kettle-example.com|Completed|1|Brass Kettle|Copper and brass.|en-GB|https://kettle-example.com/favicon.ico|t|6.4.2|\
         {hello@kettle-example.com}|{+442079460018}|https://www.instagram.com/brasskettle|"
    );
    assert!(
        found[4].starts_with("paper-example.com|Filtered|1|"),
        "{}",
        found[4]
    );
    app.stop().await;
}

/// F20: neither the cloud's metadata service nor this machine is ever asked.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_inside_are_refused_by_every_stage() {
    let site = Site::start().await;
    let local = site.address;
    let app = start(
        &site,
        &[
            "domain-metadata",
            "sitemap-discovery",
            "sitemap-import",
            "page-curation",
        ],
        &format!(
            "INSERT INTO domain (domain, registrable_domain, metadata_status, sitemap_status) SELECT d, d, 'Queued', 'Queued'
             FROM unnest('{{169.254.169.254,localhost,127.0.0.1:{port}}}'::text[]) AS d;
             INSERT INTO sitemap_file (domain_id, url, import_status) SELECT id, u, 'Queued' FROM domain,
                 unnest('{{http://169.254.169.254/latest/,http://{local}/sitemap.xml,http://0x7f.1:{port}/s.xml,http://[::1]:{port}/s.xml}}'::text[]) AS u;
             INSERT INTO page (domain_id, url, curation_status) SELECT id, u, 'Queued' FROM domain,
                 unnest('{{http://169.254.169.254/contact,http://{local}/contact,http://localhost:{port}/contact,file:///etc/passwd}}'::text[]) AS u",
            port = local.port()
        ),
        // No proxy: names are resolved as they are in production.
        |config| config.fetch.proxy_hosts_to = None,
    )
    .await;
    for (table, stage, rows) in [
        ("domain", "metadata", 3),
        ("domain", "sitemap", 3),
        ("sitemap_file", "import", 12),
        ("page", "curation", 12),
    ] {
        app.wait_settled(table, stage).await;
        let errors = app
            .database
            .rows(&format!(
                "SELECT {stage}_attempts || ' ' || {stage}_error FROM {table} WHERE {stage}_status = 'Error'"
            ))
            .await;
        assert_eq!(errors.len(), rows, "{table}/{stage}: {errors:?}");
        // Trying again cannot help.
        assert!(
            errors.iter().all(|error| error.starts_with("1 ")),
            "{table}/{stage}: {errors:?}"
        );
    }
    assert_eq!(site.hits("").len(), 0);
    app.stop().await;
}
