//! Stages on tables of any kind: whatever their key, name, schema and partitions, rows live as all others do.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use gleaner::db::connect::Connector;
use gleaner::live::Live;
use gleaner::pipeline::Pipeline;
use gleaner::store::lease::{self, LeaseHeart};
use gleaner::store::node;
use gleaner::store::stage::{Stage, catalogue};
use gleaner::workflow::{Done, ItemId, Workflow, WorkflowError};
use gleaner_actors::{Backoff, Member, Settings, Tree, TreeSettings};

use super::{LONG, complete, ids};
use crate::cli::gleaner;
use crate::support::toy::open_lease;
use crate::support::{TestDatabase, wait_until};

/// A table with rows of each payload, as somebody else would have it.
struct Kind {
    /// Makes it, with a column `payload`.
    table: &'static str,
    /// As SQL writes it.
    name: &'static str,
    /// The columns of its key, where these are not the primary key.
    key: Option<&'static str>,
    /// As the history names the stage.
    label: &'static str,
    /// A row's key as people write it: SQL.
    text: &'static str,
    has_handle: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        table: "CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL)",
        name: "plain",
        key: None,
        label: "plain/ship",
        text: "id::text",
        has_handle: false,
    },
    Kind {
        // Words that SQL reserves, and braces as templates have them.
        table: "CREATE SCHEMA billing; CREATE TABLE billing.\"order\" (\"{table}\" integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL)",
        name: "billing.order",
        key: None,
        label: "billing.order/ship",
        text: "\"{table}\"::text",
        has_handle: false,
    },
    Kind {
        table: "CREATE TABLE \"My \"\"Work\"\" {stage}\" (\"No.\" uuid PRIMARY KEY DEFAULT gen_random_uuid(), payload text NOT NULL)",
        name: "\"My \"\"Work\"\" {stage}\"",
        key: None,
        label: "\"My \"\"Work\"\" {stage}\"/ship",
        text: "\"No.\"::text",
        has_handle: true,
    },
    Kind {
        table: "CREATE TABLE coded (code text PRIMARY KEY DEFAULT 'it''s, \"' || gen_random_uuid() || '\\', payload text NOT NULL)",
        name: "coded",
        key: None,
        label: "coded/ship",
        text: "code",
        has_handle: true,
    },
    Kind {
        table: "CREATE TABLE entry (account text DEFAULT 'a, \"b', number smallint GENERATED ALWAYS AS IDENTITY, payload text NOT NULL, PRIMARY KEY (account, number))",
        name: "entry",
        key: None,
        label: "entry/ship",
        text: "ROW(account, number)::text",
        has_handle: true,
    },
    Kind {
        table: "CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, day date NOT NULL DEFAULT '2026-01-05', payload text NOT NULL, PRIMARY KEY (id, day)) \
                PARTITION BY RANGE (day);
            CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
            CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY RANGE (day);
            CREATE TABLE event_2a PARTITION OF event_2 FOR VALUES FROM ('2026-02-01') TO ('2026-02-15');
            CREATE TABLE event_2b PARTITION OF event_2 DEFAULT",
        name: "public.event",
        key: Some("{id}"),
        label: "event/ship",
        text: "id::text",
        has_handle: true,
    },
    Kind {
        // The partitions' own key is one number, which an index keeps unique.
        table: "CREATE TABLE spread (id bigint PRIMARY KEY DEFAULT (random() * 1e15)::bigint, payload text NOT NULL) PARTITION BY HASH (id);
            CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        name: "spread",
        key: None,
        label: "spread/ship",
        text: "id::text",
        has_handle: false,
    },
];

impl Kind {
    /// A database with the table as a stage, and the stage.
    async fn make(&self) -> (TestDatabase, Stage) {
        let database = TestDatabase::new().await;
        database.run(self.table).await;
        database
            .run("CREATE TABLE effect (item bigint NOT NULL, value text NOT NULL)")
            .await;
        let stage = self.add(&database, "ship").await;
        (database, stage)
    }

