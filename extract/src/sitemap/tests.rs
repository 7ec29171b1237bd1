//! Tests of `extract::sitemap`.

mod bounds;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::location::is_plainly_fetchable;
use super::*;
use crate::testdata;

fn base() -> Url {
    Url::parse("https://example.com/maps/sitemap.xml").unwrap()
}

/// Parses in chunks of `chunk` bytes.
fn parse_in(
    bytes: &[u8],
    limits: Limits,
    chunk: usize,
) -> Result<(Summary, Vec<Entry>), SitemapError> {
    let mut entries = Vec::new();
    let mut parser = Parser::new(&base(), limits);
    for piece in bytes.chunks(chunk) {
        if parser.feed(piece, |entry| entries.push(entry))? == Progress::Done {
            break;
        }
    }
    let summary = parser.finish(|entry| entries.push(entry))?;
    assert_eq!(summary.urls, u64::try_from(entries.len()).unwrap());
    Ok((summary, entries))
}

/// Parses whole and byte by byte, which must agree.
#[track_caller]
fn parse(bytes: &[u8]) -> (Summary, Vec<Entry>) {
    let whole = parse_in(bytes, Limits::default(), usize::MAX).unwrap();
    for chunk in [1, 2, 3, 7] {
        assert_eq!(
            parse_in(bytes, Limits::default(), chunk).unwrap(),
            whole,
            "in chunks of {chunk}"
        );
    }
    whole
}

