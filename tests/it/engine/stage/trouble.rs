//! Trouble is told from faults by the server's codes, in any language and whatever a message quotes.

use diesel_async::RunQueryDsl as _;
use gleaner::db::{is_trouble, sqlstate};
use gleaner_actors::port::{Port as _, PortError, SettleReport};

use super::pipeline::Bench;
use super::{LONG, STATES};
use crate::support::refuse::{SET_ASIDE, refuse};
use crate::support::tools::skip;
use crate::support::toy::Toy;

/// What a server says that is told in a language: none where it lacks that one.
async fn speaks(bench: &mut Bench, language: &str) -> bool {
    let set = format!(
        "ALTER DATABASE {} SET lc_messages = '{language}'",
        bench.database.name()
    );
    let client = bench.database.client().await;
    if client.batch_execute(&set).await.is_err() {
        return false;
    }
    // The setting is for new connections.
    bench.pool = bench.database.pool();
    let client = bench.database.client().await;
    let error = client.batch_execute("SELECT 1 / 0").await.unwrap_err();
    error.as_db_error().unwrap().message() != "division by zero" || language == "C"
}

/// Has the server do this whenever the result `outage` is stored.
async fn in_store(bench: &Bench, body: &str) {
    bench
        .database
        .run(&format!(
            "CREATE OR REPLACE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.value = 'outage' THEN {body} END IF; RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER strike BEFORE INSERT ON effect FOR EACH ROW EXECUTE FUNCTION strike()"
        ))
        .await;
}

/// Ways for a server to be in trouble, with their codes.
const OUTAGES: [(Option<&str>, &str); 6] = [
    // Of the two errors, the server's and that nothing can be rolled back on a connection that is gone, diesel tells the last.
    (
        None,
        "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);",
    ),
    (
        Some("57014"),
        "PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(60);",
    ),
    (
        Some("55P03"),
        "SET LOCAL lock_timeout = '10ms'; LOCK TABLE taken;",
    ),
    (
        Some("25006"),
        "SET LOCAL transaction_read_only = on; CREATE TABLE never ();",
    ),
    (Some("40P01"), "RAISE deadlock_detected;"),
    (Some("53100"), "RAISE disk_full USING MESSAGE = 'Ja, mei.';"),
];

async fn assert_outages_are_nobody_s_failure(bench: &Bench) {
    bench.database.run("CREATE TABLE taken ()").await;
    let mut other = bench.database.client().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE taken").await.unwrap();
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    assert_eq!(batch.len(), 2);
    for (code, body) in OUTAGES {
        in_store(bench, body).await;
        let unsettled = port.settle(lease, &batch).await.expect_err(body);
        let PortError::Unavailable(source) = unsettled.error else {
            panic!("{body}: {:?}", unsettled.error);
        };
        let source = source.downcast_ref::<diesel::result::Error>().expect(body);
        assert_eq!(sqlstate::code(source), code, "{source}");
        assert_eq!(unsettled.recorded, SettleReport::default(), "{body}");
        assert_eq!(
            bench.database.rows(STATES).await,
            ["1 Processing 1 held", "2 Processing 1 held"],
            "{body}"
        );
    }
    in_store(bench, "NULL;").await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.stale), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_nobody_s_failure() {
    let mut bench = Bench::new("a outage", Toy::new()).await;
    assert!(speaks(&mut bench, "C").await);
    assert_outages_are_nobody_s_failure(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_nobody_s_failure_in_german_either() {
    let mut bench = Bench::new("a outage", Toy::new()).await;
    if !speaks(&mut bench, "de_DE.UTF-8").await {
        skip("the server does not speak German (locale de_DE.UTF-8)");
        return;
    }
    assert_outages_are_nobody_s_failure(&bench).await;
}

/// What a row's own rule says is about the row, though it quotes what an outage would say.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_talks_of_trouble_is_the_row_s_fault() {
    let bench = Bench::new("a outage b", Toy::new()).await;
    let port = bench.port_with(super::pipeline::patient());
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    for (attempt, rule) in [
        "RAISE EXCEPTION 'connection closed';",
        "RAISE EXCEPTION 'terminating connection: the database system is shutting down';",
        "RAISE EXCEPTION 'too many connections, too many clients already' USING HINT = 'SQLSTATE 57P01';",
        "RAISE check_violation USING MESSAGE = 'deadlock detected', CONSTRAINT = 'could not serialize';",
        "RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'ZZ999';",
    ]
    .into_iter()
    .enumerate()
    {
        in_store(&bench, rule).await;
        crate::support::wait_until("the row is due", async || {
            bench
                .database
                .scalar("SELECT count(*) > 0 FROM work WHERE toy_status = 'Queued' AND toy_due_at <= now()")
                .await
        })
        .await;
        let batch = bench.run(&port, lease).await;
        let report = port.settle(lease, &batch).await.expect(rule);
        let others = if attempt == 0 { 2 } else { 0 };
        assert_eq!((report.completed, report.retried, report.stale), (others, 1, 0), "{rule}");
        let state = &bench.database.rows(STATES).await[1];
        let expected = format!("2 Queued {} store: ", attempt + 1);
        assert!(state.starts_with(&expected), "{state}");
    }
}

/// The code arrives through the program's own connections, with the hint behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_tells_its_code() {
    let bench = Bench::new("a", Toy::new()).await;
    let mut conn = bench.database.connect().await;
    for (sql, expected) in [
        ("SELECT 1 / 0", "22012"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT lenght('x')", "42883"),
    ] {
        let error = diesel::sql_query(sql).execute(&mut conn).await.unwrap_err();
        assert_eq!(sqlstate::code(&error), Some(expected), "{error:?}");
    }
    let error = diesel::sql_query("SELECT lenght('x')")
        .execute(&mut conn)
        .await;
    let Err(diesel::result::Error::DatabaseError(_, information)) = error else {
        panic!("{error:?}");
    };
    let hint = information.hint().unwrap();
    assert!(hint.len() > "SQLSTATE 42883: ".len(), "{hint}");
    let ended = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)";
    let error = diesel::sql_query(ended)
        .execute(&mut conn)
        .await
        .unwrap_err();
    assert_eq!(sqlstate::code(&error), Some("57P01"), "{error:?}");
    assert!(is_trouble(&error));
}

