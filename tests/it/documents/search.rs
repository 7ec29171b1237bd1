//! Search: what is found, in which order, and that every hit says where it stands.

use proptest::prelude::{ProptestConfig, Strategy as _, any, proptest};
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::documents::{Ready, Service, Tenant};

/// The texts of the hits for a query, best first.
async fn found(service: &Service, tenant: &Tenant, query: &str) -> Vec<String> {
    let path = format!("/api/search?q={}", encoded(query));
    let answer = service.json(&path, &tenant.key).await;
    answer["results"]
        .as_array()
        .expect("hits")
        .iter()
        .map(|hit| {
            let name = hit["filename"].as_str().expect("a name");
            format!("{name} {}", hit["page"])
        })
        .collect()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn words_are_weighed_phrases_needed_and_what_is_unwanted_left_out() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let filler = "The committee met on Tuesday and spoke of the weather and of the report.";
    let pages = [
        "A copper kettle boils water. The kettle whistles.",
        "Steel kettles and copper pans.",
        "Copper is a metal; kettle drums are instruments.",
        filler,
        "Of reports and weather.",
        filler,
    ];
    Ready::new("a.txt", &pages).insert(&database, &tenant).await;
    let service = Service::start(database, |_| {}).await;
    let asked = async |query: &str| found(&service, &tenant, query).await;

    // Who has both, and one of them twice, is first; and what has none is not there.
    let hits = asked("copper kettle").await;
    assert_eq!((hits[0].as_str(), hits.len()), ("a.txt 1", 3), "{hits:?}");
    // Any word will do, in any form.
    assert_eq!(asked("what whistled loudly").await, ["a.txt 1"]);
    assert_eq!(asked("\"copper kettle\"").await, ["a.txt 1"]);
    assert_eq!(asked("\"kettle drums\" water").await, ["a.txt 3"]);
    let without = asked("kettle -steel").await;
    assert_eq!(without.len(), 2, "{without:?}");
    assert_eq!(
        asked("kettle -\"kettle whistles\" -pans").await,
        ["a.txt 3"]
    );
    // What says nothing finds nothing, and is no mistake.
    assert_eq!(asked("the of and").await, [""; 0]);
    assert_eq!(asked("xyzzy").await, [""; 0]);
    assert_eq!(asked("\"the of\" kettle -\"of the\"").await.len(), 3);
    // A rare word weighs more than a common one.
    assert_eq!(asked("report instruments").await[0], "a.txt 3");

    for (query, code) in [("", 400), ("-kettle", 400), (&*"x".repeat(401), 400)] {
        let path = format!("/api/search?q={}", encoded(query));
        let (status, body) = service.refused(&path, &tenant.key).await;
        assert_eq!(
            (status, &body["code"]),
            (code, &json!("invalid")),
            "{query}"
        );
    }
    // Nothing of it reaches PostgreSQL as anything but text.
    for query in [
        "'; DROP TABLE chunk; --",
        "a' & b | !c",
        "\\",
        "%s",
        "\"' | x\"",
        "a:*",
        "<->",
        "k\u{0}ettle",
        "\u{1}\u{2}",
    ] {
        let path = format!("/api/search?q={}", encoded(query));
        let response = service.get(&path, &tenant.key).await;
        assert!([200, 400].contains(&response.status().as_u16()), "{query}");
    }
}

#[tokio::test]
async fn each_language_is_searched_in_its_own_way() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let mut german = Ready::new("de.txt", &["Die Häuser am Hafen."]);
    german.config = "german";
    german.insert(&database, &tenant).await;
    let mut plain = Ready::new("simple.txt", &["houses häuser"]);
    plain.config = "simple";
    plain.insert(&database, &tenant).await;
    Ready::new("en.txt", &["Many houses by the harbour."])
        .insert(&database, &tenant)
        .await;
    let service = Service::start(database, |_| {}).await;
    assert_eq!(found(&service, &tenant, "Haus").await, ["de.txt 1"]);
    assert_eq!(found(&service, &tenant, "house").await, ["en.txt 1"]);
    let mut both = found(&service, &tenant, "houses").await;
    both.sort();
    assert_eq!(both, ["en.txt 1", "simple.txt 1"]);
    assert_eq!(found(&service, &tenant, "\"am Hafen\"").await, ["de.txt 1"]);
}

