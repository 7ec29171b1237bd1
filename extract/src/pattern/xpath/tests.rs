//! Table tests of the subset.

use super::super::work::MAX_SELECTOR_STEPS;
use super::*;
use crate::html::node_text;

const HTML: &str = r#"<html><body><div id="a" class="box price-box"><span class="old">20</span><span class="now" data-p="15">
 15 <b>kr</b></span></div><ul><li>one<li>two<li class="last">three</ul><table><tr><th>Varenummer</th><td>123</td></tr></table>
<p>SKU: 77-A</p><a HREF="/x">X</a></body></html>"#;

fn found(expression: &str, html: &str) -> Option<String> {
    let page = Page::parse(html);
    Some(
        match first(expression, &page, &Work::new(MAX_SELECTOR_STEPS))? {
            Found::Node(node) => node_text(node, 200),
            Found::Text(text) => text,
        },
    )
}

#[test]
fn expressions_find_what_xpath_finds() {
    for (expression, expected) in [
        ("//span[@class='now']", "15 kr"),
        ("//span[@class='now']/@data-p", "15"),
        ("//span[@data-p]/text()", "15"),
        (
            "//DIV[@id='a' and contains(@class, 'price')]/span[2]/b",
            "kr",
        ),
        ("/html/body/ul/li[last()]", "three"),
        ("//li[position()=2]", "two"),
        ("//li[position() > 1][1]", "two"),
        ("(//span | //li)[3]", "one"),
        ("(//li | //span)[1]", "20"),
        ("(//li[3]/preceding-sibling::li)[1]", "one"),
        (
            "//th[normalize-space()='Varenummer']/following-sibling::td",
            "123",
        ),
        ("//th[.='Varenummer']/../td", "123"),
        ("//td/preceding-sibling::th", "Varenummer"),
        ("//b/ancestor::div/@id", "a"),
        ("//b/following::li", "one"),
        ("count(//td/following::*)", "2"),
        ("//b/preceding::span", "20"),
        ("//td/preceding::li[1]", "three"),
        ("count(//b/preceding::div)", "0"),
        ("//b/ancestor-or-self::b", "kr"),
        ("//li[not(@class)]", "one"),
        ("//li[@class!='first']", "three"),
        ("//li[.='two' or .='three']", "two"),
        ("//div[span]/@id", "a"),
        ("//div[.//b]/@id", "a"),
        ("//*[starts-with(@class,'la')]", "three"),
        ("//*[ends-with(@class,'st')]", "three"),
        ("substring-after(//p, 'SKU: ')", "77-A"),
        ("substring-before(//p, ':')", "SKU"),
        ("concat(//li[1], '-', //li[2])", "one-two"),
        ("string(//li[2])", "two"),
        ("count(//li)", "3"),
        ("count(//li) = 3", "true"),
        ("string-length(//li[1])", "3"),
        ("number(//td) > 100", "true"),
        ("translate(//li[1], 'onx', 'ON')", "ONe"),
        ("//a[contains(translate(., 'X', 'x'), 'x')]/@href", "/x"),
        ("lower-case(//a)", "x"),
        ("//*[name()='ul']/li", "one"),
        ("//li[true()][count(/html/body) = 1]", "one"),
        ("descendant::li[2]", "two"),
        ("child::html/descendant-or-self::li/self::li", "one"),
        ("//span/attribute::*", "old"),
        ("//ul/node()", "one"),
        ("//span[.=15 or .=20]", "20"),
        ("//td | //span", "20"),
        ("//div//span/parent::div/@id", "a"),
    ] {
        assert_eq!(
            found(expression, HTML).as_deref(),
            Some(expected),
            "{expression}"
        );
    }
}

#[test]
fn what_finds_nothing_or_is_wrong_yields_nothing() {
    for expression in ["//h1", "//li[7]", "//@nope", "//li[@class='x']", "/"] {
        assert!(is_valid(expression), "{expression}");
    }
    for expression in [
        "//h1",
        "//li[7]",
        "//@nope",
        "//li[@class='x']",
        "count(3)",
        "'a' | //b",
        "'a'/b",
    ] {
        assert_eq!(found(expression, HTML), None, "{expression}");
    }
    for expression in [
        "",
        " ",
        "//",
        "//li[",
        "//li]",
        "//li[@]",
        "foo(",
        "unknown()",
        "contains(.)",
        "//li[1",
        "a b",
        "$x",
        "//li/comment()",
        "namespace::li",
        "1.2.3",
        "'open",
        "@@",
        "//li[()]",
    ] {
        assert!(!is_valid(expression), "{expression}");
    }
}

#[test]
fn the_first_node_is_the_first_of_the_document() {
    let html = "<div><div><p>inner</p></div><p>outer</p></div>";
    assert_eq!(found("//div/p", html).as_deref(), Some("inner"));
}

#[test]
fn the_first_of_a_few_nodes_is_found_without_a_walk_through_the_document() {
    let html = "<p>a<b>x</b>c</p>".repeat(30_000) + "<p>$<b>x</b>c</p>";
    let found = |expression| found(expression, &html);
    assert_eq!(found("//p[contains(text(), '$')]").as_deref(), Some("$xc"));
    for (expression, expected) in [
        ("string(//p[1]/b | //p[1])", "axc"),
        ("string(//p[2]/b | //p[1]/text())", "a"),
        ("string(//p[1]/text()[2] | //p[1]/b)", "x"),
        (
            "string(//p[last()]/preceding-sibling::p[2] | //p[last()]/b)",
            "axc",
        ),
    ] {
        assert_eq!(found(expression).as_deref(), Some(expected), "{expression}");
    }
}

#[test]
fn depth_and_work_are_bounded() {
    assert!(!is_valid(&format!(
        "{}1{}",
        "(".repeat(200),
        ")".repeat(200)
    )));
    assert!(!is_valid(&format!("//a{}", "[b".repeat(200))));
    assert!(!is_valid(&"/a".repeat(1_000)));
    let html = format!("<body>{}", "<i>x</i>".repeat(20_000));
    let slow = "//i[count(//i[count(//i) > 0]) > 0]";
    assert!(is_valid(slow));
    assert_eq!(found(slow, &html), None);
}
