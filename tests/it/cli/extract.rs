//! `extract`: every kind as its users meet it, and what hostile input costs.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{Ran, gleaner, gleaner_with};

/// The answers to these requests, one JSON value a line.
fn lines(kind: &str, flags: &[&str], requests: &str) -> Vec<Value> {
    let mut arguments = vec!["extract", kind, "--jsonl"];
    arguments.extend(flags);
    let ran = gleaner_with(None, &arguments, requests);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The output for one request.
fn output(kind: &str, request: &Value) -> Value {
    let answers = lines(kind, &[], &request.to_string());
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0]["error"], Value::Null, "{kind} {request}");
    answers[0]["output"].clone()
}

/// The error for one request.
fn error(kind: &str, request: &Value) -> String {
    let answers = lines(kind, &[], &request.to_string());
    let error = answers[0]["error"].as_str();
    error.unwrap_or_else(|| panic!("{answers:?}")).to_owned()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn every_kind_gives_its_output() {
    for (kind, request, expected) in [
        (
            "url",
            json!({"text": "HTTPS://Example.com:443/A?utm_source=x&b=2&a=1#top"}),
            json!({"url": "https://example.com/A?b=2&a=1", "key": "https://example.com/A?a=1&b=2", "changed": true}),
        ),
        (
            "url",
            json!({"url": "https://example.com/?id=1"}),
            json!({"url": "https://example.com/?id=1", "changed": false}),
        ),
        (
            "domain",
            json!({"text": "https://www.joe.github.io/x"}),
            json!({"host": "joe.github.io", "registrable": "github.io", "suffix": "io", "shared": null}),
        ),
        (
            "domain",
            json!({"text": "joe.github.io", "private": true}),
            json!({"host": "joe.github.io", "registrable": "joe.github.io", "suffix": "github.io", "shared": null}),
        ),
        (
            "domain",
            json!({"text": "not a host"}),
            json!({"host": "not", "registrable": null, "suffix": null, "shared": null}),
        ),
        (
            "robots",
            json!({"text": "\u{feff}User-agent: *\nDisallow: /a*b$\nCrawl-delay: 1.5\nSitemap: https://x.org/s.xml",
                   "user_agent": "Gleaner", "url": "https://x.org/a1b"}),
            json!({"allowed": false, "crawl_delay": 1.5, "sitemaps": ["https://x.org/s.xml"]}),
        ),
        (
            "robots",
            json!({"text": "Disallow: /", "url": "/path"}),
            json!({"allowed": true, "crawl_delay": null, "sitemaps": []}),
        ),
        (
            "sitemap",
            json!({"text": "<urlset><url><loc>/a?utm_source=x</loc><lastmod>2024-01-02</lastmod><priority>0.8</priority>\
                            <changefreq>daily</changefreq></url><url><loc>mailto:x</loc></url></urlset>",
                   "url": "https://x.org/s.xml"}),
            json!({"kind": "urlset", "truncated": null, "invalid": 1, "urls": [{"loc": "https://x.org/a",
                   "lastmod": "2024-01-02T00:00:00Z", "changefreq": "daily", "priority": 0.8}]}),
        ),
        (
            "sitemap",
            json!({"text": "<?xml version='1.0' encoding='iso-8859-1'?><sitemapindex><sitemap><loc>https://x.org/é</loc></sitemap>\
                            <sitemap><loc>/relative</loc></sitemap>", "urls_only": true}),
            json!({"kind": "index", "truncated": "unexpected_end", "invalid": 1, "urls": ["https://x.org/é"]}),
        ),
        (
            "contacts",
            json!({"html": "<a href='mailto:Info@Acme.de'>x</a> Fax: 030 901820 <a href='https://www.facebook.com/acme'>f</a>",
                   "default_region": "DE", "url": "https://acme.de/"}),
            json!({"emails": [{"value": "info@acme.de", "source": "mailto", "confidence": 0.98, "kind": "service", "is_no_reply": false}],
                   "phones": [{"e164": "+4930901820", "raw": "030 901820", "kind": "fax", "source": "text", "confidence": 0.85}],
                   "socials": [{"platform": "facebook", "url": "https://www.facebook.com/acme", "handle": "acme"}],
                   "name": null, "address": null}),
        ),
        (
            "pattern",
            json!({"html": "<b class=p>12</b>", "pattern": {"store_domain": "x.org", "patterns": {
                   "price": {"primary": {"type": "css", "selector": ".p", "confidence": 0.9}}}}}),
            json!({"fields": {"price": {"value": "12", "method": "css", "confidence": 0.9, "selector": "primary"}}}),
        ),
    ] {
        assert_eq!(output(kind, &request), expected, "{kind} {request}");
    }
    let price = output("price", &json!({"text": "1 299,00 kr", "currency": "NOK"}));
    assert_eq!(price["amount"], "1299.00");
    assert_eq!(price["currency"], "NOK");
    let page = output(
        "page",
        &json!({"html": "<html lang=de><title>T</title><meta name=description content=D><h1>H</h1><p>two words \
                         <a href='/x?utm_source=y#z'>X</a>", "url": "https://acme.de/kontakt"}),
    );
    for (field, expected) in [
        ("title", json!("T")),
        ("description", json!("D")),
        ("canonical", json!(null)),
        ("language", json!("de")),
        ("h1", json!("H")),
        ("text", json!("H\ntwo words X")),
        ("word_count", json!(4)),
        (
            "links",
            json!([{"url": "https://acme.de/x", "text": "X", "nofollow": false}]),
        ),
        ("page_type", json!("contact_root")),
        ("rule", json!("contact")),
    ] {
        assert_eq!(page[field], expected, "{field}");
    }
    let offer = output(
        "offer",
        &json!({"html": "<h1>Mug</h1>", "url": "https://shop.example.com/mug"}),
    );
    assert!(offer["sources"].is_array() && offer["confidence"].is_number());
}

#[test]
fn answers_keep_the_order_of_the_lines_whatever_the_jobs() {
    let requests: String = (0..3_000)
        .map(|id| format!("{{\"id\":{id},\"text\":\"https://example.com/{id}?b&a\"}}\n"))
        .collect();
    let of = |jobs| {
        gleaner_with(
            None,
            &["extract", "url", "--jsonl", "--jobs", jobs],
            &requests,
        )
    };
    let (one, four) = (of("1"), of("4"));
    assert_eq!(one.stdout, four.stdout);
    let ids: Vec<u64> = one
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["id"].as_u64())
        .collect();
    assert_eq!(ids, (0..3_000).collect::<Vec<u64>>());
}

