//! Pull, submit and the rest in good order: fields, states, codes.

use serde_json::{Value, json};

use super::{Api, TOKEN, failed, good, is, refusal};

/// Section 4.2: the fields of a job, and priority before age.
#[tokio::test]
async fn a_pull_hands_out_jobs_as_bots_know_them() {
    let api = Api::start(4).await;
    api.app
        .database
        .run(
            "UPDATE crawl_job SET crawl_priority = 10, priority = 10, timeout = '7 minutes' WHERE id = 3;
             UPDATE crawl_job SET crawl_due_at = now() + interval '1 hour' WHERE id = 1",
        )
        .await;
    let jobs = api.pull("ann", json!({})).await;
    let ids: Vec<&str> = jobs
        .iter()
        .filter_map(|job| job["job_id"].as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "676c6561-6e65-8000-8000-000000000003",
            "676c6561-6e65-8000-8000-000000000002",
            "676c6561-6e65-8000-8000-000000000004",
        ]
    );
    let first = &jobs[0];
    assert_eq!(first["url"], "https://www.shop-3.example/p");
    assert_eq!(first["priority"], 10);
    assert_eq!(first["max_retries"], 3);
    assert_eq!(first["timeout_seconds"], 420);
    assert_eq!(first["retry_count"], 0);
    let until = first["locked_until"].as_str().expect("a time");
    let is_right: bool = api
        .app
        .database
        .scalar(&format!("SELECT '{until}'::timestamptz BETWEEN now() + interval '6 minutes' AND now() + interval '7 minutes'"))
        .await;
    assert!(is_right, "{until}");
    assert!(first["lease_token"].is_string());
    assert_eq!(
        api.states().await,
        [
            "1 Queued 0",
            "2 Processing 1 ann",
            "3 Processing 1 ann",
            "4 Processing 1 ann"
        ]
    );
    assert!(api.pull("bob", json!({})).await.is_empty());
    let counted = api
        .app
        .database
        .rows("SELECT bot_id, jobs_pulled, last_pull_at IS NOT NULL FROM bot ORDER BY 1")
        .await;
    assert_eq!(counted, ["ann|3|t", "bob|0|t"]);
}

/// Section 4.3: 201, the job is done and due again; the result is there, with page and sources.
#[tokio::test]
async fn a_good_submit_is_created_and_the_job_done() {
    let api = Api::start(1).await;
    let job = api.pull_one("ann").await;
    let mut submit = good(&job);
    for (name, value) in [
        ("price", json!("1299.0050")),
        ("list_price", json!(1500)),
        ("title", json!("Kettle <script>alert(1)</script>")),
        ("in_stock", json!(false)),
        ("raw_html", json!("<html>\u{0}</html>".replace('\0', ""))),
        (
            "parsed_data",
            json!({"price_sources": ["jsonld", 7, "og"], "a": {"b\u{0}": "\u{0}"}}),
        ),
    ] {
        submit[name] = value;
    }
    let answer = api.post_as("ann", "submit/", submit).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let data = answer.json()["data"].clone();
    assert_eq!(data["result_id"], "676c6561-6e65-8000-8000-000000000001");
    assert_eq!(data["job_id"], job["job_id"]);
    assert_eq!(
        (&data["status"], &data["price"], &data["currency"]),
        (&json!("done"), &json!("1299.005"), &json!("EUR"))
    );
    assert!(data["next_reset_at"].is_string());
    let database = &api.app.database;
    assert_eq!(
        database
            .rows("SELECT price, currency, list_price, in_stock, title, price_sources, success, attempt, auto_record_eligibility_status FROM crawl_result")
            .await,
        ["1299.005|EUR|1500|f|Kettle <script>alert(1)</script>|{jsonld,og}|t|1|queued"]
    );
    assert_eq!(api.states().await, ["1 Completed 1 ann"]);
    assert_eq!(
        database
            .rows("SELECT jobs_completed, jobs_failed, last_submit_at IS NOT NULL FROM bot WHERE bot_id = 'ann'")
            .await,
        ["1|0|t"]
    );
    assert_eq!(database.count("SELECT count(*) FROM product_page").await, 1);
    assert_eq!(
        database
            .count("SELECT count(*) FROM lease WHERE bot_id IS NOT NULL")
            .await,
        0,
        "a lease without jobs is closed"
    );
    assert_eq!(
        database
            .rows("SELECT outcome FROM attempt WHERE stage = 'crawl_job/crawl'")
            .await,
        ["completed"]
    );
}