fn locs(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.loc.as_str()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn url_set(count: usize) -> String {
    let mut text = String::from("<urlset>");
    for number in 0..count {
        text.push_str(&format!(
            "<url><loc>https://example.com/p/{number}</loc><lastmod>2024-05-06</lastmod></url>\n"
        ));
    }
    text + "</urlset>"
}

const PLAIN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url>
    <loc> https://example.com/a?x=1&amp;y=2 </loc>
    <lastmod>2024-05-06T07:08:09+02:00</lastmod>
    <changefreq>Weekly</changefreq>
    <priority>0.8</priority>
    <image:image><image:loc>https://cdn.example.com/a.jpg</image:loc></image:image>
  </url>
  <url><image:loc>https://cdn.example.com/b.jpg</image:loc><loc><![CDATA[https://example.com/b?x=1&y=]]]]></loc></url>
  <url><loc>/c</loc><lastmod>long ago</lastmod><priority>7</priority></url>
  <url><loc>mailto:a@example.com</loc></url>
  <url/>
</urlset>
"#;

#[test]
fn a_url_set_gives_its_entries() {
    let (summary, entries) = parse(PLAIN.as_bytes());
    assert_eq!(
        locs(&entries),
        [
            "https://example.com/a?x=1&y=2",
            "https://example.com/b?x=1&y=]]",
            "https://example.com/c"
        ]
    );
    assert_eq!(entries[0].lastmod, parse_lastmod("2024-05-06T05:08:09Z"));
    assert_eq!(entries[0].changefreq, Some(ChangeFrequency::Weekly));
    assert_eq!(entries[0].priority, Some(0.8));
    assert_eq!((entries[2].lastmod, entries[2].priority), (None, None));
    assert_eq!(summary.kind, Kind::UrlSet);
    assert_eq!(
        (summary.invalid_urls, summary.truncated, summary.gzip_layers),
        (2, None, 0)
    );
    assert_eq!(summary.bytes, length(PLAIN.as_bytes()));
}

#[test]
fn namespaces_and_prefixes_do_not_matter() {
    for (open, close) in [
        ("<urlset><url><loc>", "</loc></url></urlset>"),
        (
            "<s:urlset xmlns:s='x'><s:url><s:loc>",
            "</s:loc></s:url></s:urlset>",
        ),
        (
            "<urlset xmlns='x' xmlns:s='x'><s:url><s:loc>",
            "</s:loc></s:url></urlset>",
        ),
        (
            "\u{feff}\n <urlset a='>' b=\"/>\"><url ><loc\n>",
            "</loc\t></url></urlset>",
        ),
        ("<urlset><group><url><loc>", "</loc></url></group></urlset>"),
        ("<url><loc>", "</loc></url>"),
        ("<URLSET><Url><LOC>", "</LOC></Url></URLSET>"),
        ("<urlset><url><loc>", "</LOC></URL></Urlset>"),
        (
            "\u{feff}\u{feff}<?xml version='1.0'?><urlset><url><loc>",
            "</loc></url></urlset>",
        ),
        (
            "<br />\n<b>Notice</b>: on line <b>3</b>\n<?xml version='1.0'?><urlset><url><loc>",
            "</loc></url></urlset>",
        ),
    ] {
        let (summary, entries) = parse(format!("{open}https://example.com/a{close}").as_bytes());
        assert_eq!(locs(&entries), ["https://example.com/a"], "{open}");
        assert_eq!(
            (summary.kind, summary.truncated),
            (Kind::UrlSet, None),
            "{open}"
        );
    }
}

#[test]
fn an_index_gives_its_children() {
    let text = "<sm:sitemapindex xmlns:sm='x'><sm:sitemap><sm:loc>/a.xml</sm:loc><sm:lastmod>2024-05-06</sm:lastmod></sm:sitemap>\
                <sm:sitemap><sm:loc>b.xml.gz</sm:loc></sm:sitemap></sm:sitemapindex>";
    let (summary, entries) = parse(text.as_bytes());
    assert_eq!(
        locs(&entries),
        [
            "https://example.com/a.xml",
            "https://example.com/maps/b.xml.gz"
        ]
    );
    assert_eq!(
        (entries[0].lastmod.is_some(), entries[1].lastmod),
        (true, None)
    );
    assert_eq!((summary.kind, summary.truncated), (Kind::Index, None));
}

#[test]
fn feeds_are_sitemaps_too() {
    let rss = "<rss version='2.0' xmlns:atom='a'><channel><link>https://example.com/</link><image><url>https://example.com/i.png\
               </url></image><item><title>x</title><link>https://example.com/1</link><atom:link href='/no'/>\
               <pubDate>Mon, 06 May 2024 07:08:09 +0200</pubDate></item>\
               <item><guid>https://example.com/2</guid></item></channel></rss>";
    let (summary, entries) = parse(rss.as_bytes());
    assert_eq!(
        locs(&entries),
        ["https://example.com/1", "https://example.com/2"]
    );
    assert_eq!(entries[0].lastmod, parse_lastmod("2024-05-06T05:08:09Z"));
    assert_eq!(summary.kind, Kind::Rss);

    let guids = "<rss><channel><item><guid isPermaLink='false'>https://example.com/1</guid></item>\
                 <item><guid isPermaLink=\"true\">https://example.com/2</guid></item></channel></rss>";
    let (summary, entries) = parse(guids.as_bytes());
    assert_eq!(locs(&entries), ["https://example.com/2"]);
    assert_eq!(summary.invalid_urls, 1);

    let rdf = "<rdf:RDF xmlns:rdf='r'><channel/><item rdf:about='x'><link>/1</link><dc:date>2024-05-06</dc:date></item></rdf:RDF>";
    let (summary, entries) = parse(rdf.as_bytes());
    assert_eq!(
        (summary.kind, locs(&entries)),
        (Kind::Rss, vec!["https://example.com/1"])
    );
    assert!(entries[0].lastmod.is_some());

    let atom = "<feed xmlns='a'><link href='/feed'/><entry><link rel='self' href='/no'/><link href=\"/1?a=1&amp;b=2\"/>\
                <updated>2024-05-06T07:08:09Z</updated></entry></feed>";
    let (summary, entries) = parse(atom.as_bytes());
    assert_eq!(
        (summary.kind, locs(&entries)),
        (Kind::Atom, vec!["https://example.com/1?a=1&b=2"])
    );
    assert!(entries[0].lastmod.is_some());
}

#[test]
fn text_is_a_sitemap_only_if_it_begins_with_a_url() {
    let (summary, entries) = parse(
        "\u{feff}\r\nhttps://example.com/a\r\rHTTP://Example.com/b\nnot a url\nhttps://x y\n"
            .as_bytes(),
    );
    assert_eq!(
        locs(&entries),
        ["https://example.com/a", "http://example.com/b"]
    );
    assert_eq!(
        (summary.kind, summary.invalid_urls, summary.truncated),
        (Kind::Text, 2, None)
    );
    let (_, entries) = parse(b"https://example.com/caf\xe9\n");
    assert_eq!(locs(&entries), ["https://example.com/caf%C3%A9"]);
    for text in [
        "",
        "  \n",
        "User-agent: *\nSitemap: https://example.com/s.xml\nhttps://example.com/a",
        "/relative",
        "ftp://example.com/",
        "https://example.com/ is our site",
        "{\"a\": 1}",
        "example.com",
    ] {
        let (summary, entries) = parse(text.as_bytes());
        assert_eq!(
            (summary.kind, entries.len(), summary.truncated),
            (Kind::None, 0, None),
            "{text:?}"
        );
    }
}

#[test]
fn html_is_no_sitemap() {
    for text in [
        "<!DOCTYPE html><html><body><a href='https://example.com/a'>sitemap</a><urlset><url><loc>https://x.com/</loc></url></urlset>",
        "<!doctype HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"><html>",
        "<html><body>404</body></html>",
        "<?xml version='1.0'?><html xmlns='x'/>",
        "<!-- c --><body><url><loc>https://example.com/</loc></url>",
        "<div>x",
    ] {
        let (summary, entries) = parse(text.as_bytes());
        assert_eq!(
            (summary.kind, entries.len(), summary.truncated),
            (Kind::None, 0, None),
            "{text:?}"
        );
    }
}

#[test]
fn entities_are_refused() {
    for text in [
        "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;'>]><urlset><url><loc>&lol2;</loc></url></urlset>",
        "<!DOCTYPE[<!ENTITY x SYSTEM 'http://10.0.0.1/'>]><urlset/>",
        "<!DOCTYPE urlset SYSTEM 'a>b' [<!ELEMENT url (loc)> <!entity % p 'x'>]><urlset/>",
    ] {
        for chunk in [1, usize::MAX] {
            assert_eq!(
                parse_in(text.as_bytes(), Limits::default(), chunk).map(|_| ()),
                Err(SitemapError::Entities),
                "{text}"
            );
        }
    }
    // A reference to an entity that nobody declared is only text.
    let (_, entries) = parse(
        b"<urlset><url><loc>https://example.com/?a=1&xxe;&copy=2&#38;d=&#x33;</loc></url></urlset>",
    );
    assert_eq!(locs(&entries), ["https://example.com/?a=1&xxe;&copy=2&d=3"]);
}

#[test]
fn document_types_without_entities_are_passed_over() {
    for declaration in [
        "<!DOCTYPE urlset>",
        "<!doctype urlset SYSTEM \"file:///etc/passwd\">",
        "<!DOCTYPE urlset PUBLIC '-//Somebody//DTD [of] <them>//EN' \"https://example.com/a'b.dtd\" >",
        "<!DOCTYPE urlset [\n<!ELEMENT url (loc, lastmod?)>\n<!ATTLIST url id CDATA '>'>\n]>",
        "<!DOCTYPE\nurlset\n[\n]\n>",
    ] {
        let text = format!(
            "<?xml version='1.0'?>{declaration}<urlset><url><loc>https://example.com/a</loc></url></urlset>"
        );
        for chunk in [1, usize::MAX] {
            let (summary, entries) =
                parse_in(text.as_bytes(), Limits::default(), chunk).expect(declaration);
            assert_eq!(summary.kind, Kind::UrlSet, "{declaration}");
            assert_eq!(locs(&entries), ["https://example.com/a"], "{declaration}");
        }
    }
}

#[test]
fn every_address_of_an_entry_counts() {
    for (text, expected, invalid) in [
        (
            "<sitemapindex><sitemap><loc>https://example.com/a.xml</loc><loc>https://example.com/b.xml</loc></sitemap></sitemapindex>",
            &[
                ("https://example.com/a.xml", false),
                ("https://example.com/b.xml", false),
            ][..],
            0,
        ),
        (
            "<urlset><url><loc>/a</loc><lastmod>2024-05-06</lastmod><loc>/b</loc><loc>/b</loc><loc/><loc>/c</loc><lastmod>2024-05-06</lastmod></url></urlset>",
            &[
                ("https://example.com/a", true),
                ("https://example.com/b", false),
                ("https://example.com/c", true),
            ],
            0,
        ),
        (
            "<urlset><url><loc>mailto:a@example.com</loc><loc>/a</loc><loc>ftp://example.com/</loc></url><url><loc>/b</loc></url></urlset>",
            &[
                ("https://example.com/a", false),
                ("https://example.com/b", false),
            ],
            1,
        ),
        (
            "<rss><channel><item><link>https://example.com/a</link><link>https://example.com/b</link></item></channel></rss>",
            &[("https://example.com/a", false)],
            0,
        ),
    ] {
        let (summary, entries) = parse(text.as_bytes());
        let found: Vec<(&str, bool)> = entries
            .iter()
            .map(|entry| (entry.loc.as_str(), entry.lastmod.is_some()))
            .collect();
        assert_eq!(
            (found.as_slice(), summary.invalid_urls),
            (expected, invalid),
            "{text}"
        );
    }
}

#[test]
fn a_scheme_that_was_left_out_is_put_back() {
    for (loc, expected) in [
        ("www.example.com/a", "https://www.example.com/a"),
        ("WWW.example.org/b?c=d", "https://www.example.org/b?c=d"),
        ("example.com/a/b.html", "https://example.com/a/b.html"),
        ("shop.example.com:8443/a", "https://shop.example.com:8443/a"),
        ("www.bücher.de/ä", "https://www.xn--bcher-kva.de/%C3%A4"),
        // Paths, whatever they look like.
        ("about.html", "https://example.com/maps/about.html"),
        ("example.org/b", "https://example.com/maps/example.org/b"),
        ("archive.zip", "https://example.com/maps/archive.zip"),
        (
            "./www.example.com/a",
            "https://example.com/maps/www.example.com/a",
        ),
        ("www.index.html", "https://example.com/maps/www.index.html"),
    ] {
        let text = format!("<urlset><url><loc>{loc}</loc></url></urlset>");
        let (_, entries) = parse(text.as_bytes());
        assert_eq!(locs(&entries), [expected], "{loc}");
    }
}

#[test]
fn comments_in_text_are_passed_over() {
    for text in [
        "# pages\nhttps://example.com/a\n# more\nhttps://example.com/b\n",
        "; Seiten\r\n\r\n;\r\nwww.example.com/a\r\nhttps://example.com/b",
        "// страницы\nexample.com/a\nhttps://example.com/b\n#",
    ] {
        let (summary, entries) = parse(text.as_bytes());
        let paths: Vec<&str> = entries.iter().map(|entry| entry.loc.path()).collect();
        assert_eq!(
            (summary.kind, paths),
            (Kind::Text, vec!["/a", "/b"]),
            "{text}"
        );
        assert_eq!(summary.invalid_urls, 0, "{text}");
    }
    for text in [
        "# only\n# comments\n",
        "# robots\nUser-agent: *\nDisallow: /a\n",
    ] {
        assert_eq!(parse(text.as_bytes()).0.kind, Kind::None, "{text}");
    }
}

#[test]
fn utf32_is_read() {
    let text = "<?xml version='1.0' encoding='UTF-32'?><urlset><url><loc>https://example.com/ä😀</loc></url></urlset>";
    let encode = |text: &str, bytes_of: fn(u32) -> [u8; 4]| -> Vec<u8> {
        text.chars()
            .flat_map(|own| bytes_of(u32::from(own)))
            .collect()
    };
    for file in [
        encode(text, u32::to_be_bytes),
        encode(text, u32::to_le_bytes),
        encode(&format!("\u{feff}{text}"), u32::to_be_bytes),
        encode(&format!("\u{feff}{text}"), u32::to_le_bytes),
    ] {
        for chunk in [1, 3, usize::MAX] {
            let (_, entries) = parse_in(&file, Limits::default(), chunk).expect("UTF-32");
            assert_eq!(locs(&entries), ["https://example.com/%C3%A4%F0%9F%98%80"]);
        }
    }
}

#[test]
fn damage_leaves_what_came_before_it() {
    let cut = "<urlset><url><loc>https://example.com/a</loc></url><url><loc>https://example.com/b</loc><lastmod>2024-0";
    let (summary, entries) = parse(cut.as_bytes());
    assert_eq!(
        locs(&entries),
        ["https://example.com/a", "https://example.com/b"]
    );
    assert_eq!(
        (summary.kind, summary.truncated),
        (Kind::UrlSet, Some(Reason::UnexpectedEnd))
    );
    let (summary, entries) = parse(
        b"<urlset><url><loc>https://example.com/a</loc></url><url><loc>https://example.com/lon",
    );
    assert_eq!((entries.len(), summary.invalid_urls), (1, 0));

    for damaged in [
        // No end of an entry.
        "<urlset><url><loc>https://example.com/a</loc><url><loc>https://example.com/b</loc></url></urlset>",
        // No end of a value.
        "<urlset><url><loc>https://example.com/a</loc></url><url><loc>https://example.com/b</url></urlset>",
        // No end of a tag, or of a quoted value.
        "<urlset><url><loc>https://example.com/a</loc></url><url x='><loc>https://example.com/b</loc></url></urlset>",
        "<urlset><url><loc>https://example.com/a</loc><lastmod</url><url><loc>https://example.com/b</loc></url></urlset>",
        // Misspelt ends, bare markup characters, foreign declarations.
        "<urlset><url><loc>https://example.com/a</lock></url><url>< 5 & <!x><loc>https://example.com/b</loc></url></urlset>",
        "<urlset><url><loc>https://example.com/a</loc></url></url></x><url><loc>https://example.com/b</loc></url></urlset>",
    ] {
        let (_, entries) = parse(damaged.as_bytes());
        assert_eq!(
            locs(&entries),
            ["https://example.com/a", "https://example.com/b"],
            "{damaged}"
        );
    }
}

#[test]
fn encodings_are_recognised() {
    let text = "<?xml version=\"1.0\" encoding=\"utf-16\"?><urlset><url><loc>https://example.com/ä</loc></url></urlset>";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><urlset><url><loc>https://example.com/\xe4</loc></url></urlset>";
    let wrongly = "<?xml version='1.0' encoding='ISO-8859-1'?><urlset><url><loc>https://example.com/ä</loc></url></urlset>";
    let undeclared = b"<urlset><url><loc>https://example.com/\xe4</loc></url></urlset>";
    let cyrillic = b"<?xml version='1.0' encoding = \"windows-1251\" ?><urlset><url><loc>https://example.com/\xd0</loc></url></urlset>";
    for (bytes, expected) in [
        (text.as_bytes().to_vec(), "https://example.com/%C3%A4"),
        (little.clone(), "https://example.com/%C3%A4"),
        (big.clone(), "https://example.com/%C3%A4"),
        (
            [b"\xff\xfe".to_vec(), little].concat(),
            "https://example.com/%C3%A4",
        ),
        (
            [b"\xfe\xff".to_vec(), big].concat(),
            "https://example.com/%C3%A4",
        ),
        (
            [b"\xef\xbb\xbf".to_vec(), text.as_bytes().to_vec()].concat(),
            "https://example.com/%C3%A4",
        ),
        (latin.to_vec(), "https://example.com/%C3%A4"),
        (wrongly.into(), "https://example.com/%C3%A4"),
        (undeclared.to_vec(), "https://example.com/%C3%A4"),
        (cyrillic.to_vec(), "https://example.com/%D0%A0"),
    ] {
        let (summary, entries) = parse(&bytes);
        assert_eq!(
            (summary.kind, locs(&entries)),
            (Kind::UrlSet, vec![expected])
        );
    }
}

#[test]
fn gzip_is_known_by_its_magic_bytes() {
    let plain = url_set(500);
    let expected = parse(plain.as_bytes()).1;
    let once = gzip(plain.as_bytes());
    let twice = gzip(&once);
    let (head, tail) = plain.split_at(1_000);
    let members = [gzip(head.as_bytes()), gzip(tail.as_bytes())].concat();
    for (bytes, layers) in [(once.clone(), 1), (twice.clone(), 2), (members, 1)] {
        let (summary, entries) = parse(&bytes);
        assert_eq!((summary.gzip_layers, summary.truncated), (layers, None));
        assert_eq!(summary.bytes, length(plain.as_bytes()));
        assert!(entries == expected);
    }
    let (summary, _) = parse_in(&gzip(&twice), Limits::default(), usize::MAX).unwrap();
    assert_eq!((summary.kind, summary.urls), (Kind::None, 0));

    // Cut, and damaged in the middle.
    let (summary, entries) = parse(&once[..once.len() / 2]);
    assert_eq!(
        (summary.kind, summary.truncated),
        (Kind::UrlSet, Some(Reason::DamagedGzip))
    );
    assert!(
        entries.len() > 50 && expected.starts_with(&entries),
        "{}",
        entries.len()
    );
    let mut damaged = once;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20].fill(0xff);
    let (summary, _) = parse_in(&damaged, Limits::default(), 64).unwrap();
    assert_eq!(summary.truncated, Some(Reason::DamagedGzip));
    let (summary, _) = parse(b"\x1f\x8b");
    assert_eq!((summary.kind, summary.urls), (Kind::None, 0));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..40) {
        for bytes in [bytes.clone(), gzip(&bytes)] {
            let whole = parse_in(&bytes, Limits::default(), usize::MAX);
            prop_assert_eq!(parse_in(&bytes, Limits::default(), chunk), whole);
        }
    }

    #[test]
    fn what_is_plainly_fetchable_is_refused_by_no_parser(text in "https?://[a-z0-9.-]{1,14}/(\\PC|[\t\n\\\\]){0,12}") {
        if is_plainly_fetchable(&text) {
            let base = Base { url: base(), tracking: Arc::clone(TrackingParameters::built_in()) };
            prop_assert!(<Url as Location>::resolve(&base, &text).is_some());
            prop_assert!(<Url as Location>::normalize(&base, &text).is_some());
        }
    }

    #[test]
    fn chunks_do_not_matter(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "<urlset>", "</urlset>", "<url>", "</url>", "<loc>", "</loc>", "<lastmod>", "2024-05-06", "https://example.com/a",
                "/b&amp;c", "<![CDATA[", "]]>", "]", "<!--", "-->", "-", "<?x", "?>", "<", ">", "'", "\"", "&", "<a:loc x='1'/>",
                "<sitemapindex>", "<item>", "<rss>", " ", "\n", "<!DOCTYPE x", "é",
            ]),
            0..40,
        ),
        chunk in 1_usize..12,
    ) {
        let text = pieces.concat();
        let whole = parse_in(text.as_bytes(), Limits::default(), usize::MAX);
        prop_assert_eq!(parse_in(text.as_bytes(), Limits::default(), chunk), whole);
    }
}

