//! Home pages that are only a notice, and a browser that may get past it.

use crate::support::app::start;
use crate::support::browser::{alone, render_config};
use crate::support::site::{Answer, Site};

/// Scripts are run for what wants that; nothing is agreed to for what wants consent.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_past_what_only_wants_scripts() {
    let Some(render) = render_config() else {
        return;
    };
    let _alone = alone().await;
    let site = Site::start().await;
    site.put(
        "app-example.com/",
        Answer::html("<title>Kettles</title><noscript>Please enable JavaScript.</noscript><div id=root></div><script src=/app.js></script>"),
    );
    site.put(
        "app-example.com/app.js",
        Answer::of(
            "text/javascript",
            "document.getElementById('root').innerHTML = '<h1>Brass kettles</h1><a href=\"mailto:hello@app-example.com\">Write to us</a>'",
        ),
    );
    site.put(
        "wall-example.com/",
        Answer::html("<title>Kettles</title><p>We use cookies. Please accept all cookies to go on.</p><button>Accept</button>"),
    );
    let sql = "INSERT INTO domain (domain, registrable_domain, metadata_status)
         SELECT d, d, 'Queued' FROM unnest('{app-example.com,wall-example.com}'::text[]) AS d";
    let app = start(&site, &["domain-metadata"], sql, |config| {
        config.render = render;
    })
    .await;
    app.wait_settled("domain", "metadata").await;
    assert_eq!(
        app.database
            .rows("SELECT metadata_status, metadata_error, title, email_addresses FROM domain ORDER BY domain")
            .await,
        [
            "Completed||Kettles|{hello@app-example.com}",
            "Filtered|only a notice about cookies or consent is shown, in a browser too||",
        ]
    );
    app.stop().await;
}
