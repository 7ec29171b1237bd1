//! `gleaner site`: what is set of a site holds for it, known or not.

use crate::cli::gleaner;
use crate::support::TestDatabase;

#[tokio::test]
async fn sites_are_set_by_any_name_they_go_by() {
    let database = TestDatabase::new().await;
    database
        .run("INSERT INTO site (domain, currency) VALUES ('known.example', 'NOK')")
        .await;
    let ran = gleaner(
        Some(&database),
        &["site", "set", "known.example", "--render", "on"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("until render.enabled = true"),
        "{ran:?}"
    );
    for arguments in [
        &[
            "site",
            "set",
            "https://www.Shop-Example.no/kettle",
            "--render",
            "on",
            "--currency",
            "EUR",
        ][..],
        &[
            "site",
            "set",
            "shop-example.no",
            "--enabled",
            "off",
            "--render",
            "off",
        ],
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(
        database
            .rows("SELECT domain, enabled, render, currency FROM site ORDER BY domain")
            .await,
        ["known.example|t|t|NOK", "shop-example.no|f|f|EUR"]
    );
    let listed = gleaner(Some(&database), &["site", "list", "--json"]).json();
    assert_eq!(listed[0]["domain"], "known.example");
    assert_eq!(
        (&listed[0]["render"], &listed[1]["render"]),
        (&true.into(), &false.into())
    );

    for (arguments, text) in [
        (&["site", "set", "a.example"][..], "say what to set"),
        (
            &["site", "set", "a.example", "--currency", "kr"],
            "three capital letters",
        ),
        (&["site", "set", "mailto:x", "--render", "on"], "is no site"),
        (
            &["site", "set", "a.example", "--render", "yes"],
            "possible values: on, off",
        ),
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
    assert_eq!(database.count("SELECT count(*) FROM site").await, 2);

    for (arguments, stored) in [
        (&["--render-post", "on"][..], "t|"),
        (
            &["--render-hosts", "API.Shop-Example.net,cdn.example.org"],
            "t|api.shop-example.net cdn.example.org",
        ),
        (
            &["--currency", "SEK"],
            "t|api.shop-example.net cdn.example.org",
        ),
        (&["--render-hosts", "", "--render-post", "off"], "f|"),
    ] {
        let ran = gleaner(
            Some(&database),
            &[&["site", "set", "shop-example.no"], arguments].concat(),
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        let rows = "SELECT render_post, array_to_string(render_hosts, ' ') FROM site WHERE domain = 'shop-example.no'";
        assert_eq!(database.rows(rows).await, [stored]);
    }
    for host in [
        "co.uk",
        "127.0.0.1",
        "api.example.net/x",
        "u@example.net",
        "a b",
        "localhost",
        "example.net:80",
    ] {
        let ran = gleaner(
            Some(&database),
            &["site", "set", "shop-example.no", "--render-hosts", host],
        );
        assert_eq!(ran.code, 2, "{host}: {ran:?}");
        assert!(ran.stderr.contains("is no host"), "{host}: {ran:?}");
    }
}