#[test]
fn what_a_parser_may_refuse_or_change_is_not_plain() {
    assert!(is_plainly_fetchable("https://www.example-4.com/a b?c#d"));
    for text in [
        "https://1.2.3.4/",
        "https://a.1/",
        "https://xn--a.example/",
        "https://example.com",
        "https://example.com:x/",
        "https://user@example.com/",
        "https://ex ample.com/",
        "https://.example.com/",
        "https://example.com./",
        "HTTPS://example.com/",
        "ftp://example.com/",
        "/a",
    ] {
        assert!(!is_plainly_fetchable(text), "{text}");
    }
}

#[test]
fn an_address_as_given_is_absolute_only_by_its_own_scheme() {
    let file = "<urlset><url><loc>/a</loc></url><url><loc>b?to=https://x.example/</loc></url><url><loc>https://c.example/#d</loc></url><url><loc>https:/e</loc></url>\
                <url><loc>//f.example/</loc></url><url><loc>\n  https://g.example/\n  h\n</loc></url></urlset>";
    let base = Url::parse("https://base.example/s/sitemap.xml").expect("a URL");
    let tracking = Arc::clone(TrackingParameters::built_in());
    let mut parser = Parser::<AsGiven>::with_tracking(&base, Limits::default(), tracking);
    let mut found = Vec::new();
    let mut each = |entry: Entry<AsGiven>| found.push((entry.loc.url, entry.loc.is_relative));
    parser.feed(file.as_bytes(), &mut each).expect("no entity");
    parser.finish(&mut each).expect("no entity");
    assert_eq!(
        found,
        [
            ("https://base.example/a".to_owned(), true),
            (
                "https://base.example/s/b?to=https://x.example/".to_owned(),
                true
            ),
            ("https://c.example/#d".to_owned(), false),
            ("https://base.example/e".to_owned(), true),
            ("https://f.example/".to_owned(), false),
            ("https://g.example/h".to_owned(), false),
        ]
    );
}

