//! The schema keeps its own rules.

use std::fmt::Write as _;

use gleaner::areas;
use gleaner::db::connect::PLANNING;
use gleaner::leads::deep_scan::DeepScan;
use gleaner::workflow::Workflow;

use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_commented() {
    let database = TestDatabase::new().await;
    let bare = database
        .rows(
            "SELECT 'table ' || relname FROM pg_class c
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname !~ '^(__|attempt_[0-9])'
                   AND obj_description(oid, 'pg_class') IS NULL
             UNION ALL SELECT 'column ' || c.relname || '.' || attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname !~ '^__'
                   AND attnum > 0 AND NOT attisdropped AND col_description(c.oid, attnum) IS NULL
             UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
                 WHERE pronamespace = 'public'::regnamespace AND proname !~ '^diesel' AND obj_description(oid, 'pg_proc') IS NULL",
        )
        .await;
    assert_eq!(bare, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_types_follow_the_rules() {
    let database = TestDatabase::new().await;
    let wrong = database
        .rows(
            "SELECT relname || '.' || attname || ' ' || format_type(atttypid, NULL)
                 FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname !~ '^__'
                   AND attnum > 0 AND NOT attisdropped
                   AND (atttypid IN ('timestamp'::regtype, 'varchar'::regtype, 'json'::regtype)
                     OR (attname ~ '_at$' AND atttypid <> 'timestamptz'::regtype))
             UNION ALL SELECT conrelid::regclass || ' ' || conname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
                 WHERE connamespace = 'public'::regnamespace AND contype <> 't' AND relname !~ '^__' AND NOT relispartition
                   AND conname !~ ('^' || relname || '_([a-z_]+_)?(pk|fk|key|check)$')
             UNION ALL SELECT 'no index for ' || conrelid::regclass || ' ' || conname FROM pg_constraint k
                 WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'lease'
                   AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1])",
        )
        .await;
    assert_eq!(wrong, Vec::<String>::new());
}

