//! Tests of `extract::robots`.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::testdata;

fn url(path: &str) -> Url {
    Url::parse("https://example.com")
        .unwrap()
        .join(path)
        .unwrap()
}

#[track_caller]
fn check(file: &str, agent: &str, answers: &[(&str, bool)]) {
    let robots = Robots::parse(file.as_bytes());
    for (path, expected) in answers {
        assert_eq!(
            robots.is_allowed(agent, &url(path)),
            *expected,
            "{agent} {path} under\n{file}"
        );
    }
}

#[test]
fn groups_are_chosen_by_the_agents_product_token() {
    let file = "user-agent: FooBot\ndisallow: /foo\n\nuser-agent: barbot/2.0\nuser-agent: BazBot\ndisallow: /bar\n\n\
                user-agent: *\ndisallow: /\n\nuser-agent: FOOBOT\ndisallow: /more\n";
    check(
        file,
        "foobot",
        &[("/foo", false), ("/more", false), ("/bar", true)],
    );
    check(
        file,
        "FooBot/1.0 (+https://example.com/bot)",
        &[("/foo", false), ("/more", false), ("/", true)],
    );
    check(file, "BarBot", &[("/bar", false), ("/foo", true)]);
    check(file, "bazbot", &[("/bar", false), ("/foo", true)]);
    check(file, "FooBotNews", &[("/", false)]);
    check(file, "Other", &[("/foo", false), ("/robots.txt", true)]);
    check(file, "", &[("/foo", false)]);
}

#[test]
fn names_with_digits_are_told_apart() {
    let file = "User-agent: Acme2Bot\nDisallow: /\n\nUser-agent: Acme3Bot\nAllow: /private\n\nUser-agent: 9lives\nDisallow: /\n\n\
                User-agent: Kettle2.0\nDisallow: /tea\n\nUser-agent: 360Spider/1\nDisallow: /360\n";
    for (agent, path, expected) in [
        ("Acme2Bot", "/x", false),
        ("acme3bot/1.0 (+https://acme.example)", "/x", true),
        ("Acme4Bot", "/x", true),
        ("9lives", "/x", false),
        ("8lives", "/x", true),
        ("lives", "/x", true),
        ("360spider", "/360", false),
        // As Google's matcher: what a name without digits has behind it is no part of it.
        ("Kettle", "/tea", false),
        ("Kettle3", "/tea", true),
        ("Acme", "/x", false),
    ] {
        check(file, agent, &[(path, expected)]);
    }
}

#[test]
fn a_line_may_name_several_sitemaps() {
    for (line, expected) in [
        (
            "https://x.com/a.xml, https://x.com/b.xml",
            &["https://x.com/a.xml", "https://x.com/b.xml"][..],
        ),
        (
            "https://x.com/a.xml https://x.com/b.xml\thttp://x.com/c.xml",
            &[
                "https://x.com/a.xml",
                "https://x.com/b.xml",
                "http://x.com/c.xml",
            ],
        ),
        (
            "https://x.com/a.xml;HTTPS://x.com/b.xml|https://x.com/c.xml ;",
            &[
                "https://x.com/a.xml",
                "HTTPS://x.com/b.xml",
                "https://x.com/c.xml",
            ],
        ),
        ("/a.xml, /b.xml", &["/a.xml", "/b.xml"]),
        ("\"https://x.com/a.xml\"", &["https://x.com/a.xml"]),
        (
            "<https://x.com/a.xml>, <https://x.com/b.xml>",
            &["https://x.com/a.xml", "https://x.com/b.xml"],
        ),
        (
            "['https://x.com/a.xml', 'https://x.com/b.xml']",
            &["https://x.com/a.xml", "https://x.com/b.xml"],
        ),
        (
            "[https://x.com/a.xml](https://x.com/b.xml)",
            &["https://x.com/a.xml", "https://x.com/b.xml"],
        ),
        ("„https://x.com/karte.xml“", &["https://x.com/karte.xml"]),
        // One address, whatever is in it.
        ("https://x.com/a,b.xml", &["https://x.com/a,b.xml"]),
        ("https://x.com/map(1).xml", &["https://x.com/map(1).xml"]),
        (
            "https://x.com/my sitemap.xml",
            &["https://x.com/my sitemap.xml"],
        ),
        (
            "https://x.com/get?u=https://y.com/a.xml",
            &["https://x.com/get?u=https://y.com/a.xml"],
        ),
        ("https://x.com/a.xml,", &["https://x.com/a.xml"]),
        ("[]", &[]),
    ] {
        let robots = Robots::parse(format!("Sitemap: {line}").as_bytes());
        assert_eq!(robots.sitemaps(), expected, "{line}");
    }
}