    async fn add(&self, database: &TestDatabase, stage: &str) -> Stage {
        let client = database.client().await;
        let sql = "SELECT gleaner_add_stage($1::text::regclass, $2, $3::text::text[])";
        client
            .query(sql, &[&self.name, &stage, &self.key])
            .await
            .unwrap();
        let listed = catalogue::find(&mut database.connect().await, self.name, stage)
            .await
            .unwrap();
        assert_eq!(listed.has_handle, self.has_handle, "{}", self.name);
        listed.stage()
    }

    /// As statements name it.
    fn quoted(&self) -> String {
        self.name.replace(".order", ".\"order\"")
    }

    /// Keys as people write them.
    async fn keys(&self, database: &TestDatabase, condition: &str) -> Vec<String> {
        let (text, table) = (self.text, self.quoted());
        let sql = format!("SELECT {text} FROM {table} WHERE {condition} ORDER BY 1");
        let rows = database.client().await.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Works rows whose payload says what becomes of them.
#[derive(Clone)]
struct Shipping {
    stage: Stage,
}

impl Workflow for Shipping {
    const NAME: &'static str = "shipping";
    // Of no matter: the stage is another's.
    const TABLE: &'static str = "plain";
    const STAGE: &'static str = "ship";
    type Input = String;
    type Output = String;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, String)>> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: i64,
            #[diesel(sql_type = Text)]
            payload: String,
        }
        let (table, key) = (self.stage.table_in_statements(), self.stage.key().column());
        let sql =
            format!("SELECT {key}::bigint AS id, payload FROM {table} WHERE {key} = ANY ($1)");
        let rows: Vec<Row> = diesel::sql_query(sql)
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.payload)).collect())
    }

    async fn run(&self, payload: String) -> Result<Done<String>, WorkflowError> {
        match payload.as_str() {
            "filter" => Ok(Done::Filtered("not wanted".to_owned(), None)),
            "retry" => Err(WorkflowError::retry("http", "503")),
            "permanent" => Err(WorkflowError::permanent("http", "404")),
            _ => Ok(Done::Completed(payload)),
        }
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &String)],
    ) -> QueryResult<()> {
        let (ids, values): (Vec<i64>, Vec<&str>) = outputs
            .iter()
            .map(|(id, value)| (*id, value.as_str()))
            .unzip();
        diesel::sql_query("INSERT INTO effect (item, value) SELECT * FROM unnest($1, $2)")
            .bind::<Array<BigInt>, _>(ids)
            .bind::<Array<Text>, _>(values)
            .execute(conn)
            .await?;
        Ok(())
    }
}

