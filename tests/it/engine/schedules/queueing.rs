//! Schedules that queue rows: in batches, each row once, whatever the table's key and whatever happens in between.

use gleaner::store::schedule::firing::{self, Outcome, Step};

use super::{define, due, fire};
use crate::support::TestDatabase;

/// A team's own table that is a stage.
const INVOICES: &str = "CREATE TABLE invoice (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric, note text);
    SELECT gleaner_add_stage('invoice', 'ocr');";

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_queued_in_batches_each_once() {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "{INVOICES} INSERT INTO invoice (total) SELECT CASE WHEN n % 4 = 0 THEN n END FROM generate_series(1, 10000) AS n"
        ))
        .await;
    let own = define(
        "ocr",
        "every = \"1h\"\nqueue = { stage = \"invoice/ocr\", where = \"total IS NULL -- as yet\" }",
    );
    let mut conn = due(&database, &own, 1).await;
    let (fired, steps) = fire(&mut conn, &own).await;
    assert_eq!(
        (fired.outcome, fired.rows),
        (Outcome::Completed, Some(7_500)),
        "{fired:?}"
    );
    // 2,000 at a time.
    assert_eq!(steps, 4);
    assert_eq!(
        database
            .rows("SELECT count(*) FILTER (WHERE ocr_status = 'Queued' AND total IS NULL AND ocr_due_at <= now()), count(*) FILTER (WHERE ocr_status IS NOT NULL AND total IS NOT NULL) FROM invoice")
            .await,
        ["7500|0"]
    );
    assert_eq!(
        database
            .rows("SELECT progress IS NULL, last_rows, next_at > now() FROM schedule WHERE name = 'schedules.ocr'")
            .await,
        ["t|7500|t"]
    );
}

