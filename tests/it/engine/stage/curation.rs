//! The user status of a table: stages join it and leave it, and nobody's column is lost.

use diesel_async::SimpleAsyncConnection as _;

use crate::support::TestDatabase;

/// Rows, as `id status first second`.
const ROWS: &str = "SELECT concat_ws(' ', id, status, coalesce(first_status, '-'), coalesce(second_status, '-')) FROM parcel ORDER BY id";

/// A table of the user's with two stages; what else it has is given.
async fn parcels(columns: &str) -> TestDatabase {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "CREATE TABLE parcel (id integer PRIMARY KEY {columns});
             SELECT gleaner_add_stage('parcel', 'first'); SELECT gleaner_add_stage('parcel', 'second')"
        ))
        .await;
    database
}

async fn has_status(database: &TestDatabase) -> bool {
    database
        .scalar(
            "SELECT count(*) = 1 FROM pg_attribute
             WHERE attrelid = 'parcel'::regclass AND attname = 'status' AND NOT attisdropped",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_join_and_leave_one_by_one() {
    let database = parcels("").await;
    for stage in ["first", "second", "first"] {
        database
            .run(&format!(
                "SELECT gleaner_add_curation('parcel', '{{{stage}}}')"
            ))
            .await;
    }
    assert_eq!(
        database.rows("SELECT gleaner_curation('parcel')").await,
        ["{added,first,second}"]
    );
    database
        .run(
            "INSERT INTO parcel (id, status) VALUES (1, 'New'), (2, 'Selected'), (3, 'New');
             UPDATE parcel SET status = 'Selected' WHERE id = 1; UPDATE parcel SET second_status = 'Completed' WHERE id = 3;
             UPDATE parcel SET status = 'Selected' WHERE id = 3",
        )
        .await;
    assert_eq!(
        database.rows(ROWS).await,
        [
            "1 Selected Queued Queued",
            "2 Selected Queued Queued",
            "3 Selected Queued Completed"
        ]
    );
    database
        .run("UPDATE parcel SET status = 'Archived' WHERE id = 1")
        .await;
    assert_eq!(
        database
            .rows("SELECT first_status IS NULL AND second_status IS NULL FROM parcel WHERE id = 1")
            .await,
        ["t"]
    );

    // One leaves: the other goes on, on the column that both shared.
    database
        .run(
            "SELECT gleaner_drop_curation('parcel', '{first}'); SELECT gleaner_drop_stage('parcel', 'first');
             UPDATE parcel SET status = 'Selected' WHERE id = 1",
        )
        .await;
    assert_eq!(
        database
            .rows("SELECT status || ' ' || second_status FROM parcel WHERE id = 1")
            .await,
        ["Selected Queued"]
    );
    let comment = "SELECT col_description('parcel'::regclass, attnum) FROM pg_attribute
        WHERE attrelid = 'parcel'::regclass AND attname = 'status'";
    let said: String = database.scalar(comment).await;
    assert!(said.contains("Selected queues second unless"), "{said}");

    // The last one leaves, and what people have put in stays.
    database.run("SELECT gleaner_drop_curation('parcel')").await;
    assert_eq!(
        database.rows("SELECT status FROM parcel ORDER BY id").await,
        ["Selected", "Selected", "Selected"]
    );
    let said: String = database.scalar(comment).await;
    assert!(said.contains("Nothing follows it"), "{said}");
    // It is theirs from now on, also when it is empty.
    database
        .run(
            "UPDATE parcel SET status = 'New'; SELECT gleaner_add_curation('parcel', '{second}');
             SELECT gleaner_drop_curation('parcel', '{second}')",
        )
        .await;
    assert!(has_status(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_added_and_never_filled_goes() {
    let database = parcels("").await;
    database
        .run(
            "SELECT gleaner_add_curation('parcel', '{first,second}'); INSERT INTO parcel (id) VALUES (1);
             SELECT gleaner_drop_curation('parcel', '{second}')",
        )
        .await;
    assert!(has_status(&database).await);
    database.run("SELECT gleaner_drop_curation('parcel')").await;
    assert!(!has_status(&database).await);
    assert_eq!(
        database
            .rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'parcel'::regclass AND tgname ~ 'gleaner_1'
                   UNION ALL SELECT proname FROM pg_proc WHERE proname = 'gleaner_curate_parcel'")
            .await,
        Vec::<String>::new()
    );
    // As if for the first time.
    database
        .run("SELECT gleaner_add_curation('parcel', '{first}'); UPDATE parcel SET status = 'Selected'")
        .await;
    assert_eq!(database.rows(ROWS).await, ["1 Selected Queued -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_the_users_own_keeps_its_words_and_stays() {
    for kind in [
        "varchar(20) DEFAULT 'draft'",
        "parcel_state DEFAULT 'draft'",
    ] {
        let database = TestDatabase::new().await;
        database
            .run(&format!(
                "CREATE TYPE parcel_state AS ENUM ('draft', 'Selected', 'sent');
                 CREATE TABLE parcel (id integer PRIMARY KEY, status {kind});
                 COMMENT ON COLUMN parcel.status IS 'How far it is.';
                 INSERT INTO parcel (id) VALUES (1), (2), (3); UPDATE parcel SET status = NULL WHERE id = 3;
                 SELECT gleaner_add_stage('parcel', 'first'); SELECT gleaner_add_stage('parcel', 'second');
                 SELECT gleaner_add_curation('parcel', '{{first}}'); SELECT gleaner_add_curation('parcel', '{{second}}');
                 UPDATE parcel SET status = 'Selected' WHERE id <> 2;
                 UPDATE parcel SET status = 'sent' WHERE id = 1"
            ))
            .await;
        assert_eq!(
            database.rows(ROWS).await,
            ["1 sent - -", "2 draft - -", "3 Selected Queued Queued"],
            "{kind}"
        );
        database.run("SELECT gleaner_drop_curation('parcel')").await;
        database
            .run("UPDATE parcel SET status = 'draft'; UPDATE parcel SET status = 'Selected' WHERE id = 2")
            .await;
        assert_eq!(
            database.rows(ROWS).await,
            ["1 draft - -", "2 Selected - -", "3 draft Queued Queued"],
            "{kind}"
        );
        assert_eq!(
            database
                .rows(
                    "SELECT col_description('parcel'::regclass, attnum) FROM pg_attribute
                       WHERE attrelid = 'parcel'::regclass AND attname = 'status'"
                )
                .await,
            ["How far it is."]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_follow_is_refused_by_name() {
    let database = parcels(", status integer").await;
    for (call, problem) in [
        (
            "gleaner_add_curation('parcel', '{first,third}')",
            "has no stage \"third\"",
        ),
        ("gleaner_add_curation('parcel', '{first}')", "is no text"),
        ("gleaner_add_curation('parcel', '{}')", "no stage is named"),
        (
            "gleaner_drop_curation('parcel')",
            "no stage follows the user status of table parcel",
        ),
    ] {
        let mut conn = database.connect().await;
        let refused = conn
            .batch_execute(&format!("SELECT {call}"))
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(problem), "{call}: {refused}");
    }
    database
        .run("ALTER TABLE parcel DROP COLUMN status; SELECT gleaner_add_curation('parcel', '{first}')")
        .await;
    let mut conn = database.connect().await;
    let refused = conn
        .batch_execute("SELECT gleaner_drop_curation('parcel', '{second}')")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("\"second\" does not follow"),
        "{refused}"
    );
}