async fn start(database: &TestDatabase, stage: &Stage) -> Tree {
    let settings = Settings {
        interval: Duration::from_millis(50),
        concurrency: 10,
        batch_size: 10,
        max_attempts: 2,
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(2)),
        ..Settings::default()
    };
    let pool = database.pool();
    let node = node::register(&mut pool.get().await.unwrap())
        .await
        .unwrap();
    let workflow = Shipping {
        stage: stage.clone(),
    };
    let live = Live::new(settings.clone());
    let port = Pipeline::over(workflow, stage.clone(), pool, node, live);
    let member = Member::workflow(Shipping::NAME, Arc::new(port), settings);
    let config = database.config();
    let heart = LeaseHeart::new(Connector::new(&config.url, &config).unwrap(), node);
    Tree::start(TreeSettings::default(), heart, vec![member], Arc::new(()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_key_live_as_all_others() {
    for kind in KINDS {
        let (database, stage) = kind.make().await;
        assert_eq!(stage.name(), kind.label);
        let table = kind.quoted();
        database
            .run(&format!(
                "INSERT INTO {table} (payload) VALUES ('ok'), ('ok'), ('retry'), ('permanent'), ('filter'), ('never')"
            ))
            .await;
        let tree = start(&database, &stage).await;
        // As any software asks.
        database
            .run(&format!(
                "UPDATE {table} SET ship_status = 'Queued' WHERE payload <> 'never'"
            ))
            .await;
        tree.wake_all();
        let states = format!(
            "SELECT concat_ws(' ', payload, ship_status, ship_attempts, ship_error) FROM {table} ORDER BY 1"
        );
        wait_until("all rows are done", async || {
            let done = format!(
                "SELECT count(*) FROM {table} WHERE ship_status IN ('Completed', 'Error', 'Filtered')"
            );
            database.count(&done).await == 5
        })
        .await;
        tree.drain(Duration::from_secs(5)).await;
        assert_eq!(
            database.rows(&states).await,
            [
                "filter Filtered 1 not wanted",
                "never 0",
                "ok Completed 1",
                "ok Completed 1",
                "permanent Error 1 http: 404",
                "retry Error 2 http: 503"
            ],
            "{}",
            kind.name
        );
        assert_eq!(
            database
                .rows("SELECT concat_ws(' ', stage, outcome, count(*), count(DISTINCT item_id)) FROM attempt GROUP BY stage, outcome ORDER BY outcome")
                .await,
            ["completed 2 2", "failed 2 2", "filtered 1 1", "retried 1 1"]
                .map(|row| format!("{} {row}", kind.label)),
            "{}",
            kind.name
        );
        assert_eq!(
            database
                .rows("SELECT value, count(DISTINCT item) FROM effect GROUP BY value")
                .await,
            ["ok|2"]
        );
        people_name_rows_by_their_own_keys(kind, &database, &stage).await;
        rows_are_rescued(kind, &database, &stage).await;
    }
}

/// `items`, by the keys that people know.
async fn people_name_rows_by_their_own_keys(kind: &Kind, database: &TestDatabase, stage: &Stage) {
    let name = stage.name();
    let retried = kind.keys(database, "payload = 'retry'").await.concat();
    let never = kind.keys(database, "payload = 'never'").await.concat();
    let run = |arguments: &[&str]| {
        let mut all = vec!["items"];
        all.extend(arguments);
        let ran = gleaner(Some(database), &all);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    let ran = run(&["list", &name, "--json"]);
    let answer = ran.json();
    let mut listed: Vec<&str> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect();
    listed.sort_unstable();
    let mut expected = kind.keys(database, "true").await;
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(answer["matching"], 6);
    // As people see it.
    assert!(run(&["list", &name]).stdout.contains(&retried));

    let ran = run(&["show", &name, &retried, "--json"]);
    let answer = ran.json();
    assert_eq!(answer["key"], retried.as_str());
    assert_eq!(answer["row"]["payload"], "retry");
    let outcomes: Vec<&str> = answer["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failed", "retried"]);
    // By the number that logs and history have.
    let number = answer["id"].as_i64().unwrap().to_string();
    let ran = run(&["show", &name, "--item", &number, "--json"]);
    assert_eq!(ran.json()["key"], retried.as_str());
    // One that was never asked for.
    let answer = run(&["show", &name, &never, "--json"]).json();
    assert_eq!(answer["attempts"].as_array().unwrap().len(), 0);
    assert_eq!(answer["id"].is_null(), kind.has_handle);

    let table = kind.quoted();
    let queued = format!(
        "SELECT string_agg(payload || ship_attempts, ' ' ORDER BY payload) FROM {table} WHERE ship_status = 'Queued'"
    );
    let ran = run(&[
        "retry", &name, "--id", &retried, "--id", &never, "--yes", "--json",
    ]);
    assert_eq!(ran.json()["changed"], 2, "{ran:?}");
    assert_eq!(database.rows(&queued).await, ["never0 retry0"]);
    let ran = run(&["cancel", &name, "--id", &never, "--yes", "--json"]);
    assert_eq!(ran.json()["changed"], 1, "{ran:?}");
    assert_eq!(database.rows(&queued).await, ["retry0"]);
    // Of any status, asked for or not.
    database
        .run(&format!("INSERT INTO {table} (payload) VALUES ('never')"))
        .await;
    let ran = run(&[
        "retry",
        &name,
        "--status",
        "None,Cancelled,Error,Completed",
        "--yes",
        "--json",
    ]);
    assert_eq!(ran.json()["changed"], 5, "{ran:?}");
    let ran = run(&["cancel", &name, "--yes", "--json"]);
    assert_eq!(ran.json()["changed"], 6, "{ran:?}");
    database
        .run(&format!("DELETE FROM {table} WHERE payload = 'never'"))
        .await;
    assert_eq!(
        gleaner(Some(database), &["items", "show", &name, &never]).code,
        1
    );
}

/// A worker dies with rows in its hands; one that is only late changes nothing any more.
async fn rows_are_rescued(kind: &Kind, database: &TestDatabase, stage: &Stage) {
    let table = kind.quoted();
    database
        .run(&format!(
            "UPDATE {table} SET ship_status = 'Queued' WHERE payload = 'ok'"
        ))
        .await;
    let mut conn = database.connect().await;
    let dead = open_lease(&mut conn, LONG).await;
    let claimed = stage.claim(&mut conn, dead, 10).await.unwrap();
    let numbers = ids(&claimed);
    assert_eq!(numbers.len(), 2);
    lease::end(&mut conn, dead).await.unwrap();
    let rescued = stage.rescue(&mut conn, 5).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (2, 0));
    let alive = open_lease(&mut conn, LONG).await;
    let again = stage.claim_these(&mut conn, alive, &numbers).await.unwrap();
    assert_eq!(ids(&again), numbers);
    assert!(again.iter().all(|row| row.attempt == 2));
    let (late, ours) = (complete(numbers[0], 1), complete(numbers[0], 2));
    let settled = stage.settle(&mut conn, dead, &late).await.unwrap();
    assert_eq!(settled, Vec::<ItemId>::new());
    let settled = stage.settle(&mut conn, alive, &ours).await.unwrap();
    assert_eq!(settled, [numbers[0]]);
    // Handed back unharmed.
    assert_eq!(stage.release(&mut conn, alive, &[]).await.unwrap().freed, 1);
    assert!(stage.has_due(&mut conn).await.unwrap());
    let gauge = stage.gauge(&mut conn, 100).await.unwrap();
    assert_eq!((gauge.queued, gauge.due, gauge.held), (1, 1, 0));
    assert!(
        stage
            .excused(&mut conn, &again, 2)
            .await
            .unwrap()
            .is_empty()
    );
}

fn event() -> &'static Kind {
    KINDS
        .iter()
        .find(|kind| kind.name == "public.event")
        .unwrap()
}