#[test]
fn delays_are_written_in_many_ways() {
    for (text, expected) in [
        ("1,5", Some(1_500)),
        ("0,5 s", Some(500)),
        (",25", Some(250)),
        (".5", Some(500)),
        ("2.", Some(2_000)),
        ("10, bitte", Some(10_000)),
        ("3 sec", Some(3_000)),
        ("bald", None),
        ("", None),
        (",", None),
        ("-1", None),
    ] {
        let robots = Robots::parse(format!("user-agent: *\ncrawl-delay: {text}").as_bytes());
        let expected = expected.map(Duration::from_millis);
        assert_eq!(robots.crawl_delay("FooBot"), expected, "{text}");
    }
}

#[test]
fn an_empty_group_allows_everything_to_its_agent() {
    let file = "User-agent: *\nDisallow: /\nUser-agent: FooBot\nDisallow:\n";
    check(file, "FooBot", &[("/", true)]);
    check(file, "Other", &[("/", false)]);
    check("", "FooBot", &[("/", true)]);
    check(
        "<html><body>not found: /x</body></html>",
        "FooBot",
        &[("/", true)],
    );
    check(
        "Disallow: /\nUser-agent: FooBot\n",
        "FooBot",
        &[("/", true)],
    );
}

#[test]
fn lines_the_standard_does_not_define_do_not_end_a_group() {
    for other in [
        "Sitemap: https://example.com/s.xml",
        "Crawl-delay: 3",
        "Noindex: /x",
        "",
        "# note",
    ] {
        let file = format!("User-agent: FooBot\n{other}\nUser-agent: *\nDisallow: /\n");
        check(&file, "FooBot", &[("/", false)]);
        check(&file, "Other", &[("/", false)]);
    }
}

#[test]
fn the_longest_match_wins_and_ties_allow() {
    for (file, path, expected) in [
        ("disallow: /x/page.html\nallow: /x/", "/x/page.html", false),
        ("disallow: /x/\nallow: /x/page.html", "/x/page.html", true),
        ("disallow: \nallow: ", "/x", true),
        ("disallow: /x\nallow: /x", "/x", true),
        ("disallow: /\nallow: /\n", "/x", true),
        ("allow: /page\ndisallow: /*.html", "/page.html", false),
        ("allow: /x/page.\ndisallow: /*.html", "/x/page.html", true),
        ("allow: /\ndisallow: /foo/*", "/foo/bar", false),
        ("disallow: /foo", "/foobar", false),
        ("disallow: /foo", "/Foo", true),
        ("disallow: foo", "/foo", true),
        ("disallow: /fish*", "/fish", false),
        ("disallow: /fish*.php", "/fishheads/catfish.php?id=1", false),
        ("disallow: /*.php$", "/a.php", false),
        ("disallow: /*.php$", "/a.php?x", true),
        ("disallow: /*.php$", "/a.phpx.php", false),
        ("disallow: /a*b*c$", "/abxbcxc", false),
        ("disallow: /a*bc$", "/abc", false),
        ("disallow: /ab*b$", "/ab", true),
        ("disallow: /x$", "/x", false),
        ("disallow: /x$", "/x/", true),
        ("disallow: /$", "/", false),
        ("disallow: /$", "/x", true),
        ("disallow: /a$b", "/a$b", false),
        ("disallow: *", "/x", false),
        ("disallow: */x", "/a/x", false),
        ("disallow: /*?sort=", "/list?a=1&sort=2", true),
        ("disallow: /*sort=", "/list?a=1&sort=2", false),
        ("disallow: /?", "/?x", false),
        ("disallow: /\nallow: /a/index.html", "/a/", true),
        ("disallow: /\nallow: /a/index.html", "/a/b", false),
        ("disallow: /\nallow: /a/index.html", "/a/index.html", true),
        ("disallow: /index.html", "/", true),
    ] {
        check(
            &format!("user-agent: *\n{file}"),
            "FooBot",
            &[(path, expected)],
        );
    }
}