/// Checks kinds and counts of files that were labelled by independent means; returns how many there are.
fn check_labelled(folder: &std::path::Path) -> usize {
    #[derive(serde::Deserialize)]
    struct Label {
        file: String,
        kind: String,
        urls: u64,
        first: Vec<String>,
    }
    let labels: Vec<Label> = testdata::labels(folder);
    for label in &labels {
        let bytes = std::fs::read(folder.join(&label.file)).unwrap();
        let (summary, entries) = parse_in(&bytes, Limits::default(), 16 * 1024).unwrap();
        let first: Vec<String> = label
            .first
            .iter()
            .map(|loc| crate::url::resolve(&base(), loc).unwrap().into())
            .collect();
        assert_eq!(
            (summary.kind.as_str(), summary.urls),
            (label.kind.as_str(), label.urls),
            "{}",
            label.file
        );
        assert_eq!(
            (summary.invalid_urls, summary.truncated),
            (0, None),
            "{}",
            label.file
        );
        assert!(locs(&entries).starts_with(&first.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    labels.len()
}

#[test]
fn the_sample_gives_the_labelled_counts() {
    let files = check_labelled(&testdata::sample("sitemaps"));
    assert!(files >= 7, "{files}");
}

#[test]
fn real_files_give_the_labelled_counts() {
    if let Some(folder) = testdata::larger("sitemaps") {
        check_labelled(&folder);
    }
}