/// A row may move to another partition at any time: it stays what it is, in whoever's hands it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves_to_another_partition_stays_in_hand_and_in_the_queue() {
    let (database, stage) = event().make().await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    database
        .run(
            "INSERT INTO event (payload, ship_status, ship_priority) VALUES ('ok', 'Queued', 1), ('ok', 'Queued', 0), ('never', NULL, 0);
             UPDATE event SET ship_due_at = '2026-01-01Z' WHERE ship_status = 'Queued'",
        )
        .await;
    let claimed = stage.claim(&mut conn, lease, 1).await.unwrap();
    let states = "SELECT concat_ws(' ', tableoid::regclass, id, gleaner_id, ship_status, ship_attempts, ship_lease IS NOT NULL, ship_due_at AT TIME ZONE 'UTC') \
                  FROM event ORDER BY id";
    assert_eq!(
        database.rows(states).await,
        [
            "event_1 1 1 Processing 1 t",
            "event_1 2 2 Queued 0 f 2026-01-01 00:00:00",
            "event_1 3 0 f"
        ]
    );
    database.run("UPDATE event SET day = '2026-02-03'").await;
    assert_eq!(
        database.rows(states).await,
        [
            "event_2a 1 1 Processing 1 t",
            "event_2a 2 2 Queued 0 f 2026-01-01 00:00:00",
            "event_2a 3 0 f"
        ]
    );
    // Asked for by the same statement that moves it; its request while in hand is honoured as ever.
    database
        .run("UPDATE event SET day = '2026-01-07', ship_status = 'Queued' WHERE id IN (1, 3)")
        .await;
    let rows = database.rows(states).await;
    assert!(
        rows[0].starts_with("event_1 1 1 Processing 1 t 20"),
        "{rows:?}"
    );
    assert!(rows[2].starts_with("event_1 3 3 Queued 0 f 20"), "{rows:?}");
    let settled = stage
        .settle(&mut conn, lease, &complete(claimed[0].id, 1))
        .await
        .unwrap();
    assert_eq!(settled, [claimed[0].id]);
    let claimed = stage.claim(&mut conn, lease, 10).await.unwrap();
    assert_eq!(ids(&claimed), [1, 2, 3]);
    // Nobody's number is given out twice, and nobody makes one up.
    database
        .run(
            "INSERT INTO event (day, payload, gleaner_id, ship_status) SELECT day, payload, gleaner_id, 'Queued' FROM event;
             INSERT INTO event (payload, gleaner_id, ship_status) VALUES ('ok', 1000, 'Queued');
             UPDATE event SET gleaner_id = 2000",
        )
        .await;
    assert_eq!(
        database
            .rows("SELECT string_agg(gleaner_id::text, ' ' ORDER BY gleaner_id) FROM event")
            .await,
        ["1 2 3 4 5 6 7"]
    );
    // Partitions that come later are part of it.
    database
        .run(
            "CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
             INSERT INTO event (day, payload, ship_status) VALUES ('2026-03-05', 'ok', 'Queued')",
        )
        .await;
    let claimed = stage.claim(&mut conn, lease, 10).await.unwrap();
    assert_eq!(ids(&claimed), [4, 5, 6, 7, 8]);
}

