//! `db::crawl::submit`: one row per crawl, and what follows from it.

use gleaner::prices::crawl;
use gleaner::prices::crawl::{Offer, Recorded, Seen, Submission};
use serde_json::json;

use super::with_jobs;

fn good<'a>(job: i64, attempt: i16, price: &'a str) -> Submission<'a> {
    Submission {
        job,
        lease: Some(7),
        attempt,
        bot: None,
        pattern: None,
        seen: Seen::Offer(Offer {
            price: Some(price),
            currency: Some("EUR"),
            in_stock: Some(true),
            title: Some("Kettle"),
            price_sources: vec!["jsonld", "og"],
            ..Offer::default()
        }),
        parsed_data: crawl::written(&json!(null)),
        duration_ms: Some(12),
    }
}

fn failed(job: i64, attempt: i16, class: &'static str) -> Submission<'static> {
    Submission {
        seen: Seen::Failed {
            class,
            error: "no such page",
        },
        ..good(job, attempt, "1")
    }
}

const RESULTS: &str = "SELECT job_id, attempt, success, price, currency, array_to_string(price_sources, '+'), \
    auto_record_status, error FROM crawl_result ORDER BY id";

#[tokio::test]
async fn a_crawl_is_recorded_once_and_what_follows_follows() {
    let database = with_jobs().await;
    let mut conn = database.connect().await;
    let data = json!({"price_sources": ["jsonld"], "note": "a\u{0}b"});
    let mut first = good(1, 1, "1299.0050");
    first.parsed_data = crawl::written(&data);
    let recorded = crawl::submit(&mut conn, &[first.clone(), failed(3, 1, "network")])
        .await
        .unwrap();
    let result = |job, result, is_new| Recorded {
        job,
        result,
        is_new,
    };
    assert_eq!(recorded, [result(1, 1, true), result(3, 2, true)]);
    // A repeat, also within one batch, is the same crawl.
    let again = crawl::submit(&mut conn, &[first.clone(), first, good(2, 1, "5")])
        .await
        .unwrap();
    assert_eq!(again.first(), Some(&result(1, 1, false)));
    assert_eq!(
        again.last().map(|one| (one.job, one.is_new)),
        Some((2, true))
    );
    assert_eq!(
        database.rows(RESULTS).await,
        [
            "1|1|t|1299.0050|EUR|jsonld+og|Queued|",
            "3|1|f||||Filtered|no such page",
            "2|1|t|5|EUR|jsonld+og|Queued|",
        ]
    );
    assert_eq!(
        database
            .rows("SELECT id, title, last_crawled_at IS NOT NULL, crawl_error FROM product_url ORDER BY id")
            .await,
        ["1|Kettle|t|", "2|Kettle|t|", "3||t|no such page"]
    );
    assert_eq!(
        database
            .rows(
                "SELECT id, failure_count, next_run_at BETWEEN now() + interval '21 hours' AND now() + interval '27 hours' \
                 FROM crawl_job ORDER BY id"
            )
            .await,
        ["1|0|t", "2|0|t", "3|1|t"]
    );
    assert_eq!(crawl::submit(&mut conn, &[]).await.unwrap(), []);
    assert_eq!(
        crawl::submit(&mut conn, &[good(99, 1, "1")]).await.unwrap(),
        [],
        "a job that is gone"
    );
}

/// W-7: a failed crawl is a row of its own and takes nothing away.
#[tokio::test]
async fn w7_a_failed_crawl_overwrites_nothing() {
    let database = with_jobs().await;
    let mut conn = database.connect().await;
    database
        .run("UPDATE product_url SET current_price = 9, current_currency = 'EUR', current_availability = 'InStock'")
        .await;
    crawl::submit(&mut conn, &[good(1, 1, "9")]).await.unwrap();
    crawl::submit(&mut conn, &[failed(1, 2, "http")])
        .await
        .unwrap();
    assert_eq!(
        database
            .rows("SELECT success, price, currency, in_stock FROM crawl_result ORDER BY id")
            .await,
        ["t|9|EUR|t", "f|||"]
    );
    assert_eq!(
        database
            .rows("SELECT current_price, current_currency, current_availability, title, crawl_error FROM product_url WHERE id = 1")
            .await,
        ["9|EUR|InStock|Kettle|no such page"]
    );
}

/// PT-22: the pattern is charged with what it is to blame for.
#[tokio::test]
async fn pt22_only_extraction_and_validation_are_charged_to_the_site() {
    let database = with_jobs().await;
    let mut conn = database.connect().await;
    let mut attempt = 0;
    for (what, classes, expected) in [
        ("nothing to charge", &["network", "http", "robots"][..], 0),
        ("two", &["extraction", "validation"], 2),
        ("a third, amid others", &["network", "extraction"], 3),
        ("a success forgets", &["ok"], 0),
        (
            "from the last success on",
            &["extraction", "ok", "extraction"],
            1,
        ),
        ("none after it", &["extraction", "ok", "network"], 0),
    ] {
        let crawls: Vec<Submission<'_>> = classes
            .iter()
            .map(|class| {
                attempt += 1;
                match *class {
                    "ok" => good(1, attempt, "5"),
                    class => failed(2, attempt, class),
                }
            })
            .collect();
        crawl::submit(&mut conn, &crawls).await.unwrap();
        let counted: i32 = database
            .scalar("SELECT extraction_failures FROM site WHERE id = 1")
            .await;
        assert_eq!(counted, expected, "{what}");
    }
}

/// A job that is to be tried again is not planned anew, and has not failed yet.
#[tokio::test]
async fn a_job_that_is_tried_again_keeps_its_plan() {
    let database = with_jobs().await;
    let mut conn = database.connect().await;
    database
        .run(
            "UPDATE crawl_job SET next_run_at = '2030-01-01', crawl_status = 'Queued' WHERE id = 1;
             UPDATE crawl_job SET next_run_at = '2030-01-01', crawl_status = 'Error' WHERE id = 2",
        )
        .await;
    crawl::submit(&mut conn, &[failed(1, 1, "http"), failed(2, 1, "http")])
        .await
        .unwrap();
    assert_eq!(
        database
            .rows("SELECT failure_count, next_run_at = '2030-01-01' FROM crawl_job WHERE id < 3 ORDER BY id")
            .await,
        ["0|t", "1|f"]
    );
}

#[tokio::test]
async fn amounts_are_exact_or_refused() {
    let database = with_jobs().await;
    let mut conn = database.connect().await;
    for (price, is_taken) in [
        ("0", true),
        ("0.0001", true),
        ("999999999999.9999", true),
        ("1000000000000", false),
        ("0.00001", false),
        ("NaN", false),
        ("Infinity", false),
    ] {
        database.run("TRUNCATE crawl_result CASCADE").await;
        let stored = crawl::submit(&mut conn, &[good(1, 1, price)]).await;
        assert_eq!(stored.is_ok(), is_taken, "{price}");
        if is_taken {
            let kept: String = database
                .scalar("SELECT price::text FROM crawl_result")
                .await;
            assert_eq!(kept, price);
        }
    }
}

#[tokio::test]
async fn the_last_page_of_a_url_is_kept() {
    let database = with_jobs().await;
    let mut conn = database.connect().await;
    let page = |job, url: Option<&str>, body: &str| crawl::KeptPage {
        job,
        url: url.map(str::to_owned),
        body: body.as_bytes().to_vec(),
    };
    let pages = [
        page(1, None, "old"),
        page(1, Some("https://a.example/end"), "new"),
        page(2, None, "two"),
        page(99, None, "gone"),
    ];
    assert_eq!(crawl::keep_pages(&mut conn, &pages).await.unwrap(), 2);
    crawl::keep_pages(&mut conn, &[page(2, None, "three")])
        .await
        .unwrap();
    assert_eq!(
        database
            .rows("SELECT product_url_id, url, convert_from(body, 'UTF8') FROM product_page ORDER BY 1")
            .await,
        ["1|https://a.example/end|new", "2|https://a.example/2|three"]
    );
}