#[test]
fn a_bad_line_is_answered_and_ends_nothing() {
    let requests = "{\"id\": \"a\", \"text\": \"ftp://x.org\"}\n\nnonsense\n{\"id\": 12345678901234567890123, \"text\": 5}\n\
                    {\"text\": \"x.org\", \"id\": null, \"unknown\": {}}\n{\"id\": {\"k\": [1]}}\r\n[]";
    let ran = gleaner_with(None, &["extract", "url", "--jsonl"], requests);
    assert_eq!(ran.code, 0, "{ran:?}");
    let starts = [
        "{\"id\":\"a\",\"error\":\"not a url that can be fetched: the scheme \\\"ftp\\\" is not http or https\"}",
        "{\"id\":null,\"error\":\"line 3 is not a JSON object with",
        "{\"id\":12345678901234567890123,\"error\":\"line 4 is not a JSON object with",
        "{\"id\":null,\"output\":{\"url\":\"https://x.org/\",\"changed\":true}}",
        "{\"id\":{\"k\": [1]},\"error\":\"nothing to work on: give one of",
        "{\"id\":null,\"error\":\"line 7 is not a JSON object with",
    ];
    let answers: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(answers.len(), starts.len(), "{ran:?}");
    for (answer, start) in answers.iter().zip(starts) {
        assert!(answer.starts_with(start), "{answer}");
    }
}

