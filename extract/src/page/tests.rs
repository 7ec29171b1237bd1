//! Tests of `extract::page`.

use super::*;

const PAGE: &str = r##"<!doctype html><html lang="en_gb"><head><base href="/sub/">
<svg><title>no</title></svg>
<title> Acme
  Ltd </title><meta name=Description content="We  make anvils"><link rel=canonical href="/">
<link rel="shortcut icon" href=fav.ico><meta name=generator content="WordPress 6.4.2">
<meta name=robots content="NOINDEX, follow"><link rel=stylesheet href="/wp-content/plugins/elementor/x.css">
<script src="https://cdn.example/jquery.min.js"></script>
<script type="application/ld+json">{"@graph":[{"@type":["Organization","LocalBusiness"],"logo":{"url":"/l.png"}}]}</script>
</head><body><nav><a href="a">Home</a></nav><h1> </h1><h1>Anvils <b>and</b> more</h1>
<p>Heavy things. <a href="b#x" rel="nofollow">More</a> <a href="b">again</a> <a href="#top">up</a>
<a href="mailto:x@acme.de">m</a><a href="javascript:x()">j</a><a href="https://other.org/"><img alt="Other"></a></p>
<form id=search><input name=q></form><form action=/send><input type=text name=n><input type=email><textarea></textarea></form>
<footer>Imprint</footer></body></html>"##;

#[test]
fn facts_are_what_the_page_says() {
    let page = Page::parse(PAGE);
    let url = Url::parse("https://acme.de/x").unwrap();
    let facts = extract(&page, &url);
    assert_eq!(facts.title.as_deref(), Some("Acme Ltd"));
    assert_eq!(facts.description.as_deref(), Some("We make anvils"));
    assert_eq!(facts.canonical.as_deref(), Some("https://acme.de/"));
    assert_eq!(facts.language.as_deref(), Some("en-GB"));
    assert_eq!(facts.h1.as_deref(), Some("Anvils and more"));
    assert_eq!(
        facts.favicon.as_deref(),
        Some("https://acme.de/sub/fav.ico")
    );
    assert_eq!(facts.logo.as_deref(), Some("https://acme.de/l.png"));
    assert_eq!(facts.generator.as_deref(), Some("WordPress 6.4.2"));
    assert_eq!(facts.meta_robots.as_deref(), Some("noindex, follow"));
    assert_eq!(
        facts.text,
        "Anvils and more\nHeavy things. More again up m j"
    );
    assert_eq!(facts.word_count, 10);
    assert!(facts.has_contact_form);
    assert_eq!(
        facts.schema_types.into_iter().collect::<Vec<_>>(),
        ["LocalBusiness", "Organization"]
    );
    let links: Vec<(&str, &str, bool)> = facts
        .links
        .iter()
        .map(|link| (link.url.as_str(), link.text.as_str(), link.is_nofollow))
        .collect();
    assert_eq!(
        links,
        [
            ("https://acme.de/sub/a", "Home", false),
            ("https://acme.de/sub/b", "More", true),
            ("https://acme.de/sub/", "up", false),
            ("https://other.org/", "Other", false),
        ]
    );
    let technology = technology(&page);
    assert!(technology.is_wordpress && technology.has_elementor);
    assert_eq!(technology.wordpress_version.as_deref(), Some("6.4.2"));
    assert_eq!(
        technology.tech.into_iter().collect::<Vec<_>>(),
        ["elementor", "jquery", "wordpress"]
    );
}

#[test]
fn the_main_text_is_what_is_seen_between_header_and_footer() {
    for (html, expected) in [
        (
            "<header>Head</header><nav>Nav</nav><main>Text</main><aside>Side</aside><footer>Foot</footer>",
            "Text",
        ),
        (
            "<div role=navigation>Nav</div><div role=main>Text</div><div role=contentinfo>Foot</div>",
            "Text",
        ),
        (
            "<article><header><h1>Title</h1></header><p>Text</p><footer>Tags</footer></article>",
            "Title\nText",
        ),
        (
            // Tabs, and what scripts move into place.
            "<p>Text</p><div hidden><p>Tab</p></div><div style='display: none'>Later</div>",
            "Text\nTab\nLater",
        ),
        (
            "<nav><ul><li>Only</ul><aside>this</aside></nav>",
            "Only\nthis",
        ),
    ] {
        let facts = extract(&Page::parse(html), &Url::parse("https://acme.de/").unwrap());
        assert_eq!(facts.text, expected, "{html}");
    }
}

