//! Tests of `extract::html`.

use super::*;

#[test]
fn encoding_is_found_in_the_documented_order() {
    let check = |body: &[u8], header: Option<&str>, text: &str, encoding: &str| {
        let decoded = decode(body, header);
        assert_eq!((decoded.text.as_str(), decoded.encoding), (text, encoding));
    };
    check(
        b"\xef\xbb\xbfa\xc3\xa9",
        Some("text/html; charset=latin1"),
        "aé",
        "UTF-8",
    );
    check(b"\xff\xfea\x00", None, "a", "UTF-16LE");
    check(
        b"a\xe9",
        Some("text/html; Charset=\"ISO-8859-1\""),
        "aé",
        "windows-1252",
    );
    check(
        b"<meta charset=iso-8859-2>\xb1",
        None,
        "<meta charset=iso-8859-2>ą",
        "ISO-8859-2",
    );
    check(
        b"<meta charset=iso-8859-1>\xc3\xa9",
        None,
        "<meta charset=iso-8859-1>é",
        "UTF-8",
    );
    check(
        b"<META http-equiv=Content-Type content='text/html; charset=windows-1251'>\xcf",
        None,
        "<META http-equiv=Content-Type content='text/html; charset=windows-1251'>П",
        "windows-1251",
    );
    check(b"plain", None, "plain", "UTF-8");
    check(
        b"caf\xc3\xa9",
        Some("text/html; charset=nonsense"),
        "café",
        "UTF-8",
    );
    check(b"a\0b", None, "ab", "UTF-8");
    check(b"", None, "", "UTF-8");
    let russian = encoding_rs::WINDOWS_1251
        .encode("Свяжитесь с нами по телефону, пожалуйста")
        .0;
    assert_eq!(decode(&russian, None).encoding, "windows-1251");
}

fn texts(html: &str) -> Vec<String> {
    Page::parse(html)
        .blocks()
        .iter()
        .map(|block| block.plain().into_owned())
        .collect()
}

#[test]
fn blocks_follow_what_a_reader_sees() {
    assert_eq!(
        texts("<p>a  <b>b</b>c<br>d</p><div>e<p>f</div>"),
        ["a bc", "d", "e", "f"]
    );
    assert_eq!(
        texts("<td>Tel</td><table><tr><td>x<td>y</table>"),
        ["Tel", "x", "y"]
    );
    assert_eq!(
        texts("<script>no</script><style>no</style><noscript>yes</noscript>"),
        ["yes"]
    );
    assert_eq!(
        texts("in<span style='Display : None'>trap</span>fo<!-- no -->!"),
        ["info!"]
    );
    assert_eq!(
        texts("<span style='unicode-bidi:bidi-override;direction:rtl'>moc.x@ofni</span>"),
        ["info@x.com"]
    );
    assert_eq!(texts("zero\u{200b}width"), ["zerowidth"]);
    assert_eq!(texts(""), Vec::<String>::new());
}

fn bounded(html: &str) -> Page {
    let started = std::time::Instant::now();
    let page = Page::parse(html);
    let elapsed = started.elapsed();
    assert!(elapsed.as_secs() < 20, "parsing took {elapsed:?}");
    page
}

#[test]
fn nested_tags_do_not_cost_more_than_their_bytes() {
    for tag in ["div", "b", "a", "table", "svg", "ul><li", "form", "p><b"] {
        let page = bounded(&format!("<{tag}>").repeat(100_000));
        let deepest = page
            .document()
            .tree
            .nodes()
            .map(|node| node.ancestors().count())
            .max();
        assert!(deepest.unwrap_or(0) <= MAX_DEPTH + 4, "{tag}: {deepest:?}");
    }
}

#[test]
fn text_after_a_deep_nest_is_kept() {
    let html = format!(
        "{}x{}<p>after</p>",
        "<div>".repeat(1000),
        "</div>".repeat(1000)
    );
    let page = bounded(&html);
    assert!(page.is_truncated());
    assert_eq!(
        page.blocks()
            .iter()
            .map(|block| block.plain().into_owned())
            .collect::<Vec<_>>(),
        ["x", "after"]
    );
}

#[test]
fn attribute_floods_stop_the_parser() {
    let flood: String = (0..400_000).map(|i| format!("a{i} ")).collect();
    for start in [
        "<p ",
        "</><p ",
        "<svg><![CDATA[x]]><p ",
        "<p x='>' ",
        "<title></title><p ",
        "&gt;<p x='>' ",
        "</p ",
    ] {
        let page = bounded(&format!("<h1>seen</h1>{start}{flood}>"));
        assert!(page.is_truncated(), "{start}");
    }
    let flood: String = flood.chars().take(1_000_000).collect();
    let raw = format!("<script>if(a<b {flood})</script><p>seen");
    assert_eq!(texts(&raw), ["seen"]);
    let comment = format!("<!-- {flood} --><p data-x='{flood}'>seen");
    assert_eq!(texts(&comment), ["seen"]);
}

#[test]
fn formatting_elements_are_not_multiplied_without_end() {
    let many: String = (0..60_000).map(|i| format!("<p><b a={i}>x</p>")).collect();
    let page = bounded(&many);
    assert!(page.document().tree.nodes().len() < MAX_NODES * 2);
}

#[test]
fn large_input_is_cut() {
    let html = "é".repeat(25 * 1024 * 1024);
    let page = bounded(&html);
    assert!(page.is_truncated());
    assert!(
        page.blocks()
            .iter()
            .map(|block| block.text.len())
            .sum::<usize>()
            <= MAX_HTML_BYTES
    );
    assert_eq!(
        decode(&vec![b'<'; 50 * 1024 * 1024], None).text.len(),
        MAX_HTML_BYTES
    );
    let attribute = format!("<p title='{}'>x", "y".repeat(5 * 1024 * 1024));
    assert!(bounded(&attribute).is_truncated());
}

proptest::proptest! {
    #[test]
    fn any_bytes_parse(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        Page::parse(&decode(&bytes, None).text);
    }

    #[test]
    fn any_markup_parses(html in "(<[a-z/!]{1,4}[ =\"'a-z]{0,6}>?|[a-z&;#@.]{0,4}){0,60}") {
        Page::parse(&html);
    }
}
