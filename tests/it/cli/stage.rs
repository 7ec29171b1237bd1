//! `stage`: tables of the users' own become stages, and are let go again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Ran, gleaner};
use crate::support::{TestDatabase, wait_until};

/// A table as a team has it, with a status of its own that is taken over.
const INVOICES: &str = "
    CREATE SCHEMA billing;
    CREATE TABLE billing.invoice (
        no uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        ocr_status text,
        total numeric
    );
    COMMENT ON COLUMN billing.invoice.ocr_status IS 'ours';
    INSERT INTO billing.invoice (ocr_status) VALUES ('Queued'), ('Completed'), (NULL);";

async fn invoices() -> TestDatabase {
    let database = TestDatabase::new().await;
    database.run(INVOICES).await;
    database
}

fn well(database: &TestDatabase, arguments: &[&str]) -> Ran {
    let ran = gleaner(Some(database), arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

fn misused(database: &TestDatabase, arguments: &[&str], message: &str) {
    let ran = gleaner(Some(database), arguments);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains(message), "{message}: {ran:?}");
}

const COLUMNS: &str = "SELECT attname FROM pg_attribute WHERE attrelid = 'billing.invoice'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1";

/// Everything about a table that a stage may touch.
const ABOUT: &str = "
    SELECT 'column ' || attname || ' ' || format_type(atttypid, NULL) || coalesce(' ' || col_description(attrelid, attnum), '')
        FROM pg_attribute WHERE attrelid = 'billing.invoice'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'index ' || indexrelid::regclass FROM pg_index WHERE indrelid = 'billing.invoice'::regclass
    UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE conrelid = 'billing.invoice'::regclass
    UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = 'billing.invoice'::regclass AND NOT tgisinternal
    UNION ALL SELECT 'in the schema ' || relname FROM pg_class WHERE relnamespace = 'billing'::regnamespace
    UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'billing'::regnamespace
    ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_becomes_a_stage_and_is_let_go_as_it_was() {
    let database = invoices().await;
    let before = database.rows(ABOUT).await;
    let ran = well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    assert!(
        ran.stdout.contains("billing.invoice/ocr is a stage"),
        "{ran:?}"
    );
    // What was Queued before is not due, and it is said how it becomes so.
    let (_, make_due) = ran
        .stderr
        .split_once("until they are due: ")
        .expect("advice");
    let checked = gleaner(Some(&database), &["stage", "check", "billing.invoice"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stdout.contains("1 rows say Queued"), "{checked:?}");
    database.run(make_due).await;
    assert_eq!(
        database
            .rows("SELECT concat_ws(' ', gleaner_id, ocr_status, ocr_due_at <= now()) FROM billing.invoice ORDER BY gleaner_id, ocr_status")
            .await,
        ["1 Queued t", "Completed", ""]
    );
    let ran = well(&database, &["stage", "check", "billing.invoice", "ocr"]);
    assert_eq!(ran.stdout, "ok    billing.invoice/ocr\n");
    let ran = well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    assert!(ran.stdout.contains("lacks nothing"), "{ran:?}");

    let ran = well(&database, &["stage", "list", "--json"]);
    let listed = ran.json();
    let stages = listed["stages"].as_array().expect("stages");
    let own = &stages[0];
    assert_eq!(
        (
            &own["stage"],
            &own["key"],
            &own["key_types"],
            &own["has_handle"],
            &own["workflow"]
        ),
        (
            &"billing.invoice/ocr".into(),
            &serde_json::json!(["no"]),
            &serde_json::json!(["uuid"]),
            &true.into(),
            &serde_json::Value::Null
        )
    );
    // The program's own are in it, with their workflows.
    let deep_scan = stages.iter().find(|own| own["stage"] == "place/deep_scan");
    assert_eq!(deep_scan.expect("a stage of ours")["workflow"], "deep-scan");
    let ran = well(&database, &["stage", "list"]);
    assert!(ran.stdout.contains("no uuid"), "{ran:?}");

    // Two stages share the numbers.
    well(&database, &["stage", "add", "billing.invoice", "pay"]);
    let ran = well(&database, &["stage", "drop", "billing.invoice", "ocr"]);
    assert!(
        ran.stdout.contains("nothing changed") && ran.stderr.contains("--yes"),
        "{ran:?}"
    );
    well(
        &database,
        &["stage", "drop", "billing.invoice", "ocr", "--yes"],
    );
    assert_eq!(
        database.rows(COLUMNS).await,
        [
            "gleaner_id",
            "no",
            "ocr_status",
            "pay_attempts",
            "pay_due_at",
            "pay_error",
            "pay_lease",
            "pay_priority",
            "pay_status",
            "total"
        ]
    );
    database
        .run("UPDATE billing.invoice SET pay_status = 'Queued'; UPDATE billing.invoice SET ocr_status = 'whatever'")
        .await;
    assert_eq!(
        database
            .rows("SELECT count(*), count(gleaner_id) FROM billing.invoice")
            .await,
        ["3|3"]
    );
    well(
        &database,
        &["stage", "drop", "billing.invoice", "pay", "--yes"],
    );
    assert_eq!(database.rows(ABOUT).await, before);
    misused(
        &database,
        &["stage", "drop", "billing.invoice", "pay", "--yes"],
        "has no stage \"pay\"",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_hand_keep_their_stage() {
    let database = invoices().await;
    well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    database
        .run("UPDATE billing.invoice SET ocr_status = 'Processing', ocr_lease = 7 WHERE ocr_status = 'Completed'")
        .await;
    misused(
        &database,
        &["stage", "drop", "billing.invoice", "ocr", "--yes"],
        "1 rows of billing.invoice/ocr are in hand",
    );
    database
        .run("UPDATE billing.invoice SET ocr_status = 'Completed', ocr_lease = NULL WHERE ocr_lease = 7;
              SELECT gleaner_add_curation('billing.invoice', '{ocr}')")
        .await;
    misused(
        &database,
        &["stage", "drop", "billing.invoice", "ocr", "--yes"],
        "gleaner_drop_curation",
    );
    database
        .run("SELECT gleaner_drop_curation('billing.invoice', '{ocr}')")
        .await;
    // Somebody who only reads is waited for, no longer than said.
    let reader = database.client().await;
    reader
        .batch_execute("BEGIN; SELECT * FROM billing.invoice")
        .await
        .expect("a reader");
    let drop = [
        "stage",
        "drop",
        "billing.invoice",
        "ocr",
        "--yes",
        "--lock-timeout",
        "200ms",
    ];
    let ran = gleaner(Some(&database), &drop);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("in use by pid"), "{ran:?}");
    reader.batch_execute("ROLLBACK").await.expect("an end");
    well(&database, &drop);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stage_is_said() {
    let database = invoices().await;
    database
        .run(
            "CREATE TABLE \"Upper\" (id bigint PRIMARY KEY); CREATE VIEW seen AS SELECT 1 AS id;
             CREATE TABLE keyless (id bigint, other bigint NOT NULL); CREATE TABLE ours (id bigint PRIMARY KEY, gleaner_id text);
             CREATE TABLE coded (code text PRIMARY KEY, gleaner_id bigint);
             CREATE TABLE typed (id bigint PRIMARY KEY, a_status integer, b_attempts bigint, c_status text);
             INSERT INTO typed VALUES (1, 1, 1, 'pending'), (2, 1, 1, 'it''s');
             CREATE TABLE part (id bigint PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        )
        .await;
    for (arguments, message) in [
        (&["nowhere", "x"][..], "there is no table nowhere"),
        (&["Upper", "x"], "in double quotes"),
        (&["a.b.c.d", "x"], "there is no table a.b.c.d"),
        (&["un\"quoted", "x"], "there is no table"),
        (&["seen", "x"], "no table whose rows could be claimed"),
        (&["keyless", "x"], "has no primary key"),
        (&["keyless", "x", "--key", "id"], "may be NULL"),
        (
            &["keyless", "x", "--key", "other"],
            "no index keeps (other) of table keyless unique",
        ),
        (&["keyless", "x", "--key", "nope"], "has no column \"nope\""),
        (&["coded", "x"], "has a column \"gleaner_id\" of its own"),
        (
            &["typed", "a"],
            "is of type integer: a stage needs text there",
        ),
        (
            &["typed", "b"],
            "is of type bigint: a stage needs smallint there",
        ),
        (
            &["typed", "c", "--concurrently"],
            "holds \"it's\", \"pending\"",
        ),
        (&["typed", "Bad"], "must be lower-case"),
        (&["part_0", "x"], "the stage belongs to the whole, part"),
    ] {
        let mut all = vec!["stage", "add"];
        all.extend(arguments);
        misused(&database, &all, message);
    }
    // One that has such a column and does not need it.
    well(&database, &["stage", "add", "ours", "x"]);
    misused(
        &database,
        &["stage", "add", "ours", "x", "--key", "gleaner_id"],
        "drop the stage",
    );
    // The key cannot be read, or is none.
    well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    misused(
        &database,
        &["items", "show", "billing.invoice/ocr", "nonsense"],
        "invalid input syntax for type uuid",
    );
    misused(
        &database,
        &["items", "show", "ours/x", "nonsense"],
        "its id is a whole number",
    );
    misused(&database, &["items", "list", "ours/y"], "it has x");
    misused(
        &database,
        &["items", "list", "nope"],
        "no workflow is called \"nope\"",
    );
}

/// The statements that a migration tool runs make the same as the command, and may be run twice.
#[tokio::test(flavor = "multi_thread")]
async fn printed_statements_do_the_same() {
    for flags in [&["--print"][..], &["--print", "--concurrently"]] {
        let (printed, done) = (invoices().await, invoices().await);
        for database in [&printed, &done] {
            database
                .run("CREATE TABLE billing.line (id bigint, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
                      CREATE TABLE billing.line_1 PARTITION OF billing.line FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
                .await;
        }
        for table in ["billing.invoice", "billing.line"] {
            let mut arguments = vec!["stage", "add", table, "ocr"];
            well(&done, &arguments);
            arguments.extend(flags);
            let sql = well(&printed, &arguments).stdout;
            let checked = gleaner(Some(&printed), &["stage", "check", table]);
            assert_eq!(checked.code, 2, "printing has done something: {checked:?}");
            let client = printed.client().await;
            let is_live = flags.contains(&"--concurrently");
            let statements = if is_live {
                assert!(sql.contains("outside of any transaction"), "{sql}");
                arguments.push("--json");
                let answer = well(&printed, &arguments).json();
                let steps = answer["statements"].as_array().expect("statements");
                steps
                    .iter()
                    .map(|step| step["statement"].as_str().expect("a statement").to_owned())
                    .collect()
            } else {
                vec![sql]
            };
            for statement in statements.iter().chain(&statements) {
                if let Err(error) = client.batch_execute(statement).await {
                    panic!("{statement}: {error:?}");
                }
            }
            well(&printed, &["stage", "list"]);
        }
        // The server names the partitions' indexes itself, where it makes them.
        let about = async |database: &TestDatabase| {
            let mut rows = database.rows(ABOUT).await;
            rows.retain(|row| !row.contains("line_1_"));
            rows
        };
        assert_eq!(about(&printed).await, about(&done).await);
    }
}

/// Somebody writes all the while, and one of the transactions of others takes long.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_table_that_is_written_to_becomes_a_stage_beside_its_writers() {
    const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
    let database = Arc::new(TestDatabase::new().await);
    database
        .run(
            "CREATE TABLE visit (code text PRIMARY KEY, seen integer NOT NULL DEFAULT 0);
             INSERT INTO visit (code) SELECT 'v' || n FROM generate_series(1, 300000) AS n; ANALYZE visit",
        )
        .await;
    let other = database.client().await;
    other
        .batch_execute("BEGIN; UPDATE visit SET seen = 1 WHERE code = 'v1'")
        .await
        .expect("a long transaction");
    let is_done = Arc::new(AtomicBool::new(false));
    let longest = Arc::new(AtomicU64::new(0));
    let writes = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (database, is_done) = (Arc::clone(&database), Arc::clone(&is_done));
        let (longest, writes) = (Arc::clone(&longest), Arc::clone(&writes));
        async move {
            let client = database.client().await;
            while !is_done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let number = writes.fetch_add(1, Ordering::Relaxed) % 300_000 + 2;
                client
                    .execute(
                        "UPDATE visit SET seen = seen + 1 WHERE code = 'v' || $1::bigint",
                        &[&i64::try_from(number).expect("small")],
                    )
                    .await
                    .expect("a write");
                let millis = u64::try_from(begun.elapsed().as_millis()).expect("not long");
                longest.fetch_max(millis, Ordering::Relaxed);
            }
        }
    });
    let adding = tokio::task::spawn_blocking({
        let database = Arc::clone(&database);
        move || {
            gleaner(
                Some(&database),
                &[
                    "stage",
                    "add",
                    "visit",
                    "count",
                    "--concurrently",
                    "--lock-timeout",
                    "500ms",
                ],
            )
        }
    });
    // It cannot have the table yet, and says who is in the way.
    wait_until("it has tried", async || writes.load(Ordering::Relaxed) > 50).await;
    other.batch_execute("COMMIT").await.expect("an end");
    let ran = adding.await.expect("it ends");
    is_done.store(true, Ordering::Relaxed);
    writer.await.expect("a writer");
    assert_eq!(ran.code, 0, "{ran:?}");
    let longest = Duration::from_millis(longest.load(Ordering::Relaxed));
    assert!(
        longest < LOCK_TIMEOUT + Duration::from_secs(1),
        "a writer waited {longest:?}"
    );
    assert!(ran.stderr.contains("visit_count_queued_idx"), "{ran:?}");
    well(&database, &["stage", "check", "visit"]);
    // In one transaction it would have taken too long.
    let ran = gleaner(
        Some(&database),
        &["stage", "add", "visit", "again", "--lock-timeout", "5ms"],
    );
    assert!(
        ran.code == 2 && ran.stderr.contains("--concurrently"),
        "{ran:?}"
    );
    assert_eq!(
        database
            .count("SELECT count(*) FROM pg_attribute WHERE attname = 'again_status'")
            .await,
        0
    );
}

/// What a run that was broken off has left: half of it, with an index that is not valid.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_broken_off_is_taken_up() {
    let database = TestDatabase::new().await;
    database
        .run("CREATE TABLE visit (code text PRIMARY KEY, seen integer); INSERT INTO visit VALUES ('a', 1), ('b', 1);
              CREATE TABLE day (code text, day date, PRIMARY KEY (code, day)) PARTITION BY RANGE (day);
              CREATE TABLE day_1 PARTITION OF day FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
              CREATE TABLE day_2 PARTITION OF day FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
        .await;
    for (table, leaf) in [("visit", "visit"), ("day", "day_1")] {
        let ran = well(
            &database,
            &[
                "stage",
                "add",
                table,
                "count",
                "--concurrently",
                "--print",
                "--json",
            ],
        );
        let steps = ran.json();
        let steps = steps["statements"].as_array().expect("statements");
        let client = database.client().await;
        for step in steps.iter().take_while(|step| step["is_brief"] == true) {
            client
                .batch_execute(step["statement"].as_str().expect("a statement"))
                .await
                .expect("a step");
        }
        let ran = gleaner(Some(&database), &["stage", "check", table]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.stdout.contains(&format!("{table}_count_queued_idx")),
            "{ran:?}"
        );
        assert!(
            ran.stdout.contains(&format!("{table}_count_status_check")),
            "{ran:?}"
        );
        database
            .run(&format!(
                "CREATE INDEX {leaf}_count_queued_idx ON {leaf} (count_priority DESC, count_due_at, gleaner_id) WHERE count_status = 'Queued' AND gleaner_id IS NOT NULL;
                 UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{leaf}_count_queued_idx'::regclass"
            ))
            .await;
        well(
            &database,
            &["stage", "add", table, "count", "--concurrently"],
        );
        well(&database, &["stage", "check", table]);
        assert_eq!(
            database
                .rows("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid")
                .await,
            Vec::<String>::new()
        );
        // What it has added is known, though two runs have.
        database
            .run(&format!("UPDATE {table} SET count_status = 'Completed'"))
            .await;
        well(&database, &["stage", "drop", table, "count", "--yes"]);
        assert_eq!(
            database
                .count(&format!("SELECT count(*) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname ~ '^(count|gleaner)_' AND NOT attisdropped"))
                .await,
            0
        );
    }
}

/// What somebody has switched off, taken away or not granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_was_spoilt_is_found() {
    let database = invoices().await;
    well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    database
        .run(
            "UPDATE billing.invoice SET ocr_due_at = now() WHERE ocr_status = 'Queued';
             ALTER TABLE billing.invoice DISABLE TRIGGER gleaner_2_ocr_update; ALTER TABLE billing.invoice SET (autovacuum_enabled = false);
             DROP INDEX billing.invoice_ocr_held_idx; ALTER TABLE billing.invoice DROP CONSTRAINT invoice_ocr_status_check;
             DROP TRIGGER gleaner_2z_handle_insert ON billing.invoice",
        )
        .await;
    let ran = gleaner(Some(&database), &["stage", "check", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["healthy"], false);
    let stages = report["stages"].as_array().expect("stages");
    let found: Vec<&str> = stages
        .iter()
        .flat_map(|stage| stage["findings"].as_array().expect("findings"))
        .map(|finding| finding["found"].as_str().expect("words"))
        .collect();
    assert_eq!(
        found,
        [
            "it lacks: rule, handle, invoice_ocr_held_idx, invoice_ocr_status_check",
            "the trigger gleaner_2_ocr_update is switched off",
            "autovacuum is switched off for billing.invoice",
        ]
    );
    // The doctor says it, too.
    let ran = gleaner(Some(&database), &["doctor"]);
    assert!(ran.stdout.contains("billing.invoice/ocr"), "{ran:?}");
    // What it says to do does it.
    well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    database
        .run("ALTER TABLE billing.invoice ENABLE TRIGGER gleaner_2_ocr_update; ALTER TABLE billing.invoice RESET (autovacuum_enabled)")
        .await;
    well(&database, &["stage", "check"]);
    // A table that is renamed is told under its new name once that is asked for; its stage knows what it has added all the same.
    database
        .run("ALTER TABLE billing.invoice RENAME TO bill; ALTER TABLE billing.bill SET SCHEMA public; UPDATE bill SET ocr_status = 'Queued'")
        .await;
    let ran = gleaner(Some(&database), &["stage", "check", "bill"]);
    assert!(
        ran.code == 1 && ran.stdout.contains("it lacks: guard"),
        "{ran:?}"
    );
    well(&database, &["stage", "add", "bill", "ocr"]);
    well(&database, &["stage", "check", "bill"]);
    let heard = database
        .rows("SELECT prosrc LIKE '%''bill/ocr''%' FROM pg_proc WHERE proname = 'gleaner_stage_invoice_ocr'")
        .await;
    assert_eq!(heard, ["t"]);
    well(&database, &["stage", "drop", "bill", "ocr", "--yes"]);
}

/// Who is no superuser, and does not own the table.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_alone_makes_a_stage() {
    let database = invoices().await;
    let role = format!(
        "gleaner_test_{}",
        database.name().rsplit('_').next().expect("a name")
    );
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA billing TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA billing TO {role}"
        ))
        .await;
    let mut url = url::Url::parse(database.url()).expect("a URL");
    url.set_username(&role).expect("a user");
    url.set_password(Some("x")).expect("a password");
    let url = url.to_string();
    let as_role = |arguments: &[&str]| {
        let mut all = vec!["--database-url", url.as_str()];
        all.extend(arguments);
        gleaner(None, &all)
    };
    let ran = as_role(&["stage", "add", "billing.invoice", "ocr"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("table billing.invoice belongs to"),
        "{ran:?}"
    );
    // It may see what there would be to do.
    let ran = as_role(&["stage", "add", "billing.invoice", "ocr", "--print"]);
    assert!(
        ran.code == 0 && ran.stdout.contains("ALTER TABLE billing.invoice"),
        "{ran:?}"
    );
    well(&database, &["stage", "add", "billing.invoice", "ocr"]);
    database
        .run("UPDATE billing.invoice SET ocr_due_at = now() WHERE ocr_status = 'Queued'")
        .await;
    let ran = as_role(&["stage", "check", "billing.invoice"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains(&format!("GRANT UPDATE ON billing.invoice TO {role}")),
        "{ran:?}"
    );
    // Who writes needs nothing but the table: the numbers are given all the same.
    database
        .run(&format!(
            "GRANT UPDATE, INSERT ON billing.invoice TO {role}"
        ))
        .await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .expect("a connection");
    let connected = tokio::spawn(connection);
    client
        .batch_execute("UPDATE billing.invoice SET ocr_status = 'Queued'")
        .await
        .expect("a writer's request");
    drop(client);
    connected.await.expect("it ends").expect("well");
    assert_eq!(
        database
            .rows("SELECT count(gleaner_id) FROM billing.invoice")
            .await,
        ["3"]
    );
    // And the owner, who is nothing else.
    database
        .run(&format!("CREATE SCHEMA own AUTHORIZATION {role}; SET ROLE {role}; CREATE TABLE own.thing (code text PRIMARY KEY)"))
        .await;
    let ran = as_role(&["stage", "add", "own.thing", "ship"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = as_role(&["stage", "check", "own.thing"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    database
        .run(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"))
        .await;
}
