//! What files may cost: budgets, bombs, and what costs more than it holds.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn budgets_end_the_parse_and_say_so() {
    let text = url_set(100);
    for bytes in [text.clone().into_bytes(), gzip(text.as_bytes())] {
        let limits = Limits {
            max_urls: 10,
            ..Limits::default()
        };
        let (summary, entries) = parse_in(&bytes, limits, 100).unwrap();
        assert_eq!(
            (entries.len(), summary.truncated),
            (10, Some(Reason::MaxUrls))
        );
        let limits = Limits {
            max_urls: 100,
            ..Limits::default()
        };
        let (summary, _) = parse_in(&bytes, limits, usize::MAX).unwrap();
        assert_eq!((summary.urls, summary.truncated), (100, None));
        let limits = Limits {
            max_bytes: 1_000,
            ..Limits::default()
        };
        let (summary, entries) = parse_in(&bytes, limits, usize::MAX).unwrap();
        assert_eq!(
            (summary.bytes, summary.truncated),
            (1_000, Some(Reason::MaxBytes))
        );
        assert!((10..15).contains(&entries.len()), "{}", entries.len());
        let limits = Limits {
            max_bytes: length(text.as_bytes()),
            ..Limits::default()
        };
        assert_eq!(parse_in(&bytes, limits, 11).unwrap().0.truncated, None);
    }
    let lines = "https://example.com/a\n".repeat(20);
    let limits = Limits {
        max_urls: 10,
        ..Limits::default()
    };
    let (summary, _) = parse_in(lines.as_bytes(), limits, 7).unwrap();
    assert_eq!(
        (summary.kind, summary.urls, summary.truncated),
        (Kind::Text, 10, Some(Reason::MaxUrls))
    );
}

#[test]
fn bombs_cost_no_memory_and_stop_at_the_budget() {
    let zeros = vec![b' '; 20 * 1024 * 1024];
    let bomb = gzip(&gzip(&zeros));
    let limits = Limits {
        max_bytes: 1024 * 1024,
        ..Limits::default()
    };
    let (summary, _) = parse_in(&bomb, limits, usize::MAX).unwrap();
    assert_eq!(
        (summary.kind, summary.bytes, summary.truncated),
        (Kind::None, 1024 * 1024, Some(Reason::MaxBytes))
    );

    let long = format!(
        "<urlset><url><loc>https://example.com/{}</loc></url>{}",
        "a".repeat(100_000),
        "<url><loc>/b</loc></url>"
    );
    let (summary, entries) = parse_in(long.as_bytes(), Limits::default(), 4_096).unwrap();
    assert_eq!(
        (locs(&entries), summary.invalid_urls),
        (vec!["https://example.com/b"], 1)
    );
    let deep = "<urlset>".to_owned() + &"<a>".repeat(200_000) + "<url><loc>/b</loc></url>";
    assert_eq!(
        parse_in(deep.as_bytes(), Limits::default(), 4_096)
            .unwrap()
            .1
            .len(),
        1
    );
    let one_tag = format!(
        "<urlset {}><url><loc>/b</loc></url></urlset>",
        "x".repeat(1_000_000)
    );
    assert_eq!(
        parse_in(one_tag.as_bytes(), Limits::default(), 4_096)
            .unwrap()
            .1
            .len(),
        1
    );
}

/// What is long in a program that is not optimised, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gzip header, and so many blocks: stored ones of no bytes.
fn empty_blocks(count: usize) -> Vec<u8> {
    [&gzip(b"")[..10], &[0, 0, 0, 0xff, 0xff].repeat(count)[..]].concat()
}