#[test]
fn paths_are_compared_in_one_spelling() {
    for (pattern, path, expected) in [
        ("/ツ", "/%E3%83%84", false),
        ("/%E3%83%84", "/ツ", false),
        ("/%e3%83%84", "/ツ", false),
        ("/%62%61%7A", "/baz", false),
        ("/baz", "/%62%61%7a", false),
        ("/~joe", "/%7ejoe", false),
        ("/a%2fb", "/a/b", true),
        ("/a%2fb", "/a%2Fb", false),
        ("/a b", "/a%20b", false),
        ("/with-a-%2A.html", "/with-a-*.html", false),
        ("/with-a-%2A.html", "/with-a-x.html", true),
        ("/foo-%24$", "/foo-$", false),
        ("/50%", "/50%", false),
        // Reserved characters, plain in the one and escaped in the other.
        ("/*?q=:relevance", "/c?q=%3Arelevance", false),
        ("/*?q=%3arelevance", "/c?q=:relevance", false),
        ("/profil/@anna", "/profil/%40anna", false),
        ("/liste(alt)", "/liste%28alt%29", false),
        ("/*filter[farbe]=rot", "/c?filter%5Bfarbe%5D=rot", false),
        ("/a,b;c", "/a%2Cb%3bc", false),
        ("/c++", "/c%2B%2B", false),
        // RFC 9309, section 2.2.2
        (
            "/foo/bar?baz=https://foo.bar",
            "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
            false,
        ),
        (
            "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
            "/foo/bar?baz=https://foo.bar",
            false,
        ),
        ("/*=https://", "/r?to=https%3A%2F%2Ffoo.bar", false),
        ("/*=https%3A%2F%2F", "/r?to=https%3A%2F%2Ffoo.bar", false),
        // What divides the path does so only where it is plain.
        ("/a?b", "/a%3Fb", true),
        ("/a%3Fb", "/a?b", true),
        ("/a/b", "/a%2Fb", true),
    ] {
        check(
            &format!("user-agent: *\ndisallow: {pattern}"),
            "FooBot",
            &[(path, expected)],
        );
    }
}

#[test]
fn real_files_break_the_grammar() {
    for file in [
        "\u{feff}User-agent: FooBot\nDisallow: /x",
        "User-agent: FooBot\r\nDisallow: /x\r\n",
        "User-agent: FooBot\rDisallow: /x",
        "  user-agent :  FooBot  # us\n\n\n\tDISALLOW\t:/x   # note",
        "user-agent FooBot\ndisallow /x",
        "useragent: FooBot\ndissallow: /x",
        "user agent: FooBot\ndisallaw: /x",
        "User-agent: FooBot\ndisalow: /x",
        "User-agent: FooBot/1.2\ndiasllow: /x",
        "User-agent: * and the rest\nDisallow: /x",
    ] {
        check(file, "FooBot", &[("/x", false), ("/y", true)]);
    }
    let utf16: Vec<u8> = "\u{feff}User-agent: *\nDisallow: /x"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(!Robots::parse(&utf16).is_allowed("FooBot", &url("/x")));
    let utf16: Vec<u8> = "User-agent: *\nDisallow: /x"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    assert!(!Robots::parse(&utf16).is_allowed("FooBot", &url("/x")));
    for mark in [&b"\xef"[..], b"\xef\xbb"] {
        let cut = [mark, b"User-agent: *\nDisallow: /x"].concat();
        assert!(!Robots::parse(&cut).is_allowed("FooBot", &url("/x")));
    }
    check(
        "User-agent: *\nDisallow: /x\0y\nDisallow: /\0",
        "FooBot",
        &[("/xz", false), ("/", false)],
    );
    let latin1 = b"User-agent: *\nDisallow: /caf\xe9";
    assert!(!Robots::parse(latin1).is_allowed("FooBot", &url("/caf%e9")));
    check("User-agent: Foo Bot\nDisallow: /x", "Foo", &[("/x", false)]);
    check(
        "User-agent: FooBot\nDisallow /x /y",
        "FooBot",
        &[("/x", true)],
    );
}

#[test]
fn only_the_first_500_kibibytes_count_and_no_half_line() {
    let mut file = b"user-agent: *\ndisallow: /first\n#".to_vec();
    file.resize(MAX_ROBOTS_BYTES - "\ndisallow: /".len(), b'x');
    file.extend_from_slice(b"\ndisallow: /last\ndisallow: /never\n");
    let robots = Robots::parse(&file);
    assert!(!robots.is_allowed("FooBot", &url("/first")));
    assert!(robots.is_allowed("FooBot", &url("/last")));
    assert!(robots.is_allowed("FooBot", &url("/never")));
}