/// Columns of tables, views and indexes whose type `pg_upgrade` refuses, also inside of arrays, domains, ranges and composites: those that
/// hold numbers of the catalogue which another version of the server gives to something else.
///
/// Source: <https://www.postgresql.org/docs/current/pgupgrade.html>, on reg* types; `aclitem`, whose form changed with version 16.
const NOT_UPGRADABLE: &str = "
    WITH RECURSIVE refused AS (
        SELECT oid FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typname IN ('aclitem', 'regcollation', 'regconfig',
            'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure')
        UNION
        SELECT made.oid FROM refused JOIN pg_type AS made ON refused.oid IN (made.typelem, made.typbasetype)
            OR EXISTS (SELECT FROM pg_range WHERE rngtypid = made.oid AND rngsubtype = refused.oid)
            OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = made.typrelid AND atttypid = refused.oid AND NOT attisdropped)
    )
    SELECT attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
    WHERE atttypid IN (SELECT oid FROM refused) AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'm', 'i')
        AND relnamespace = 'public'::regnamespace
    ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn servers_can_be_upgraded_under_the_tables() {
    let database = TestDatabase::new().await;
    assert_eq!(database.rows(NOT_UPGRADABLE).await, Vec::<String>::new());
    database
        .run(
            "CREATE DOMAIN parser AS regconfig;
             CREATE TYPE how AS (parser parser, weight integer);
             CREATE TABLE planted (id regclass, by regproc, many regconfig[], one parser, composite how, also how[])",
        )
        .await;
    assert_eq!(
        database.rows(NOT_UPGRADABLE).await,
        [
            "planted.also",
            "planted.by",
            "planted.composite",
            "planted.many",
            "planted.one"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stage_has_its_columns_indexes_and_triggers() {
    let database = TestDatabase::new().await;
    for workflow in areas::workflows() {
        let (table, stage) = (workflow.stage.table(), workflow.stage.column_group());
        let columns = database
            .rows(&format!(
                "SELECT attname || ' ' || format_type(atttypid, NULL) || CASE WHEN attnotnull THEN ' not null' ELSE '' END
                 FROM pg_attribute WHERE attrelid = '{table}'::regclass
                   AND attname ~ '^{stage}_(status|priority|due_at|attempts|lease|error)$' ORDER BY attnum"
            ))
            .await;
        assert_eq!(
            columns,
            [
                format!("{stage}_status text"),
                format!("{stage}_priority smallint not null"),
                format!("{stage}_due_at timestamp with time zone"),
                format!("{stage}_attempts smallint not null"),
                format!("{stage}_lease bigint"),
                format!("{stage}_error text"),
            ]
        );
        let indexes = database
            .rows(&format!(
                "SELECT indexdef FROM pg_indexes WHERE indexname IN ('{table}_{stage}_queued_idx', '{table}_{stage}_held_idx') ORDER BY 1"
            ))
            .await;
        assert_eq!(
            indexes,
            [
                format!(
                    "CREATE INDEX {table}_{stage}_held_idx ON public.{table} USING btree ({stage}_lease) \
                     WHERE (({stage}_lease IS NOT NULL) OR ({stage}_status = 'Processing'::text))"
                ),
                format!(
                    "CREATE INDEX {table}_{stage}_queued_idx ON public.{table} USING btree \
                     ({stage}_priority DESC, {stage}_due_at, id) WHERE ({stage}_status = 'Queued'::text)"
                ),
            ]
        );
        let triggers = database
            .rows(&format!(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND tgname ~ '^gleaner_2_{stage}_' AND tgenabled = 'O' ORDER BY 1"
            ))
            .await;
        assert_eq!(
            triggers,
            [
                format!("gleaner_2_{stage}_insert"),
                format!("gleaner_2_{stage}_update"),
            ]
        );
        assert_eq!(
            database
                .count(&format!(
                    "SELECT count(*) FROM pg_constraint WHERE conrelid = '{table}'::regclass AND conname = '{table}_{stage}_status_check'"
                ))
                .await,
            1
        );
    }
}

/// With 100,000 rows in the queue: by the partial index, in its order, without a sort. Also before the statistics know of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_the_head_of_its_index() {
    let database = TestDatabase::new().await;
    database
        .run(
            "ANALYZE place;
             INSERT INTO place (place_id, deep_scan_status, deep_scan_priority)
                 SELECT 'p' || n, CASE WHEN n % 2 = 0 THEN 'Queued' ELSE 'Completed' END, n % 3 FROM generate_series(1, 200000) AS n;
             INSERT INTO node (host, pid, version) VALUES ('h', 1, '0');
             INSERT INTO lease (node_id, workflow, expires_at) SELECT id, 'deep-scan', now() + interval '1 hour' FROM node",
        )
        .await;
    let stage = DeepScan::stage();
    let client = database.client().await;
    client.batch_execute(PLANNING).await.expect("our settings");
    let lease: i64 = database.scalar("SELECT id FROM lease").await;
    for statistics in ["", "ANALYZE place; ANALYZE lease"] {
        client.batch_execute(statistics).await.expect("statistics");
        // Every claim is planned for its own limit.
        for limit in [1, 50, 1_000] {
            let text = plan(&client, stage.claim_sql(), lease, limit).await;
            assert!(text.contains("place_deep_scan_queued_idx"), "{text}");
            assert!(!text.contains("Sort"), "{text}");
            assert!(!text.contains("Seq Scan on place"), "{text}");
        }
    }
}

async fn plan(client: &tokio_postgres::Client, claim: &str, lease: i64, limit: i64) -> String {
    let sql = format!(
        "PREPARE claim (bigint, bigint) AS {claim}; EXPLAIN (COSTS OFF) EXECUTE claim ({lease}, {limit})"
    );
    let answer = client.simple_query(&sql).await.expect("the plan");
    client
        .batch_execute("DEALLOCATE claim")
        .await
        .expect("deallocated");
    let mut text = String::new();
    for message in answer {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            writeln!(text, "{}", row.get(0).unwrap_or_default()).expect("a string takes it");
        }
    }
    text
}