#[tokio::test]
async fn filters_leave_only_what_they_name() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let old = Ready::new("old.txt", &["A kettle.", "Another kettle."])
        .insert(&database, &tenant)
        .await;
    let new = Ready::new("new.txt", &["A kettle."])
        .insert(&database, &tenant)
        .await;
    let gone = Ready::new("gone.txt", &["A kettle."])
        .insert(&database, &tenant)
        .await;
    database
        .run(&format!(
            "UPDATE documents SET created_at = '2026-01-10 12:00:00+00' WHERE uid = '{old}'; \
             UPDATE documents SET created_at = '2026-02-10 12:00:00+00' WHERE uid = '{new}'; \
             UPDATE documents SET deleted_at = now() WHERE uid = '{gone}'"
        ))
        .await;
    let service = Service::start(database, |_| {}).await;
    let hits = async |filter: &str| {
        let answer = service
            .json(&format!("/api/search?q=kettle{filter}"), &tenant.key)
            .await;
        answer["count"].as_u64().expect("a count")
    };
    assert_eq!(hits("").await, 3);
    assert_eq!(hits(&format!("&document_id={old}")).await, 2);
    assert_eq!(hits(&format!("&document_id={old}&page=2")).await, 1);
    assert_eq!(hits("&page=2").await, 1);
    assert_eq!(hits("&from=2026-02-01").await, 1);
    assert_eq!(hits("&to=2026-02-01").await, 2);
    assert_eq!(
        hits("&from=2026-01-10T12:00:00Z&to=2026-01-10T13:00:00%2B01:00").await,
        0
    );
    assert_eq!(
        hits("&from=2026-01-10T12:00:00Z&to=2026-01-10T12:00:01Z").await,
        2
    );
    for wrong in [
        "from=yesterday",
        "to=99999-01-01",
        "page=x",
        "cursor=1",
        "limit=x",
    ] {
        let (status, body) = service
            .refused(&format!("/api/search?q=kettle&{wrong}"), &tenant.key)
            .await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid")), "{wrong}");
    }
    for nobodys in [gone.as_str(), "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b", "7"] {
        let path = format!("/api/search?q=kettle&document_id={nobodys}");
        assert_eq!(
            service.refused(&path, &tenant.key).await.1["code"],
            json!("not_found")
        );
    }
}

#[tokio::test]
async fn hits_are_paged_without_gaps_or_repeats() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let texts: Vec<String> = (0..23)
        .map(|at| format!("kettle {}", "pan ".repeat(at % 5)))
        .collect();
    let pages: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in ["a.txt", "b.txt"] {
        Ready::new(name, &pages).insert(&database, &tenant).await;
    }
    let service = Service::start(database, |_| {}).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = service
            .json(
                &format!("/api/search?q=kettle&limit=7&cursor={cursor}"),
                &tenant.key,
            )
            .await;
        seen.extend(answer["results"].as_array().expect("hits").clone());
        match answer["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let scores: Vec<f64> = seen
        .iter()
        .map(|hit| hit["score"].as_f64().expect("a score"))
        .collect();
    assert!(scores.is_sorted_by(|one, next| one >= next), "{scores:?}");
    let mut places: Vec<String> = seen
        .iter()
        .map(|hit| format!("{} {}", hit["document_id"], hit["start"]))
        .collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 46);
}

/// What the answers say of one hit, against the text of its pages.
async fn sliced(service: &Service, tenant: &Tenant, hit: &Value) {
    let number = |name: &str| usize::try_from(hit[name].as_u64().expect(name)).expect(name);
    let mut text = Vec::new();
    let (first, last) = (number("page"), number("page_to"));
    for page in first..=last {
        let path = format!(
            "/api/documents/{}/text?page={page}",
            hit["document_id"].as_str().expect("an id")
        );
        let answer = service.json(&path, &tenant.key).await;
        if page > first {
            text.push('\u{c}');
        } else {
            assert_eq!(
                number("start"),
                number("page_start")
                    + usize::try_from(answer["start"].as_u64().expect("a start")).expect("a start")
            );
        }
        text.extend(answer["text"].as_str().expect("a text").chars());
    }
    let slice = |start: usize, end: usize| -> String {
        let offset = number("start") - number("page_start");
        text[start - offset..end - offset].iter().collect()
    };
    let snippet = hit["snippet"].as_str().expect("a snippet");
    let shown = snippet
        .replace("<mark>", "")
        .replace("</mark>", "")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    let is_cut = (
        number("snippet_start") > number("start"),
        number("snippet_end") < number("end"),
    );
    let shown = shown
        .strip_prefix('…')
        .filter(|_| is_cut.0)
        .unwrap_or(&shown);
    let shown = shown
        .strip_suffix('…')
        .filter(|_| is_cut.1)
        .unwrap_or(shown);
    assert_eq!(shown, slice(number("snippet_start"), number("snippet_end")));
    let marked: Vec<&str> = snippet
        .split("<mark>")
        .skip(1)
        .map(|part| part.split("</mark>").next().expect("an end"))
        .collect();
    let marks = hit["marks"].as_array().expect("marks");
    assert_eq!(marks.len(), marked.len(), "{hit}");
    for (mark, marked) in marks.iter().zip(marked) {
        let place =
            |at: usize| usize::try_from(mark[at].as_u64().expect("a place")).expect("a place");
        assert_eq!(slice(place(0), place(1)), marked);
    }
}