/// Section 4.3, W-19, W-20: 200, and the job comes again later, with its attempts counted; the last failure ends it.
#[tokio::test]
async fn a_failed_submit_is_tried_again_later_until_attempts_are_used_up() {
    let api = Api::start(1).await;
    let database = &api.app.database;
    for (attempt, minutes) in [(1, 5), (2, 10)] {
        let job = api.pull_one("ann").await;
        assert_eq!(job["retry_count"], attempt - 1);
        let answer = api.post_as("ann", "submit/", failed(&job)).await;
        assert_eq!(answer.status, 200);
        let data = answer.json()["data"].clone();
        assert_eq!(data["status"], "pending");
        assert_eq!(data["retry_count"], attempt);
        assert_eq!(data["max_retries"], 3);
        assert!(data["message"].is_string() && data["result_id"].is_string());
        assert!(api.pull("ann", json!({})).await.is_empty(), "not at once");
        let waits: i32 = database
            .scalar("SELECT round(extract(epoch FROM crawl_due_at - now()) / 60)::integer FROM crawl_job")
            .await;
        assert_eq!(waits, minutes);
        database
            .run("UPDATE crawl_job SET crawl_due_at = now()")
            .await;
    }
    let job = api.pull_one("ann").await;
    let data = api.post_as("ann", "submit/", failed(&job)).await.json()["data"].clone();
    assert_eq!(
        (&data["status"], &data["error"]),
        (&json!("failed"), &json!("no price"))
    );
    assert_eq!(api.states().await, ["1 Error 3 ann"]);
    assert_eq!(
        database
            .rows("SELECT failure_count, next_run_at > now() + interval '20 hours' FROM crawl_job")
            .await,
        ["1|t"],
        "W-15: it comes again by its plan"
    );
    assert_eq!(
        database
            .rows("SELECT success, price, currency, in_stock, auto_record_eligibility_status FROM crawl_result")
            .await,
        ["f||||ineligible", "f||||ineligible", "f||||ineligible"]
    );
    // W-19: asked for anew, it has all its attempts again.
    database
        .run("UPDATE crawl_job SET crawl_status = 'Queued'")
        .await;
    let job = api.pull_one("ann").await;
    assert_eq!(job["retry_count"], 0);
    let data = api.post_as("ann", "submit/", failed(&job)).await.json()["data"].clone();
    assert_eq!(data["status"], "pending");
}

/// An attempt that an outage took from the job, and that could not be given back, is none of those it has.
#[tokio::test]
async fn an_excused_attempt_does_not_count_against_a_job() {
    let api = Api::start(1).await;
    let database = &api.app.database;
    // As a job waits whose worker was cut off at its first attempt.
    database
        .run(
            "INSERT INTO attempt (item_id, attempt, stage, outcome) SELECT id, 1, 'crawl_job/crawl', 'excused' FROM crawl_job;
             UPDATE crawl_job SET crawl_attempts = 1",
        )
        .await;
    for (attempt, status) in [(2, "pending"), (3, "pending"), (4, "failed")] {
        let job = api.pull_one("ann").await;
        assert_eq!(job["retry_count"], attempt - 1);
        let first = api.post_as("ann", "submit/", failed(&job)).await;
        let data = first.json()["data"].clone();
        assert_eq!(data["status"], status, "attempt {attempt}");
        let again = api.post_as("ann", "submit/", failed(&job)).await;
        assert_eq!(again.json(), first.json(), "attempt {attempt}");
        database
            .run("UPDATE crawl_job SET crawl_due_at = now() WHERE crawl_status = 'Queued'")
            .await;
    }
}