#[test]
fn crawl_delays_and_sitemaps_are_reported() {
    let file = "Sitemap: https://example.com/a.xml\nUser-agent: Slow\nCrawl-delay: 10\nUser-agent: *\nDisallow: /x\n\
                crawl-delay: 0.5\nsitemap: /b.xml\nUser-agent: Odd\ncrawl-delay: soon\nSITEMAP:https://example.com/a.xml\n\
                User-agent: Never\ncrawl-delay: 99999999999999999999999\ndisallow:\nuser-agent: Slow\ncrawl-delay: 3s";
    let robots = Robots::parse(file.as_bytes());
    for (agent, expected) in [
        ("slow/1.0", Some(Duration::from_secs(10))),
        ("Other", Some(Duration::from_millis(500))),
        ("Never", Some(MAX_CRAWL_DELAY)),
    ] {
        assert_eq!(robots.crawl_delay(agent), expected, "{agent}");
    }
    assert_eq!(robots.sitemaps(), ["https://example.com/a.xml", "/b.xml"]);
    assert_eq!(Robots::default().crawl_delay("x"), None);
}

/// After the tests of Google's matcher that are not among those above.
#[test]
fn googles_examples_get_googles_answers() {
    let groups = "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\nuser-agent: BarBot\ndisallow: /\nallow: /y/\n\n\n\
                  allow: /w/\nuser-agent: BazBot\n\nuser-agent: FooBot\nallow: /z/\ndisallow: /\n";
    for (agent, answers) in [
        (
            "FooBot",
            &[
                ("/x/b", true),
                ("/z/d", true),
                ("/y/c", false),
                ("/foo/bar/", false),
            ][..],
        ),
        (
            "BarBot",
            &[
                ("/y/c", true),
                ("/w/a", true),
                ("/z/d", false),
                ("/foo/bar/", false),
            ],
        ),
        ("BazBot", &[("/z/d", true), ("/foo/bar/", false)]),
    ] {
        check(groups, agent, answers);
    }
    check("foo: FooBot\nbar: /\n", "FooBot", &[("/x/y", true)]);
    check(
        "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n",
        "Foo",
        &[("/x/y", true), ("/y", false)],
    );
    for (file, answers) in [
        (
            "disallow: /\nallow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par",
            &[("/foo/bar?qux=taz&baz=http://foo.bar?tar&par", true)][..],
        ),
        (
            "disallow: /foo/bar/quz\nallow: /foo/*/qux",
            &[
                ("/foo/bar/quz", false),
                ("/foo/quz", true),
                ("/foo//quz", true),
            ],
        ),
        (
            "# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /",
            &[("/foo/bar", true), ("/foo/quz", false)],
        ),
        (
            "allow: /allowed-slash/index.html\ndisallow: /",
            &[
                ("/allowed-slash/", true),
                ("/allowed-slash/index.htm", false),
            ],
        ),
        (
            "disallow: /\nallow: /fish",
            &[
                ("/bar", false),
                ("/fish/salmon.html", true),
                ("/fish.html?id=1", true),
                ("/Fish.asp", false),
                ("/?id=fish", false),
            ],
        ),
        (
            "disallow: /\nallow: /fish/",
            &[
                ("/fish", false),
                ("/fish/?salmon", true),
                ("/Fish/Salmon.html", false),
            ],
        ),
        (
            "disallow: /\nallow: /*.php",
            &[
                ("/filename.php/", true),
                ("/index?f=filename.php/", true),
                ("/php/", false),
                ("/index?php", false),
                ("/windows.PHP", false),
            ],
        ),
        (
            "disallow: /\nallow: /*.php$",
            &[
                ("/folder/filename.php", true),
                ("/filename.php?parameters", false),
                ("/filename.php5", false),
            ],
        ),
        (
            "disallow: /\nallow: /fish*.php",
            &[
                ("/fishheads/catfish.php?parameters", true),
                ("/Fish.PHP", false),
            ],
        ),
        (
            "allow: /$\ndisallow: /",
            &[("/", true), ("/page.html", false)],
        ),
        ("allow: /page\ndisallow: /*.php", &[("/page.php5", false)]),
    ] {
        check(&format!("user-agent: FooBot\n{file}\n"), "FooBot", answers);
    }
    let long = format!("/x/{}", "a".repeat(MAX_LINE_BYTES - "disallow: /x/".len()));
    let file = format!("user-agent: FooBot\ndisallow: {long}/qux\n");
    check(
        &file,
        "FooBot",
        &[("/fux", true), (&format!("{long}/fux"), false)],
    );
}