#[test]
fn the_text_that_scripts_would_write_is_that_of_the_data() {
    let sentence = |n: usize| {
        format!("Satz {n} steht nicht auf der Seite, sondern allein in den Daten für Maschinen.")
    };
    let plain: Vec<String> = (0..10).map(sentence).collect();
    let marked: String = plain.iter().map(|line| format!("<p>{line}</p>")).collect();
    for body in [plain.join("\n\n"), marked] {
        let data = serde_json::json!({"@type": "NewsArticle", "articleBody": body});
        let html = format!(
            "<script type='application/ld+json'>{data}</script><body><h1>Satz</h1><div id=app></div>"
        );
        let facts = extract(
            &Page::parse(&html),
            &Url::parse("https://acme.de/").unwrap(),
        );
        assert_eq!(facts.text, plain.join("\n"));
    }
}

#[test]
fn an_empty_page_says_nothing() {
    let facts = extract(&Page::parse(""), &Url::parse("https://acme.de/").unwrap());
    assert_eq!(facts, PageFacts::default());
    assert_eq!(technology(&Page::parse("")), Technology::default());
}

#[test]
fn language_tags_are_checked() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(language_tag(text).as_deref(), expected, "{text}");
    };
    check("de", Some("de"));
    check("DE_at", Some("de-AT"));
    check("zh-hant-tw", Some("zh-Hant-TW"));
    check("en, de", Some("en"));
    check("{{lang}}", None);
    check("", None);
    check("english", None);
}

#[test]
fn the_language_is_what_the_page_says_or_else_what_its_text_is_in() {
    let check = |html: &str, expected: Option<&str>| {
        let facts = extract(&Page::parse(html), &Url::parse("https://acme.de/").unwrap());
        assert_eq!(facts.language.as_deref(), expected, "{html}");
    };
    let german = "<p>Wir sind ein kleiner Laden im Herzen der Stadt, und Sie finden bei uns die Waren für den Tag.</p>";
    check(&format!("<html lang=fr>{german}"), Some("fr"));
    check(&format!("<html lang=''><body lang=it>{german}"), Some("it"));
    check(
        &format!("<html lang='{{{{lang}}}}' xml:lang=nl>{german}"),
        Some("nl"),
    );
    check(
        &format!("<meta property='og:locale' content='pt_BR'>{german}"),
        Some("pt-BR"),
    );
    check(german, Some("de"));
    check("<p>Acme</p>", None);
}

#[test]
fn contact_forms_are_told_from_others() {
    let check = |html: &str, expected: bool| {
        let facts = extract(&Page::parse(html), &Url::parse("https://acme.de/").unwrap());
        assert_eq!(facts.has_contact_form, expected, "{html}");
    };
    check("<form><input type=email><textarea></textarea></form>", true);
    check(
        "<form class=wpcf7-form><input name=n><input name=a><input type=email></form>",
        true,
    );
    check(
        "<form id=commentform><input type=email><textarea></textarea></form>",
        false,
    );
    check(
        "<form><input type=email><input type=password></form>",
        false,
    );
    check("<form class=newsletter><input type=email></form>", false);
    check("<form role=search><input type=text></form>", false);
    check("<textarea></textarea>", false);
}

#[test]
fn the_owners_logo_is_preferred() {
    let check = |html: &str, expected: Option<&str>| {
        let facts = extract(
            &Page::parse(html),
            &Url::parse("https://acme.de/x").unwrap(),
        );
        assert_eq!(facts.logo.as_deref(), expected, "{html}");
    };
    check(
        "<img class=logo src=/a.png><header><img alt='Logo' src=/b.png></header>",
        Some("https://acme.de/b.png"),
    );
    check(
        "<img src=/logo-a.png><a href='/'><img src=/logo-b.png></a>",
        Some("https://acme.de/logo-b.png"),
    );
    check(
        "<img src=/klarna-logo.png><footer><img src=/logo.png></footer>",
        None,
    );
    check(
        "<script type='application/ld+json'>{\"@type\":\"Product\",\"brand\":{\"@type\":\"Brand\",\"logo\":\"/x.png\"}}</script>",
        None,
    );
    check(
        "<img class=logo src='data:image/png;base64,xx' data-src=/lazy.png>",
        Some("https://acme.de/lazy.png"),
    );
}

#[test]
fn every_hint_is_well_formed() {
    for row in crate::table::rows(include_str!("../data/technology.txt")) {
        assert_eq!(row.len(), 4, "{row:?}");
        assert_eq!(row[3], row[3].to_lowercase(), "{row:?}");
        assert!(
            ["generator", "url", "script", "class", "attribute"].contains(&row[2]),
            "{row:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(html in "(<(a|base|link|meta|form|script|img)( (href|src|rel|name|content|class)='?[a-z:/#@. é]{0,12}'?){0,3}>|[a-zé<>& ]{0,6}){0,30}") {
        let page = Page::parse(&html);
        extract(&page, &Url::parse("https://acme.de/").unwrap());
        technology(&page);
    }
}