/// Point 17 of what users expect: a repeat gets the first answer, with the token or without, and nothing happens twice.
#[tokio::test]
async fn a_repeated_submit_gets_the_first_answer() {
    let api = Api::start(2).await;
    let jobs = api.pull("ann", json!({})).await;
    for (job, submit) in [(&jobs[0], good as fn(&Value) -> Value), (&jobs[1], failed)] {
        let first = api.post_as("ann", "submit/", submit(job)).await;
        assert_eq!(first.header("idempotent-replayed"), None);
        let mut bare = submit(job);
        bare["lease_token"] = Value::Null;
        for again in [submit(job), bare] {
            let repeat = api.post_as("ann", "submit", again).await;
            assert_eq!((repeat.status, repeat.json()), (first.status, first.json()));
            assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
        }
    }
    assert_eq!(
        api.app
            .database
            .count("SELECT count(*) FROM crawl_result")
            .await,
        2
    );
    assert_eq!(
        api.app
            .database
            .rows("SELECT jobs_completed, jobs_failed FROM bot WHERE bot_id = 'ann'")
            .await,
        ["1|1"]
    );
}

/// What a repeat says otherwise is not what is recorded, and not what is answered.
#[tokio::test]
async fn a_repeat_that_says_otherwise_is_told_what_is_recorded() {
    let api = Api::start(2).await;
    api.app
        .database
        .run("UPDATE crawl_job SET max_retries = 1")
        .await;
    let jobs = api.pull("ann", json!({})).await;
    let first = api.post_as("ann", "submit/", good(&jobs[0])).await;
    let mut dearer = good(&jobs[0]);
    dearer["price"] = json!("20.9500");
    dearer["currency"] = json!("USD");
    for other in [dearer.clone(), failed(&jobs[0])] {
        let repeat = api.post_as("ann", "submit/", other).await;
        assert_eq!((repeat.status, repeat.json()), (first.status, first.json()));
    }
    let batch = api
        .post_as("ann", "submit-batch/", json!({"results": [dearer]}))
        .await;
    assert_eq!(batch.json()["data"]["results"][0], first.json());
    let first = api.post_as("ann", "submit/", failed(&jobs[1])).await;
    let mut otherwise = failed(&jobs[1]);
    otherwise["error_msg"] = json!("no page");
    for other in [otherwise, good(&jobs[1])] {
        let repeat = api.post_as("ann", "submit/", other).await;
        assert_eq!((repeat.status, repeat.json()), (first.status, first.json()));
    }
    assert_eq!(first.json()["data"]["error"], "no price");
}

/// Section 4.3: the refusals, in the words that bots know.
#[tokio::test]
async fn refusals_have_the_codes_that_bots_know() {
    let api = Api::start(3).await;
    let job = api.pull_one("ann").await;
    let waiting = json!({"job_id": "676c6561-6e65-8000-8000-000000000003"});
    assert_eq!(
        refusal(&api.post_as("ann", "submit/", good(&waiting)).await),
        is(400, "job_not_locked")
    );
    assert_eq!(
        refusal(&api.post_as("bob", "submit/", good(&job)).await),
        is(403, "not_assigned")
    );
    let mut without_token = good(&job);
    without_token["lease_token"] = Value::Null;
    assert_eq!(
        refusal(&api.post_as("bob", "submit/", without_token).await),
        is(403, "not_assigned")
    );
    for id in [
        json!("676c6561-6e65-8000-8000-000000000099"),
        json!("123e4567-e89b-42d3-a456-426614174000"),
        json!(99),
    ] {
        let answer = api
            .post_as("ann", "submit/", good(&json!({"job_id": id})))
            .await;
        assert_eq!(refusal(&answer), is(404, "job_not_found"), "{id}");
    }
    // W-17: what another has since taken over is not touched by the first.
    api.expire(true).await;
    let again = api.pull("bob", json!({"max_jobs": 3})).await;
    assert!(again.iter().any(|own| own["job_id"] == job["job_id"]));
    assert_eq!(
        refusal(&api.post_as("ann", "submit/", good(&job)).await),
        is(403, "not_assigned")
    );
    // W-16: a bot's other process has its own right.
    api.expire(true).await;
    let taken = api.pull("ann", json!({"max_jobs": 3})).await;
    assert!(taken.iter().any(|own| own["job_id"] == job["job_id"]));
    assert_eq!(
        refusal(&api.post_as("ann", "submit/", good(&job)).await),
        is(400, "lock_expired")
    );
    assert_eq!(
        api.app
            .database
            .count("SELECT count(*) FROM crawl_result")
            .await,
        0
    );
}