/// The first process is gone after two batches; meanwhile rows that it has queued are worked.
#[tokio::test(flavor = "multi_thread")]
async fn another_goes_on_where_one_ended() {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "{INVOICES} INSERT INTO invoice (total) SELECT n FROM generate_series(1, 9000) AS n;
             CREATE TABLE witness (id bigint);
             CREATE FUNCTION witnessed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO witness VALUES (NEW.id); RETURN NULL; END $$;
             CREATE TRIGGER witnessed AFTER UPDATE ON invoice FOR EACH ROW
                 WHEN (OLD.ocr_status IS DISTINCT FROM NEW.ocr_status AND NEW.ocr_status = 'Queued') EXECUTE FUNCTION witnessed()"
        ))
        .await;
    let own = define("ocr", "every = \"1h\"\nqueue = { stage = \"invoice/ocr\" }");
    let mut one = due(&database, &own, 1).await;
    for _ in 0..2 {
        assert_eq!(firing::step(&mut one, &own, 1).await.unwrap(), Step::More);
    }
    drop(one);
    // Done already, and more has come: neither is for this firing.
    database
        .run("UPDATE invoice SET ocr_status = 'Completed' WHERE ocr_status = 'Queued'; INSERT INTO invoice (total) SELECT n FROM generate_series(1, 100) AS n")
        .await;
    assert_eq!(database.count("SELECT count(*) FROM witness").await, 4_000);
    let mut other = database.connect().await;
    let (fired, steps) = fire(&mut other, &own).await;
    assert_eq!((fired.rows, steps), (Some(9_000), 3), "{fired:?}");
    assert_eq!(
        database
            .rows("SELECT count(*), count(DISTINCT id), max(id) FROM witness")
            .await,
        ["9000|9000|9000"]
    );
    assert_eq!(
        database
            .rows("SELECT count(*), min(rows) FROM schedule_firing")
            .await,
        ["1|9000"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_hand_are_worked_again_and_waiting_ones_stay_as_they_are() {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "{INVOICES} INSERT INTO invoice (total) SELECT n FROM generate_series(1, 4) AS n;
             UPDATE invoice SET ocr_status = 'Processing', ocr_lease = 5, ocr_attempts = 2, ocr_due_at = NULL WHERE id = 1;
             UPDATE invoice SET ocr_status = 'Queued', ocr_due_at = now() + interval '1 day', ocr_attempts = 3 WHERE id = 2;
             UPDATE invoice SET ocr_attempts = 3 WHERE id = 2;
             UPDATE invoice SET ocr_status = 'Error', ocr_attempts = 5, ocr_error = 'e' WHERE id = 3"
        ))
        .await;
    let own = define("ocr", "every = \"1h\"\nqueue = { stage = \"invoice/ocr\" }");
    let mut conn = due(&database, &own, 1).await;
    let (fired, _) = fire(&mut conn, &own).await;
    assert_eq!(fired.rows, Some(3));
    assert_eq!(
        database
            .rows("SELECT ocr_status, ocr_lease IS NOT NULL, ocr_attempts, ocr_due_at > now(), ocr_error IS NULL FROM invoice ORDER BY id")
            .await,
        ["Processing|t|2|f|t", "Queued|f|3|t|t", "Queued|f|0|f|t", "Queued|f|0|f|t"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_any_key_schema_and_name_are_queued() {
    let database = TestDatabase::new().await;
    database
        .run(
            "CREATE SCHEMA \"Odd Schema\";
             CREATE TABLE \"Odd Schema\".\"Odd.Table\" (\"Key One\" uuid, key_two varchar(10), id bigint NOT NULL, PRIMARY KEY (\"Key One\", key_two));
             SELECT gleaner_add_stage('\"Odd Schema\".\"Odd.Table\"', 'ship');
             INSERT INTO \"Odd Schema\".\"Odd.Table\" SELECT md5((n / 3)::text)::uuid, 'k' || n, n FROM generate_series(1, 5000) AS n;
             CREATE TABLE named (id bigint NOT NULL, code text COLLATE \"C\" PRIMARY KEY) PARTITION BY HASH (code);
             CREATE TABLE named_0 PARTITION OF named FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE named_1 PARTITION OF named FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             SELECT gleaner_add_stage('named', 'ship');
             INSERT INTO named SELECT n, 'Ä' || n || 'z' FROM generate_series(1, 5000) AS n",
        )
        .await;
    for (name, stage, table) in [
        (
            "composite",
            "\"Odd Schema\".\"Odd.Table\"/ship",
            "\"Odd Schema\".\"Odd.Table\"",
        ),
        ("text", "named/ship", "named"),
    ] {
        let own = define(
            name,
            &format!("every = \"1h\"\n[queue]\nstage = '{stage}'\nwhere = \"id % 2 = 0\""),
        );
        let mut conn = due(&database, &own, 1).await;
        let (fired, steps) = fire(&mut conn, &own).await;
        assert_eq!((fired.rows, steps), (Some(2_500), 2), "{name}: {fired:?}");
        assert_eq!(
            database
                .count(&format!(
                    "SELECT count(*) FROM {table} WHERE ship_status = 'Queued' AND id % 2 = 0"
                ))
                .await,
            2_500
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_is_told_and_keeps_no_other_from_being_queued() {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "{INVOICES} INSERT INTO invoice (total) SELECT n FROM generate_series(1, 3000) AS n;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'closed invoices stay closed'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON invoice FOR EACH ROW WHEN (OLD.id IN (17, 2500)) EXECUTE FUNCTION refuse()"
        ))
        .await;
    let own = define("ocr", "every = \"1h\"\nqueue = { stage = \"invoice/ocr\" }");
    let mut conn = due(&database, &own, 1).await;
    let (fired, _) = fire(&mut conn, &own).await;
    assert_eq!(
        (fired.outcome, fired.rows),
        (Outcome::Failed, Some(2_998)),
        "{fired:?}"
    );
    let error = fired.error.unwrap();
    assert!(
        error.starts_with("2 rows were refused; the first, 17: closed invoices stay closed"),
        "{error}"
    );
    assert_eq!(
        database
            .count("SELECT count(*) FROM invoice WHERE ocr_status = 'Queued'")
            .await,
        2_998
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_queued_is_told_with_the_remedy() {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "{INVOICES} CREATE TABLE plain (id bigint PRIMARY KEY); INSERT INTO invoice (total) VALUES (0);
             CREATE TABLE keyless (id bigint NOT NULL); SELECT gleaner_add_stage('keyless', 'ocr')"
        ))
        .await;
    for (name, queue, told) in [
        (
            "absent",
            "stage = \"nowhere/ocr\"",
            "there is no table nowhere here",
        ),
        (
            "plain",
            "stage = \"plain/ocr\"",
            "gleaner_add_stage('public.plain', 'ocr') makes it one",
        ),
        ("keyless", "stage = \"keyless/ocr\"", "has no primary key"),
        (
            "column",
            "stage = \"invoice/ocr\"\nwhere = \"totl IS NULL\"",
            "column \"totl\" does not exist [42703]",
        ),
        (
            "division",
            "stage = \"invoice/ocr\"\nwhere = \"1 / total > 0\"",
            "division by zero [22012]",
        ),
    ] {
        let own = define(name, &format!("every = \"1h\"\n[queue]\n{queue}"));
        let mut conn = due(&database, &own, 1).await;
        let (fired, _) = fire(&mut conn, &own).await;
        assert_eq!(fired.outcome, Outcome::Failed, "{name}");
        let error = fired.error.unwrap();
        assert!(error.contains(told), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_changed_while_it_queues_ends_there() {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "{INVOICES} INSERT INTO invoice (total) SELECT n FROM generate_series(1, 5000) AS n"
        ))
        .await;
    let before = define("ocr", "every = \"1h\"\nqueue = { stage = \"invoice/ocr\" }");
    let mut conn = due(&database, &before, 1).await;
    assert_eq!(
        firing::step(&mut conn, &before, 7).await.unwrap(),
        Step::More
    );
    let after = define("ocr", "every = \"1h\"\nsql = \"SELECT 1\"");
    gleaner::store::schedule::state::make_known(&mut conn, &[&after])
        .await
        .unwrap();
    assert_eq!(
        firing::step(&mut conn, &before, 7).await.unwrap(),
        Step::NotOurs
    );
    let (fired, _) = fire(&mut conn, &after).await;
    assert_eq!(
        (fired.outcome, fired.rows),
        (Outcome::Failed, Some(2_000)),
        "{fired:?}"
    );
}