#[tokio::test]
async fn every_hit_slices_back_to_the_text_it_was_found_in() {
    let long = format!(
        "{} kettle & \"pan\" {}",
        "tea \u{1f375}é ".repeat(60),
        "coffee <b>pot</b> ".repeat(40)
    );
    let pages = [
        "Kettle \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} on\nfire & <i>ash</i>",
        long.as_str(),
        "Last kettle. e-mail a@b.example or http://b.example/kettle?x=1&y=2",
    ];
    let whole = pages.join("\u{c}").chars().count();
    let pieces = [(0, 30), (20, 300), (250, 900), (850, whole)];
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let mut document = Ready::new("a.txt", &pages);
    document.pieces = &pieces;
    document.insert(&database, &tenant).await;
    let service = Service::start(database, |_| {}).await;
    let mut seen = 0;
    for query in [
        "kettle",
        "tea coffee",
        "ash fire pot",
        "\"last kettle\"",
        "example b.example",
        "x=1",
    ] {
        let answer = service
            .json(&format!("/api/search?q={}", encoded(query)), &tenant.key)
            .await;
        for hit in answer["results"].as_array().expect("hits") {
            assert!(
                hit["snippet"]
                    .as_str()
                    .expect("a snippet")
                    .contains("<mark>"),
                "{query}: {hit}"
            );
            sliced(&service, &tenant, hit).await;
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

/// Whatever the text is.
#[test]
fn hits_in_any_text_slice_back() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (service, tenant) = runtime.block_on(async {
        let database = TestDatabase::new().await;
        let tenant = Tenant::create(&database, "a").await;
        (Service::start(database, |_| {}).await, tenant)
    });
    // What the readers let through: no NUL, no other controls.
    let text = any::<String>().prop_map(|text| text.replace(|sign: char| sign.is_control(), " "));
    proptest!(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() }, |(before in text.clone(), after in text)| {
        runtime.block_on(async {
            let page = format!("{before} kettle {after}");
            let uid = Ready::new("a.txt", &[&page]).insert(service.database(), &tenant).await;
            let answer = service.json(&format!("/api/search?q=kettle&document_id={uid}"), &tenant.key).await;
            for hit in answer["results"].as_array().expect("hits") {
                sliced(&service, &tenant, hit).await;
            }
        });
    });
    runtime.block_on(async {
        service.app.stop().await;
    });
}

#[tokio::test]
async fn many_pieces_are_counted_by_a_sample_and_ranked_all_the_same() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let uid = Ready::new("rare.txt", &["A copper kettle whistles."])
        .insert(&database, &tenant)
        .await;
    // Six thousand pieces more, in all of which there are pans, and in a third kettles.
    database
        .run(&format!(
            "INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv) \
             SELECT {}, id, seq, 1, 1, 0, 8, 'english', 3, \
                 to_tsvector('english', 'pan number' || seq || CASE WHEN seq % 3 = 0 THEN ' kettle' ELSE '' END) \
             FROM documents, generate_series(1, 6000) AS seq WHERE uid = '{uid}'; ANALYZE chunk",
            tenant.id
        ))
        .await;
    let service = Service::start(database, |_| {}).await;
    // The rarest word decides; a common one adds.
    for query in ["copper kettle", "pan kettle whistle"] {
        let answer = service
            .json(
                &format!("/api/search?q={}&limit=1", encoded(query)),
                &tenant.key,
            )
            .await;
        assert_eq!(answer["results"][0]["end"], json!(25), "{query}");
    }
    let exact = service
        .json("/api/search?q=kettle+number17&limit=1", &tenant.key)
        .await;
    assert_eq!(exact["count"], json!(1));
    let plan = service
        .database()
        .rows(&format!(
            "EXPLAIN SELECT id FROM chunk AS c WHERE gleaner_chunk_keys(c.tenant_id, c.id, c.tsv) && ARRAY[hashtextextended('copper' COLLATE \"C\", {})]",
            tenant.id
        ))
        .await;
    assert!(
        plan.iter().any(|line| line.contains("chunk_keys_idx")),
        "{plan:?}"
    );
}