/// W-35, W-41: every field's mistake is a 400 that names it, and leaves the job in hand; free-form data is any JSON.
#[tokio::test]
async fn w41_mistakes_are_named_and_change_nothing() {
    let api = Api::start(3).await;
    let job = api.pull_one("ann").await;
    for (field, value) in [
        ("success", json!(null)),
        ("success", json!("yes")),
        ("job_id", json!(null)),
        ("job_id", json!("x")),
        ("price", json!(null)),
        ("price", json!(-1)),
        ("price", json!("NaN")),
        ("price", json!(1.234_56)),
        ("price", json!(1e15)),
        ("currency", json!(null)),
        ("currency", json!("EURO")),
        ("currency", json!("E1R")),
        ("title", json!("x".repeat(501))),
        ("in_stock", json!("maybe")),
        ("availability", json!("soon")),
        ("error_msg", json!("x".repeat(501))),
        ("confidence", json!(1.5)),
        ("duration_ms", json!(-1)),
        ("lease_token", json!("mine")),
        ("raw_html", json!(7)),
    ] {
        let mut submit = good(&job);
        submit[field] = value.clone();
        let answer = api.post_as("ann", "submit/", submit).await;
        assert_eq!(
            refusal(&answer),
            is(400, "validation_error"),
            "{field}: {value}"
        );
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(field), "{field}: {detail}");
    }
    for (field, value) in [
        ("max_jobs", json!(0)),
        ("max_jobs", json!(101)),
        ("max_jobs", json!(1.5)),
        ("domain", json!("x".repeat(256))),
        ("wait_seconds", json!(31)),
    ] {
        let answer = api.post_as("ann", "pull/", json!({ field: value })).await;
        assert_eq!(refusal(&answer), is(400, "validation_error"), "{field}");
    }
    for body in ["", "[]", "{", "null", "\"x\""] {
        assert_eq!(
            refusal(&api.post("pull/", body).await),
            is(400, "validation_error"),
            "{body}"
        );
    }
    assert_eq!(
        api.app
            .database
            .count("SELECT count(*) FROM crawl_result")
            .await,
        0
    );
    assert_eq!(api.states().await[0], "1 Processing 1 ann");
    // A price of nothing is a price, and a list is data.
    let mut free = good(&job);
    free["price"] = json!(0);
    free["parsed_data"] = json!([1, [2]]);
    assert_eq!(api.post_as("ann", "submit/", free).await.status, 201);
    let job = api.pull_one("ann").await;
    let mut listed = failed(&job);
    listed["parsed_data"] = json!(["x"]);
    assert_eq!(api.post_as("ann", "submit/", listed).await.status, 200);
    assert_eq!(
        api.app
            .database
            .rows("SELECT price, parsed_data FROM crawl_result ORDER BY id")
            .await,
        ["0|[1, [2]]", "|[\"x\"]"]
    );
}