#[test]
fn an_unreachable_file_refuses_everything_but_itself() {
    let robots = Robots::refuse_everything();
    assert!(!robots.is_allowed("FooBot", &url("/")));
    assert!(robots.is_allowed("FooBot", &url("/robots.txt")));
}

#[test]
fn a_hostile_pattern_takes_no_long_time() {
    let file = format!("user-agent: *\ndisallow: /{}z$", "*a".repeat(8_000));
    let robots = Robots::parse(file.as_bytes());
    assert!(robots.is_allowed("FooBot", &url(&format!("/{}", "a".repeat(8_000)))));
}

#[test]
fn a_hostile_file_takes_no_long_time() {
    let mut file = String::new();
    for number in 0..9_000_u32 {
        let name: String = number
            .to_string()
            .bytes()
            .map(|digit| char::from(digit + 49))
            .collect();
        file.push_str(&format!(
            "user-agent:{name}\nsitemap:/{name}\ncrawl-delay:1\n"
        ));
    }
    file.push_str("disallow: /x\n");
    let robots = Robots::parse(file.as_bytes());
    assert_eq!(robots.sitemaps().len(), 9_000);
    assert!(!robots.is_allowed("bbbb", &url("/x")));
    assert_eq!(robots.crawl_delay("bbbb"), Some(Duration::from_secs(1)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), path in "/[a-z%*$?=]{0,20}") {
        let robots = Robots::parse(&bytes);
        prop_assert!(robots.is_allowed("FooBot/1.0", &url(&path)) || !robots.groups.is_empty());
        prop_assert!(robots.crawl_delay("FooBot").is_none_or(|delay| delay <= MAX_CRAWL_DELAY));
    }

    #[test]
    fn matching_agrees_with_trying_every_way(pattern in "/[ab*]{0,8}[$]?", path in "/[ab]{0,8}") {
        let rule = Rule::new(false, pattern.as_bytes());
        prop_assert_eq!(matches(&path, &rule), matches_slowly(path.as_bytes(), rule.pattern.as_bytes(), rule.anchored));
    }
}

/// The definition of a match, in exponential time.
fn matches_slowly(path: &[u8], pattern: &[u8], anchored: bool) -> bool {
    match (pattern, path) {
        ([], _) => !anchored || path.is_empty(),
        ([b'*', rest @ ..], _) => {
            (0..=path.len()).any(|skip| matches_slowly(&path[skip..], rest, anchored))
        }
        ([first, rest @ ..], [byte, path @ ..]) => {
            first == byte && matches_slowly(path, rest, anchored)
        }
        (_, []) => false,
    }
}

/// Asks a file of labels, made by independent means, and returns how many questions it has and which answers are wrong.
fn ask_labelled(folder: &std::path::Path) -> (usize, Vec<String>) {
    #[derive(Debug, serde::Deserialize)]
    struct Label {
        file: String,
        user_agent: String,
        url: String,
        allowed: bool,
    }
    let mut files: HashMap<String, Robots> = HashMap::new();
    let labels: Vec<Label> = testdata::labels(folder);
    let mut wrong = Vec::new();
    for label in &labels {
        let robots = files
            .entry(label.file.clone())
            .or_insert_with(|| Robots::parse(&testdata::body(&folder.join(&label.file))));
        let url = Url::parse(&label.url).unwrap();
        if robots.is_allowed(&label.user_agent, &url) != label.allowed {
            wrong.push(format!("{label:?}"));
        }
    }
    println!("robots: {} asked, {} wrong", labels.len(), wrong.len());
    (labels.len(), wrong)
}

#[test]
fn the_sample_gets_the_labelled_answers() {
    let (asked, wrong) = ask_labelled(&testdata::sample("robots"));
    assert!(asked >= 25, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// About 200 real files, whose labels are not all beyond doubt.
#[test]
fn real_files_get_the_labelled_answers() {
    let Some(folder) = testdata::larger("robots") else {
        return;
    };
    let (asked, wrong) = ask_labelled(&folder);
    assert!(wrong.len() <= asked / 1_000, "{}", wrong.join("\n"));
}