/// While somebody moves a row, it is passed over, and the settle of it waits or is tried again: nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_settle_that_meets_a_moving_row_is_tried_again() {
    let (database, stage) = event().make().await;
    database
        .run("INSERT INTO event (payload, ship_status) VALUES ('ok', 'Queued')")
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let claimed = stage.claim(&mut conn, lease, 1).await.unwrap();
    let other = database.client().await;
    other
        .batch_execute("BEGIN; UPDATE event SET day = '2026-02-03'")
        .await
        .unwrap();
    let settling = tokio::spawn(async move {
        let done = stage
            .settle(&mut conn, lease, &complete(claimed[0].id, 1))
            .await;
        (done, conn, stage, claimed, lease)
    });
    wait_until("the settle waits for it", async || {
        database
            .count("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .await
            > 0
    })
    .await;
    other.batch_execute("COMMIT").await.unwrap();
    let (done, mut conn, stage, claimed, lease) = settling.await.unwrap();
    // The server says so, by a code for what passes by itself.
    let error = done.unwrap_err();
    assert!(gleaner::db::is_trouble(&error), "{error:?}");
    let settled = stage
        .settle(&mut conn, lease, &complete(claimed[0].id, 1))
        .await
        .unwrap();
    assert_eq!(settled, [claimed[0].id]);
}