#[tokio::test]
async fn a_batch_is_judged_one_by_one() {
    let api = Api::start(3).await;
    let jobs = api.pull("ann", json!({})).await;
    let mut bad = good(&jobs[2]);
    bad["price"] = json!("much");
    let results = json!([good(&jobs[0]), failed(&jobs[1]), bad, {"job_id": 99, "success": false}, good(&jobs[0])]);
    let answer = api
        .post_as("ann", "submit-batch/", json!({"results": results}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said: Vec<String> = answer.json()["data"]["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|own| {
            own["error"]
                .as_str()
                .or(own["data"]["status"].as_str())
                .expect("a word")
                .to_owned()
        })
        .collect();
    assert_eq!(
        said,
        [
            "done",
            "pending",
            "validation_error",
            "job_not_found",
            "job_not_locked"
        ]
    );
    assert_eq!(
        api.states().await,
        ["1 Completed 1 ann", "2 Queued 1 ann", "3 Processing 1 ann"]
    );
    let empty = api
        .post_as("ann", "submit-batch", json!({"results": []}))
        .await;
    assert_eq!(refusal(&empty), is(400, "validation_error"));
}

#[tokio::test]
async fn a_heartbeat_keeps_jobs_and_a_release_gives_them_back() {
    let api = Api::start(2).await;
    let jobs = api.pull("ann", json!({})).await;
    let database = &api.app.database;
    database
        .run("UPDATE lease SET expires_at = now() + interval '5 seconds' WHERE bot_id IS NOT NULL")
        .await;
    let own = |job: &Value| json!({"job_id": job["job_id"], "lease_token": job["lease_token"]});
    let beat = json!({"jobs": [own(&jobs[0]), {"job_id": 2, "lease_token": "999999-1"}]});
    let data = api.post_as("ann", "heartbeat/", beat.clone()).await.json()["data"].clone();
    assert_eq!(
        (&data["jobs"][0]["held"], &data["jobs"][1]["held"]),
        (&json!(true), &json!(false))
    );
    let is_prolonged =
        "SELECT expires_at > now() + interval '9 minutes' FROM lease WHERE bot_id IS NOT NULL";
    assert_eq!(database.rows(is_prolonged).await, ["t"]);
    // Nobody prolongs another's.
    let data = api.post_as("bob", "heartbeat", beat).await.json()["data"].clone();
    assert_eq!(data["jobs"][0]["held"], false);

    let back = json!({"jobs": [own(&jobs[0]), {"job_id": 99, "lease_token": "1-1"}]});
    let data = api.post_as("ann", "release/", back.clone()).await.json()["data"].clone();
    assert_eq!(
        (&data["jobs"][0]["released"], &data["jobs"][1]["error"]),
        (&json!(true), &json!("job_not_found"))
    );
    assert_eq!(api.states().await, ["1 Queued 0 ann", "2 Processing 1 ann"]);
    let data = api.post_as("ann", "release", back).await.json()["data"].clone();
    assert_eq!(data["jobs"][0]["released"], false);
    // What has ended is not begun again.
    api.expire(false).await;
    let beat = json!({"jobs": [own(&jobs[1])]});
    let data = api.post_as("ann", "heartbeat/", beat).await.json()["data"].clone();
    assert_eq!(data["jobs"][0]["held"], false);
}

/// A pull may wait: it is answered as soon as there is a job, not when its time is up, and counts once.
#[tokio::test]
async fn a_pull_waits_for_a_job() {
    let api = Api::start(1).await;
    api.app
        .database
        .run("UPDATE crawl_job SET crawl_status = NULL")
        .await;
    let start = std::time::Instant::now();
    let (jobs, ()) = tokio::join!(api.pull("ann", json!({"wait_seconds": 30})), async {
        crate::support::wait_until("the pull waits", async || {
            api.app
                .database
                .count("SELECT window_pulls::bigint FROM bot WHERE bot_id = 'ann'")
                .await
                == 1
        })
        .await;
        api.app
            .database
            .run("UPDATE crawl_job SET crawl_status = 'Queued'")
            .await;
    });
    assert_eq!(jobs.len(), 1);
    assert!(
        start.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        api.app
            .database
            .rows("SELECT window_pulls, jobs_pulled FROM bot WHERE bot_id = 'ann'")
            .await,
        ["1|1"]
    );
}

/// The token may stand in the header, and the slash may be missing.
#[tokio::test]
async fn the_token_may_stand_in_the_header() {
    let api = Api::start(1).await;
    let body = r#"{"bot_id": " ann ", "max_jobs": 1}"#;
    let length = format!("Content-Length: {}", body.len());
    let bearer = format!("Authorization: bearer {TOKEN}");
    let answer = crate::support::exchange::exchange_body(
        api.address,
        "POST /api/crawl/pull",
        &[&length, &bearer],
        body.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