/// Files that cost time for what holds nothing: an end, in bounded time, with the name of the limit.
#[test]
fn what_costs_more_than_it_holds_is_refused_by_name() {
    let head = format!("<urlset>{}", "<url><loc>/a</loc></url>".repeat(3));
    let members = [gzip(head.as_bytes()), gzip(b"").repeat(1_000_000)].concat();
    let empty = empty_blocks(2_000_000);
    let tags = format!("{head}{}", "<a>".repeat(2_100_000));
    let ends = format!("{head}{}", "<a/>".repeat(2_100_000));
    let attributes = format!("{head}{}", "<a b='c' d=\"e\"/>".repeat(2_100_000));
    for (bytes, error, limit) in [
        (&members, SitemapError::GzipMembers, "gzip_members"),
        // Members of nothing within members of nothing.
        (&gzip(&members), SitemapError::GzipMembers, "gzip_members"),
        (&empty, SitemapError::GzipIdle, "gzip_idle_bytes"),
        (&gzip(&empty), SitemapError::GzipIdle, "gzip_idle_bytes"),
        (
            &[gzip(head.as_bytes()), empty.clone()].concat(),
            SitemapError::GzipIdle,
            "gzip_idle_bytes",
        ),
        (&tags.into_bytes(), SitemapError::Tags, "tags"),
        (&gzip(ends.as_bytes()), SitemapError::Tags, "tags"),
        (&attributes.into_bytes(), SitemapError::Tags, "tags"),
    ] {
        let limits = Limits {
            max_bytes: 200 << 20,
            ..Limits::default()
        };
        let started = Instant::now();
        let refused = parse_in(bytes, limits, 16 * 1024).unwrap_err();
        let took = started.elapsed();
        assert_eq!((refused, refused.limit()), (error, Some(limit)));
        assert!(took < PATIENCE, "{limit}: {took:?}");
    }
    assert_eq!(
        SitemapError::GzipMembers.to_string(),
        "the sitemap has more than 4096 gzip members"
    );
    assert_eq!(SitemapError::Entities.limit(), None);
}

/// Entries that are none, lines that are none, addresses that lead nowhere: as many as there may be entries, then it ends.
#[test]
fn entries_that_are_none_are_bounded_too() {
    let limits = Limits {
        max_urls: 100,
        ..Limits::default()
    };
    let within = "<url><loc>ftp:x</loc></url>".repeat(100);
    let beyond = "<url><loc>ftp:x</loc></url>".repeat(101);
    let one = "<url><loc>/a</loc></url>";
    let many = format!(
        "<urlset>{one}<url>{}</url>{one}</urlset>",
        "<loc>ftp:x</loc>".repeat(900)
    );
    let guids = format!(
        "<rss><item>{}</item></rss>",
        "<guid>http://e.com/</guid>".repeat(900)
    );
    let links = format!(
        "<feed><entry>{}</entry></feed>",
        "<link href='ftp:x'/>".repeat(900)
    );
    for (text, urls, truncated) in [
        (format!("<urlset>{one}{within}{one}</urlset>"), 2, None),
        (
            format!("<urlset>{one}{beyond}{one}</urlset>"),
            1,
            Some(Reason::MaxInvalid),
        ),
        (many, 1, Some(Reason::MaxInvalid)),
        (guids, 0, Some(Reason::MaxInvalid)),
        (links, 0, Some(Reason::MaxInvalid)),
        (
            format!("https://e.com/\n{}", "x\n".repeat(101)),
            1,
            Some(Reason::MaxInvalid),
        ),
        (format!("https://e.com/\n{}", "\n".repeat(100_000)), 1, None),
        // A line without end is one.
        (
            format!("https://e.com/\n{}", "x".repeat(1_000_000)),
            1,
            None,
        ),
    ] {
        let (summary, _) = parse_in(text.as_bytes(), limits, 1_000).unwrap();
        let start: String = text.chars().take(60).collect();
        assert_eq!(
            (summary.urls, summary.truncated),
            (urls, truncated),
            "{start}"
        );
    }
}

/// What is deep, or long, is only more of the same.
#[test]
fn depth_and_length_cost_nothing_more() {
    let deep = format!(
        "<urlset>{}<url><loc>/a</loc></url></urlset>",
        "<a>".repeat(1_000_000)
    );
    let long = format!(
        "<urlset><url {}><loc>/a</loc></url></urlset>",
        "b='c' ".repeat(1_000_000)
    );
    let content = format!(
        "<urlset><url><x><![CDATA[{}]]></x><loc><![CDATA[/a?b&c]]></loc></url></urlset>",
        "]>".repeat(2_000_000)
    );
    let comments = format!(
        "<urlset>{}<url><loc>/a</loc></url></urlset>",
        "<!--a-->".repeat(1_000_000)
    );
    for text in [deep, long, content, comments] {
        let started = Instant::now();
        let (summary, _) = parse_in(text.as_bytes(), Limits::default(), 16 * 1024).unwrap();
        let start: String = text.chars().take(40).collect();
        assert!(started.elapsed() < PATIENCE, "{start}");
        assert_eq!(summary.urls, 1, "{start}");
    }
    // As many members as a parallel compressor makes of a full file.
    let blocks: Vec<u8> = url_set(40_000)
        .as_bytes()
        .chunks(16 * 1024)
        .flat_map(gzip)
        .collect();
    let (summary, _) = parse_in(&blocks, Limits::default(), 5_000).unwrap();
    assert_eq!((summary.urls, summary.truncated), (40_000, None));
}