/// Rows are copied with all their columns.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_row_is_a_row_of_its_own() {
    for kind in KINDS.iter().filter(|kind| kind.has_handle) {
        let (database, stage) = kind.make().await;
        let table = kind.quoted();
        database
            .run(&format!(
                "INSERT INTO {table} (payload, ship_status) VALUES ('ok', 'Queued'), ('done', 'Completed');
                 UPDATE {table} SET ship_status = 'Queued' WHERE payload = 'done'; UPDATE {table} SET ship_status = 'Completed' WHERE payload = 'done'"
            ))
            .await;
        let mut conn = database.connect().await;
        let lease = open_lease(&mut conn, LONG).await;
        let claimed = stage.claim(&mut conn, lease, 10).await.unwrap();
        assert_eq!(ids(&claimed), [1]);
        database
            .run(&format!(
                "INSERT INTO {table} (payload, gleaner_id, ship_status, ship_priority, ship_due_at, ship_attempts, ship_lease, ship_error)
                 SELECT payload, gleaner_id, CASE ship_status WHEN 'Processing' THEN 'Queued' ELSE ship_status END, ship_priority, ship_due_at,
                        ship_attempts, ship_lease, ship_error FROM {table}"
            ))
            .await;
        assert_eq!(
            database
                .rows(&format!(
                    "SELECT concat_ws(' ', payload, gleaner_id, ship_status, ship_attempts, ship_lease IS NOT NULL) FROM {table} ORDER BY payload, gleaner_id"
                ))
                .await,
            [
                "done 2 Completed 0 f",
                "done Completed 0 f",
                "ok 1 Processing 1 t",
                "ok 3 Queued 0 f"
            ],
            "{}",
            kind.name
        );
    }
}

