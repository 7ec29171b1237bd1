//! What patterns yield, and what is refused.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const HTML: &str = r#"<html><head><base href="/shop/"><title>Mug</title>
<meta property="og:title" content="Blue  mug"><meta name="description" content="A mug"><meta property="og:image" content="i/mug.png">
<script type="application/ld+json">{"@graph":[{"@type":"WebPage"},{"@type":"Product","sku":7,"offers":[{"price":"129.00"},{"price":"1"}]}]}</script>
</head><body><h1>Mug</h1><div class="p" data-price="129">kr 129,-</div><span class="old"> </span>
<div id="s" data-initobject="{&amp;quot;model&amp;quot;:{&amp;quot;no&amp;quot;:&amp;quot;M-1&amp;quot;}}"></div>
<script id="state">{"stock":[{"n":3},{"n":4}],"ok":true}</script></body></html>"#;

fn pattern(fields: &str) -> Pattern {
    let json = format!(r#"{{"store_domain":"shop.example","patterns":{{{fields}}}}}"#);
    Pattern::parse(&json).unwrap_or_else(|error| panic!("{fields}: {error}"))
}

fn apply(fields: &str) -> Fields {
    let url = Url::parse("https://shop.example/p/1").unwrap();
    pattern(fields).apply(&Page::parse(HTML), Some(&url))
}

/// The value of a field with this selector alone.
fn value(selector: &str) -> Option<String> {
    let found = apply(&format!(
        r#""x":{{"primary":{{{selector},"confidence":0.5}}}}"#
    ));
    found.value("x").map(str::to_owned)
}

#[test]
fn every_type_finds_its_value() {
    for (selector, expected) in [
        (r#""type":"css","selector":".p""#, Some("kr 129,-")),
        (
            r#""type":"css","selector":".p","attribute":"data-price""#,
            Some("129"),
        ),
        (r#""type":"css","selector":".old""#, None),
        (r#""type":"css","selector":"p[[""#, None),
        (r#""type":"css","selector":"div:has(span)""#, None),
        (
            r#""type":"xpath","selector":"//div[@class='p']","attribute":"data-price""#,
            Some("129"),
        ),
        (
            r#""type":"xpath","selector":"substring-after(//div[1], 'kr ')""#,
            Some("129,-"),
        ),
        (r#""type":"xpath","selector":"//[""#, None),
        (
            r#""type":"jsonld","selector":"offers.price""#,
            Some("129.00"),
        ),
        (r#""type":"jsonld","selector":"sku""#, Some("7")),
        (r#""type":"jsonld","selector":"offers""#, None),
        (r#""type":"meta","selector":"og:title""#, Some("Blue mug")),
        (r#""type":"meta","selector":"description""#, Some("A mug")),
        (
            r#""type":"meta","selector":"meta[name=description]""#,
            Some("A mug"),
        ),
        (r#""type":"meta","selector":"none""#, None),
        (
            r##""type":"json","selector":"#s","attribute":"data-initobject","json_path":"model.no""##,
            Some("M-1"),
        ),
        (
            r##""type":"json","selector":"#state","json_path":"stock.n""##,
            Some("3"),
        ),
        (
            r##""type":"json","selector":"#state","json_path":"stock.1.n""##,
            Some("4"),
        ),
        (
            r##""type":"json","selector":"#state","json_path":"ok""##,
            Some("true"),
        ),
        (
            r##""type":"json","selector":"#state","json_path":"no.such""##,
            None,
        ),
        (r#""type":"json","selector":"h1","json_path":"x""#, None),
    ] {
        assert_eq!(value(selector).as_deref(), expected, "{selector}");
    }
}

#[test]
fn steps_are_applied_in_order() {
    let selector = |steps: &str| format!(r#""type":"css","selector":".p","post_process":{steps}"#);
    for (steps, expected) in [
        (r#""uppercase""#, Some("KR 129,-")),
        (r#"["trim","digits"]"#, Some("129")),
        (r#"[{"regex":"(\\d+),"}]"#, Some("129")),
        (r#"[{"regex":"kr"},"uppercase","lowercase"]"#, Some("kr")),
        (r#"[{"regex":"€"}]"#, None),
        (
            r#"[{"replace":[",-",".00"]},{"replace":["kr ",""]}]"#,
            Some("129.00"),
        ),
        (r#"null"#, Some("kr 129,-")),
    ] {
        assert_eq!(value(&selector(steps)).as_deref(), expected, "{steps}");
    }
    let image = r#""type":"meta","selector":"og:image","post_process":"absolute_url""#;
    assert_eq!(
        value(image).as_deref(),
        Some("https://shop.example/shop/i/mug.png")
    );
}

#[test]
fn the_first_selector_that_yields_wins_and_says_so() {
    let found = apply(
        r##""price":{"primary":{"type":"css","selector":".none","confidence":0.95},"fallbacks":[
            {"type":"css","selector":"b[","confidence":0.9},{"type":"jsonld","selector":"offers.price","confidence":0.8},
            {"type":"css","selector":".p","confidence":0.7}]},
        "title":{"primary":{"type":"css","selector":"h1","confidence":1}},
        "availability":{"primary":{"type":"css","selector":".none","confidence":0},"fallbacks":[]}"##,
    );
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        serde_json::json!({"fields": {
            "availability": null,
            "price": {"value": "129.00", "method": "jsonld", "confidence": 0.8, "selector": "fallback 2"},
            "title": {"value": "Mug", "method": "css", "confidence": 1.0, "selector": "primary"},
        }})
    );
}

#[test]
fn the_check_names_the_field() {
    let with = |selector: &str| {
        format!(r#"{{"store_domain":"s","patterns":{{"price":{{"primary":{selector}}}}}}}"#)
    };
    for (json, expected) in [
        ("{", "the pattern is not json"),
        ("[]", "the pattern must be an object"),
        ("{}", "patterns is missing"),
        (
            r#"{"patterns":{}}"#,
            "patterns must be an object with 1 to 50 fields",
        ),
        (r#"{"patterns":[1]}"#, "patterns must be an object"),
        (
            r#"{"patterns":{"price":{}}}"#,
            "patterns.price.primary is missing",
        ),
        (
            r#"{"patterns":{"price":7}}"#,
            "patterns.price must be an object",
        ),
        (&with("{}"), "patterns.price.primary.type is missing"),
        (
            &with(r#"{"type":"regex","selector":"x","confidence":1}"#),
            "patterns.price.primary.type must be css, xpath, jsonld, meta or json",
        ),
        (
            &with(r#"{"type":"css","confidence":1}"#),
            "patterns.price.primary.selector is missing",
        ),
        (
            &with(r#"{"type":"css","selector":" ","confidence":1}"#),
            "patterns.price.primary.selector must be a text of 1 to 1000 bytes",
        ),
        (
            &with(r#"{"type":"css","selector":"x"}"#),
            "patterns.price.primary.confidence is missing",
        ),
        (
            &with(r#"{"type":"css","selector":"x","confidence":"high"}"#),
            "patterns.price.primary.confidence must be a number from 0 to 1",
        ),
        (
            &with(r#"{"type":"css","selector":"x","confidence":1.1}"#),
            "patterns.price.primary.confidence must be a number from 0 to 1",
        ),
        (
            &with(r#"{"type":"jsonld","selector":"offers[0].price","confidence":1}"#),
            "patterns.price.primary.selector must be a dotted path",
        ),
        (
            &with(r#"{"type":"css","selector":"x","confidence":1,"post_process":["fly"]}"#),
            "patterns.price.primary.post_process.0 must be trim,",
        ),
        (
            &with(r#"{"type":"css","selector":"x","confidence":1,"post_process":{"regex":"("}}"#),
            "patterns.price.primary.post_process must be trim,",
        ),
        (
            r#"{"store_domain":"s","patterns":{"t":{"primary":{"type":"css","selector":"x","confidence":1},"fallbacks":{}}}}"#,
            "patterns.t.fallbacks must be a list of at most 10",
        ),
        (
            r#"{"store_domain":"s","patterns":{"t":{"primary":{"type":"css","selector":"x","confidence":1},"fallbacks":[{}]}}}"#,
            "patterns.t.fallbacks.0.type is missing",
        ),
        (
            r#"{"store_domain":7,"patterns":{"t":{"primary":{"type":"css","selector":"x","confidence":1}}}}"#,
            "store_domain must be a text",
        ),
        (
            r#"{"patterns":{"t":{"primary":{"type":"css","selector":"x","confidence":1}}}}"#,
            "store_domain is missing",
        ),
    ] {
        let error = Pattern::parse(json).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{json}: {error}");
    }
}

#[test]
fn hostile_patterns_are_refused() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(
        Pattern::parse(&deep),
        Err(PatternError::NotJson(_))
    ));
    let huge = format!("\"{}\"", "x".repeat(MAX_PATTERN_BYTES));
    assert!(matches!(
        Pattern::parse(&huge),
        Err(PatternError::TooLong { .. })
    ));
}

/// A pattern of one field with this selector, and one with a selector that costs nothing.
fn beside(kind: &str, selector: &str) -> Pattern {
    let selector = serde_json::Value::from(selector);
    pattern(&format!(
        r#""a_costly":{{"primary":{{"type":"{kind}","selector":{selector},"confidence":1}}}},
           "b_cheap":{{"primary":{{"type":"css","selector":"title","confidence":1}}}}"#
    ))
}

/// As deep as elements may nest (what is deeper is dropped), sixty times beside each other: 30,000 elements.
fn towers() -> String {
    let up = "<div><p></p>".repeat(250);
    (up + &"</div>".repeat(250)).repeat(60)
}

/// What is long in a program that is not optimised, on a busy machine. Before it was counted each took minutes, or seconds at best.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hostile selectors on hostile pages: each is given up by name, in little time, and the other fields are found.
#[test]
fn selectors_that_cost_too_much_are_given_up_by_name() {
    let title = "<title>Mug</title>";
    let flat = format!("{title}<body>{}", "<b>x</b>".repeat(31_000));
    let deep = format!("{title}{}", towers());
    let low = format!("{title}{}{}", "<div>".repeat(240), "<p></p>".repeat(30_000));
    let long = format!(
        "{title}<body data-x='{}'>{}",
        "y".repeat(1_000_000),
        "<b>x</b>".repeat(30_000)
    );
    let quiet = format!("{title}<body>{}<u>1</u>", "<b>x</b><!---->".repeat(60_000));
    let letters = "abcdefghijklmnopqrstuvwxyz".repeat(8);
    let turned = format!("//b[contains(translate(/html/body, '{letters}', '{letters}'), 'zz')]");
    let twenty = format!("concat({})", ["/html/body"; 20].join(","));
    let joined = format!("//b[contains(concat({twenty},{twenty},{twenty}), 'zz')]");
    let listed = format!("u {}", ":is(:not(:not(*)),:not(:not(*)))".repeat(25));
    for (kind, selector, html) in [
        ("css", "u ~ b", &flat),
        ("css", "b:not(:not(u ~ b))", &flat),
        ("css", "u ~ u, u + b, u ~ b", &quiet),
        ("css", ":is(:is(:is(:is(u *) *) *) *) p", &deep),
        ("css", "u div p, div p:not(:not(u div p ~ p))", &low),
        ("css", "p:nth-of-type(30000) ~ p", &low),
        ("css", "[data-x*='yz'] b", &long),
        ("css", listed.as_str(), &flat),
        ("meta", "u ~ b:not([content])", &flat),
        ("xpath", "//i | //b[count(//b[count(//b) > 0]) > 0]", &flat),
        ("xpath", turned.as_str(), &flat),
        ("xpath", joined.as_str(), &flat),
        (
            "xpath",
            "//b[count(preceding::b[count(following::b) > 0]) < 0]",
            &flat,
        ),
    ] {
        let page = Page::parse(html);
        let pattern = beside(kind, selector);
        let started = Instant::now();
        let found = pattern.apply(&page, None);
        let took = started.elapsed();
        let expected = GivenUp {
            field: "a_costly".to_owned(),
            selector: Place::Primary,
            text: selector.to_owned(),
        };
        assert_eq!(found.given_up, [expected], "{selector}");
        assert_eq!(found.value("a_costly"), None, "{selector}");
        assert_eq!(found.value("b_cheap"), Some("Mug"), "{selector}");
        assert!(took < PATIENCE, "{selector}: {took:?}");
        // And alike every time.
        assert_eq!(pattern.apply(&page, None), found, "{selector}");
    }
}

/// Each of them is cheap enough; together they are not.
#[test]
fn a_pattern_s_selectors_share_a_budget() {
    let big = format!(
        "<title>Mug</title><script id=s>[{}0]</script>",
        "1,".repeat(700_000)
    );
    let page = Page::parse(&big);
    let json = r##"{"type":"json","selector":"#s","json_path":"none","confidence":1}"##;
    let regex = r#"{"type":"css","selector":"title","confidence":1,"post_process":[{"regex":"([a-z]{1,99}[0-9]{1,99}){2}x"}]}"#;
    for selector in [json, regex] {
        let fields: Vec<String> = (0..50)
            .map(|n| {
                let fallbacks = [selector; 10].join(",");
                format!(r#""f{n}":{{"primary":{selector},"fallbacks":[{fallbacks}]}}"#)
            })
            .collect();
        let pattern = pattern(&fields.join(","));
        let started = Instant::now();
        let found = pattern.apply(&page, None);
        let took = started.elapsed();
        assert!(took < PATIENCE, "{selector}: {took:?}");
        assert!(!found.given_up.is_empty(), "{selector}");
        assert!(found.given_up.iter().all(|own| !own.text.is_empty()));
        let named = serde_json::to_value(&found).unwrap();
        assert_eq!(
            named["given_up"][0]["field"],
            found.given_up[0].field.as_str()
        );
    }
}

/// What an estimate would refuse, and is cheap in fact.
#[test]
fn selectors_that_only_look_costly_are_tried() {
    let html = format!(
        "<body>{}<i>last</i>",
        (1..=60_000).fold(String::new(), |all, n| all + &format!("<b>{n}</b>"))
    );
    let (page, deep) = (Page::parse(&html), Page::parse(&towers()));
    for (selector, page, expected) in [
        ("b:nth-child(50000)", &page, Some("50000")),
        ("b:last-of-type", &page, Some("60000")),
        ("b:nth-of-type(3) ~ i", &page, Some("last")),
        ("b:nth-child(3) ~ i", &page, Some("last")),
        ("b:nth-last-child(60000) ~ i", &page, Some("last")),
        (
            "b:not(:not(:nth-last-of-type(59999))) ~ i:only-of-type",
            &page,
            Some("last"),
        ),
        ("b:only-of-type ~ i", &page, None),
        ("i:not(b):not(u)", &page, Some("last")),
        (
            "p:not(p p div p div p ~ p)>u,div p div p div p div p div p div i",
            &deep,
            None,
        ),
    ] {
        let found = beside("css", selector).apply(page, None);
        assert_eq!(found.given_up, [], "{selector}");
        assert_eq!(found.value("a_costly"), expected, "{selector}");
    }
}

/// The first element that a selector fits, found by scraper, which counts positions itself.
fn first_by_scraper<'a>(selector: &str, page: &'a Page) -> Option<scraper::ElementRef<'a>> {
    let selector = scraper::Selector::parse(selector).unwrap();
    page.document().select(&selector).next()
}

fn selectors() -> impl Strategy<Value = Selector> {
    let steps = prop_oneof![
        Just(Step::Trim),
        Just(Step::Digits),
        Just(Step::AbsoluteUrl),
        "[a-z.*+?]{1,8}".prop_filter_map("a regex", |text| {
            Step::read(&serde_json::json!({ "regex": text }))
        }),
        ("[a-z]{1,4}", "\\PC{0,4}").prop_map(|(from, to)| Step::Replace(from, to)),
    ];
    (
        prop::sample::select(Method::ALL.to_vec()),
        "[a-z_.]{1,20}",
        prop::option::of("[a-z-]{1,10}"),
        // Two decimals: `serde_json` reads seventeen only nearly.
        (0..=100_u8).prop_map(|percent| f64::from(percent) / 100.0),
        prop::collection::vec(steps, 0..4),
        prop::option::of("[a-z.]{1,10}"),
    )
        .prop_map(
            |(method, selector, attribute, confidence, post_process, json_path)| Selector {
                method,
                selector,
                attribute,
                confidence,
                post_process,
                sample_value: None,
                json_path,
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        store_domain in "[a-z]{1,10}\\.example",
        fields in prop::collection::btree_map(
            "[a-z_]{1,12}",
            (selectors(), prop::collection::vec(selectors(), 0..3)),
            1..5,
        ),
    ) {
        let patterns = fields
            .into_iter()
            .map(|(name, (primary, fallbacks))| (name, FieldPattern { primary, fallbacks }))
            .collect();
        let pattern = Pattern { store_domain, url: None, patterns, metadata: serde_json::Map::new() };
        let json = serde_json::to_string(&pattern).unwrap();
        prop_assert_eq!(Pattern::parse(&json).unwrap(), pattern);
    }

    #[test]
    fn no_text_makes_it_panic(json in "\\PC{0,200}", expression in "[a-z/@\\[\\]()'.*=| 0-9]{0,40}") {
        drop(Pattern::parse(&json));
        let page = Page::parse(HTML);
        drop(xpath::first(&expression, &page, &work::Work::new(MAX_SELECTOR_STEPS)));
    }

    #[test]
    fn positions_are_those_of_the_matcher(
        html in "(<b>|<i>|<div>|</div>|</b>|</i>|<br>|text|<!--c-->){0,30}",
        positions in prop::collection::vec(
            ("b|i|br|div|\\*", "(nth|nth-last)-(child|of-type)\\((1|2|3|2n|-n\\+2|odd)\\)|(only|first|last)-(child|of-type)", "| > | \\+ | ~ "),
            1..4,
        ),
        within in prop::sample::select(vec!["", ":not", ":is", ":where"]),
    ) {
        let compounds: Vec<String> = positions
            .iter()
            .map(|(name, position, combinator)| match within {
                "" => format!("{combinator}{name}:{position}"),
                _ => format!("{combinator}{name}{within}(:{position})"),
            })
            .collect();
        let joined = compounds.join(" ");
        let selector = joined.trim_start_matches([' ', '>', '+', '~']);
        let selector = selector.replace("  ", " ");
        let page = Page::parse(&html);
        let work = work::Work::new(MAX_SELECTOR_STEPS);
        let found = css::first(&selector, &page, &work).map(|element| element.id());
        prop_assert_eq!(found, first_by_scraper(&selector, &page).map(|element| element.id()), "{}", selector);
    }

    #[test]
    fn no_selector_makes_it_panic(selector in "[a-z.#>~+*:()\\[\\]=\" -]{1,40}") {
        let mut pattern = pattern(r#""x":{"primary":{"type":"css","selector":"a","confidence":1}}"#);
        for field in pattern.patterns.values_mut() {
            field.primary.selector.clone_from(&selector);
        }
        drop(pattern.apply(&Page::parse(HTML), None));
    }
}