#[test]
fn what_stands_beside_a_document_is_checked() {
    for (kind, request, expected) in [
        (
            "contacts",
            json!({"html": "", "url": "https://"}),
            "\"url\" is not a url: empty host",
        ),
        (
            "price",
            json!({"text": "5", "currency": "GOLD"}),
            "\"currency\" must be an ISO 4217 code",
        ),
        (
            "price",
            json!({"text": "5", "decimal_separator": "x"}),
            "\"decimal_separator\" must be",
        ),
        (
            "pattern",
            json!({"html": ""}),
            "no pattern: give \"pattern\"",
        ),
        (
            "pattern",
            json!({"html": "", "pattern": {"store_domain": "x", "patterns": {"price": {}}}}),
            "the pattern is refused: patterns.price.primary is missing",
        ),
        (
            "page",
            json!({"file": "none.html"}),
            "cannot read none.html: No such file",
        ),
        (
            "page",
            json!({"file": "/dev/zero"}),
            "/dev/zero is not a regular file",
        ),
        (
            "page",
            json!({}),
            "nothing to work on: give one of \"html\" or \"file\"",
        ),
        (
            "sitemap",
            json!({"text": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><urlset>&a;</urlset>"}),
            "the sitemap has a document type declaration",
        ),
    ] {
        let found = error(kind, &request);
        assert!(found.starts_with(expected), "{kind} {request}: {found}");
    }
}

#[test]
fn files_are_beside_the_requests_and_of_any_encoding() {
    let folder = tempfile::tempdir().expect("a folder");
    let put =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
    put(
        "latin.html",
        b"<meta charset=iso-8859-1><title>caf\xe9</title>",
    );
    put("packed.html.gz", &gzip("<title>Ærlig</title>".as_bytes()));
    put("nul.html", b"<title>a\0b</title>\0");
    put("utf16.html", b"\xff\xfe<\0t\0i\0t\0l\0e\0>\0x\0");
    let requests = ["latin.html", "packed.html.gz", "nul.html", "utf16.html"]
        .map(|name| json!({ "file": name }).to_string());
    put("requests.jsonl", requests.join("\n").as_bytes());
    let path = folder.path().join("requests.jsonl");
    let ran = gleaner(
        None,
        &["extract", "page", "--jsonl", &path.to_string_lossy()],
    );
    let titles: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect(line)["output"]["title"].clone())
        .collect();
    assert_eq!(titles, ["café", "Ærlig", "ab", "x"], "{ran:?}");
}

#[test]
fn one_document_is_printed_for_people() {
    let ran = gleaner(None, &["extract", "domain", "--text", "www.example.co.uk"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.starts_with("{\n  \"host\": \"example.co.uk\""),
        "{ran:?}"
    );
    let from_stdin = gleaner_with(None, &["extract", "url"], " example.com \n");
    assert_eq!(
        from_stdin.json(),
        json!({"url": "https://example.com/", "changed": true})
    );
    let refused = gleaner(None, &["extract", "url", "--text", "mailto:x@y.z"]);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (1, ""),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("\"mailto\" is not http or https"),
        "{refused:?}"
    );
    for arguments in [
        &["extract", "nonsense"][..],
        &["extract", "url", "--jobs", "2"],
        &["extract", "url", "--jsonl", "--jobs", "0"],
        &["extract", "url", "--jsonl", "/nowhere/x.jsonl"],
        &["extract", "pattern", "--pattern", "/nowhere/p.json"],
    ] {
        assert_eq!(gleaner(None, arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn the_configuration_adjusts_the_tracking_parameters() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("gleaner.toml");
    fs::write(
        &config,
        "[extract]\ntracking_parameters_extra = [\"aff_*\"]\ntracking_parameters_keep = [\"gclid\"]\n",
    )
    .expect("a file");
    let text = "https://x.org/?aff_1=a&gclid=b&utm_id=c";
    let config = config.to_string_lossy();
    let ran = gleaner(
        None,
        &["--config", &config, "extract", "url", "--text", text],
    );
    assert_eq!(ran.json()["url"], "https://x.org/?gclid=b");
}

/// Peak memory in KiB of a run over one file, by the kernel's count, and what it printed.
fn measured(kind: &str, file: &Path) -> (Ran, u64) {
    let ran = gleaner(None, &["extract", kind, &file.to_string_lossy()]);
    let children = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
        .expect("the kernel answers");
    (ran, u64::try_from(children.max_rss()).unwrap_or(u64::MAX))
}

#[test]
fn hostile_documents_cost_little() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("document");
    let nested = "<div>".repeat(100_000) + &"</div>".repeat(100_000);
    let bomb = gzip(&vec![b'a'; 200 * 1024 * 1024]);
    let entities =
        "<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><urlset>&b;</urlset>";
    let long_line = "<p>a@b".repeat(9_000_000);
    for (kind, bytes, code) in [
        ("page", nested.as_bytes(), 0),
        ("contacts", nested.as_bytes(), 0),
        ("offer", nested.as_bytes(), 0),
        ("page", long_line.as_bytes(), 0),
        ("contacts", &vec![0_u8; 5_000_000], 0),
        ("page", &bomb, 0),
        ("sitemap", &bomb, 0),
        ("robots", &bomb, 0),
        ("price", &bomb, 0),
        ("url", &bomb, 1),
        ("sitemap", entities.as_bytes(), 1),
        ("robots", long_line.as_bytes(), 0),
    ] {
        fs::write(&path, bytes).expect("a file");
        let (ran, peak_kib) = measured(kind, &path);
        assert_eq!(ran.code, code, "{kind} {}", ran.stderr);
        // Unoptimised code and the tables of all countries' numbers included.
        assert!(peak_kib < 400 * 1024, "{kind}: {peak_kib} KiB");
    }
}