/// Rows that came past the triggers have no number: nobody waits behind them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_number_keep_nobody_waiting() {
    let kind = KINDS.iter().find(|kind| kind.name == "coded").unwrap();
    let (database, stage) = kind.make().await;
    database
        .run(
            "SET session_replication_role = replica;
             INSERT INTO coded (payload, ship_status, ship_due_at, ship_priority) SELECT 'ok', 'Queued', now(), 9 FROM generate_series(1, 50);
             INSERT INTO coded (payload, ship_status) VALUES ('ok', 'Processing');
             SET session_replication_role = origin;
             INSERT INTO coded (payload, ship_status) VALUES ('ok', 'Queued')",
        )
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let claimed = stage.claim(&mut conn, lease, 10).await.unwrap();
    assert_eq!(ids(&claimed), [1]);
    let foreign = stage
        .rescue_foreign(&mut conn, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(foreign.freed, 0);
    let ran = gleaner(
        Some(&database),
        &["stage", "check", "coded", "ship", "--json"],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let finding = &ran.json()["stages"][0]["findings"][0];
    let found = finding["found"].as_str().unwrap();
    assert!(found.starts_with("50 rows say Queued"), "{finding}");
    // What it says to do does it.
    database.run(finding["advice"].as_str().unwrap()).await;
    let claimed = stage.claim(&mut conn, lease, 100).await.unwrap();
    assert_eq!(claimed.len(), 50);
}

/// Names are made of names, and PostgreSQL cuts them off at 63 bytes.
#[tokio::test(flavor = "multi_thread")]
async fn no_two_stages_share_a_name() {
    let database = TestDatabase::new().await;
    let long = "ü".repeat(31);
    let tables = [
        "a".to_owned(),
        "a_b".to_owned(),
        "other.a".to_owned(),
        format!("\"{long}\""),
        format!("other.\"{long}\""),
        format!("\"{}v\"", "ü".repeat(30)),
    ];
    database.run("CREATE SCHEMA other").await;
    for table in &tables {
        let stages = ["b_c", "c", "a_stage_of_the_longest_name_kk"];
        database
            .run(&format!("CREATE TABLE {table} (code text PRIMARY KEY)"))
            .await;
        for stage in stages {
            database
                .run(&format!("SELECT gleaner_add_stage('{table}', '{stage}')"))
                .await;
        }
        database
            .run(&format!(
                "SELECT gleaner_add_curation('{table}', '{{b_c,c}}')"
            ))
            .await;
    }
    assert_eq!(
        database
            .rows("SELECT own.label, what FROM gleaner_stages() AS own, gleaner_stage_steps(own.stage_table, own.stage, NULL, true)")
            .await,
        Vec::<String>::new()
    );
    // Each has a function of its own, whose notifications are its own.
    assert_eq!(
        database
            .count("SELECT count(DISTINCT tgfoid) FROM pg_trigger WHERE tgname ~ '^gleaner_(1_curation|2_.*|0_handle)_insert$' AND tgrelid::regclass::text ~ '^(other|a$|a_b$|\"ü)'")
            .await,
        6 * 5
    );
    let mut names = database
        .rows("SELECT DISTINCT label FROM gleaner_stages() WHERE stage = 'c' ORDER BY 1")
        .await;
    names.retain(|name| name.contains('ü') || name.starts_with('a') || name.starts_with("other"));
    assert_eq!(names.len(), 6, "{names:?}");
    // Each goes alone.
    database
        .run("SELECT gleaner_drop_curation('a'); SELECT gleaner_drop_stage('a', 'b_c'); INSERT INTO a_b (code, c_status) VALUES ('x', 'Queued');
              INSERT INTO other.a (code, status) VALUES ('x', 'Selected')")
        .await;
    assert_eq!(
        database
            .rows("SELECT b_c_status, c_status FROM other.a")
            .await,
        ["Queued|Queued"]
    );
}

/// A claim over any key reads the head of its index, and a settle finds rows by the index of the numbers.
#[tokio::test(flavor = "multi_thread")]
async fn claims_and_settles_go_by_their_indexes() {
    for kind in KINDS {
        let (database, stage) = kind.make().await;
        let table = kind.quoted();
        database
            .run(&format!(
                "INSERT INTO {table} (payload, ship_status, ship_priority) SELECT 'ok', CASE WHEN n % 2 = 0 THEN 'Queued' ELSE 'Completed' END, n % 3
                     FROM generate_series(1, 20000) AS n;
                 INSERT INTO node (host, pid, version) VALUES ('h', 1, '0');
                 INSERT INTO lease (node_id, workflow, expires_at) SELECT id, 'shipping', now() + interval '1 hour' FROM node;
                 ANALYZE {table}"
            ))
            .await;
        let client = database.client().await;
        client
            .batch_execute(gleaner::db::connect::PLANNING)
            .await
            .unwrap();
        let types = "bigint, bigint[], smallint[], text[], float8[], text[], smallint[], text[], text[], int[]";
        for (sql, parameters, values) in [
            (stage.claim_sql(), "bigint, bigint", "1, 100"),
            (stage.claim_these_sql(), "bigint, bigint[]", "1, '{2,4}'"),
            (
                stage.settle_sql(),
                types,
                "1, '{2,4}', '{1,1}', '{Completed,Completed}', '{0,0}', '{NULL,NULL}', '{0,0}', '{completed,completed}', '{NULL,NULL}', '{1,1}'",
            ),
        ] {
            let plan = format!(
                "PREPARE own ({parameters}) AS {sql}; EXPLAIN (COSTS OFF) EXECUTE own ({values}); DEALLOCATE own"
            );
            let answer = client.simple_query(&plan).await.unwrap();
            let lines: Vec<&str> = answer
                .iter()
                .filter_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                })
                .collect();
            let text = lines.join("\n");
            // A partition without rows is read as it is.
            for name in ["plain", "\"", "coded", "entry", "event_1", "spread"] {
                let scan = format!("Seq Scan on {name}");
                assert!(!text.contains(&scan), "{}: {text}", kind.name);
            }
            if sql == stage.claim_sql() {
                let nodes = lines
                    .iter()
                    .map(|line| line.trim_start_matches([' ', '-', '>']));
                assert_eq!(nodes.filter(|node| *node == "Sort").count(), 0, "{text}");
            }
        }
    }
}