/// A batch that is refused for one row's sake, and cut off by an outage while it is halved: what was recorded by then is told,
/// and counts as what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_before_an_outage_is_told() {
    let bench = Bench::new("a poison c d outage f", Toy::new()).await;
    in_store(&bench, "RAISE admin_shutdown;").await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let mut batch = bench.run(&port, lease).await;
    batch.sort_by_key(|settlement| settlement.item);
    let unsettled = port.settle(lease, &batch).await.unwrap_err();
    assert!(matches!(unsettled.error, PortError::Unavailable(_)));
    let first = unsettled.recorded;
    assert_eq!((first.completed, first.retried, first.stale), (2, 1, 0));
    assert_eq!(first.items(), 3);
    assert_eq!(
        bench
            .database
            .rows("SELECT item FROM effect ORDER BY item")
            .await,
        ["1", "3"]
    );
    in_store(&bench, "NULL;").await;
    let rest = port.settle(lease, &batch[3..]).await.unwrap();
    assert_eq!((rest.completed, rest.stale), (3, 0));
    let mut told = bench.toy.committed.lock().unwrap().clone();
    told.sort_by_key(|(id, _)| *id);
    assert_eq!(
        told.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
}

/// Rows that may not be given back are left to the timeout-checker: a worker that starts anew, or has lost an answer, goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_given_back_keeps_no_worker_from_going_on() {
    let bench = Bench::new("a b c", Toy::new()).await;
    let port = bench.port();
    let first = port.open_lease(LONG, None).await.unwrap().id;
    bench.run(&port, first).await;
    refuse(
        &bench.database,
        "work",
        "UPDATE",
        "NEW.id = 2 AND NEW.toy_lease IS NULL",
    )
    .await;
    let opened = port.open_lease(LONG, Some(first)).await.unwrap();
    assert_eq!(opened.taken_back, 2);
    let batch = bench.run(&port, opened.id).await;
    assert_eq!(batch.len(), 2);
    assert_eq!(port.settle(opened.id, &batch).await.unwrap().completed, 2);
    assert_eq!(port.close_lease(opened.id).await.unwrap(), 0);
}

/// A row that may not be taken stays where it is, at the head of the queue, and keeps nobody from those behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_claimed_keeps_no_other_waiting() {
    let bench = Bench::new("a b c d", Toy::new()).await;
    refuse(
        &bench.database,
        "work",
        "UPDATE",
        "NEW.id = 1 AND NEW.toy_status = 'Processing'",
    )
    .await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    bench.toy.wanted.lock().unwrap().extend([1, 2]);
    for expected in [3, 0] {
        let batch = bench.run(&port, lease).await;
        assert_eq!(
            port.settle(lease, &batch).await.unwrap().completed,
            expected
        );
    }
    assert_eq!(bench.database.rows(STATES).await[0], "1 Queued 0");
    assert_eq!(
        bench.database.rows(SET_ASIDE).await,
        ["claim work/toy work 1 1"]
    );
}
