//! A workflow whose rows say what is to become of them, on a table of its own.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use gleaner::store::stage::Stage;
use gleaner::store::{lease, node};
use gleaner::workflow::{Done, Ended, ItemId, Settled, Workflow, WorkflowError};
use gleaner_actors::port::LeaseId;
use tokio::sync::Semaphore;

use super::database::TestDatabase;

/// A table that became a stage, and one that holds the effects. The value `poison` is one that the database refuses.
const TABLES: &str = "
    CREATE TABLE work (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payload text NOT NULL DEFAULT 'ok',
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    SELECT gleaner_add_stage('work', 'toy');
    SELECT gleaner_add_curation('work', '{toy}');
    CREATE TABLE effect (item bigint NOT NULL, value text NOT NULL CHECK (value <> 'poison'));";

/// The stage of the toy.
pub(crate) fn stage() -> Stage {
    Stage::new(Toy::TABLE, Toy::STAGE, Toy::TOUCHES)
}

/// A database with the toy's tables.
pub(crate) async fn database() -> TestDatabase {
    let database = TestDatabase::new().await;
    database.run(TABLES).await;
    database
}

/// A lease of a new node, for so long.
pub(crate) async fn open_lease(conn: &mut AsyncPgConnection, ttl: Duration) -> LeaseId {
    let node = node::register(conn).await.unwrap();
    lease::open(conn, node, Toy::NAME, ttl).await.unwrap()
}

/// How often each row was run, and how many runs of one row there were at a time.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    running: HashMap<ItemId, u32>,
    pub(crate) count: HashMap<ItemId, u32>,
    /// Rows that were ever run twice at once.
    pub(crate) overlapping: Vec<ItemId>,
}

/// The workflow. Payloads: `ok`, `filter`, `retry`, `snooze`, `permanent`, `panic`, `poison` (its result is refused);
/// `kept-retry` and `kept-permanent` fail and store that all the same.
#[derive(Clone)]
pub(crate) struct Toy {
    pub(crate) runs: Arc<Mutex<Runs>>,
    /// Each run takes a permit for good before it ends.
    pub(crate) gate: Option<Arc<Semaphore>>,
    /// How long each run takes at least.
    pub(crate) takes: Duration,
    /// Rows that it wants next.
    pub(crate) wanted: Arc<Mutex<Vec<ItemId>>>,
    /// Rows that it wanted and did not get.
    pub(crate) unclaimed: Arc<Mutex<Vec<ItemId>>>,
    /// What it was told to be committed.
    pub(crate) committed: Arc<Mutex<Vec<(ItemId, Ended)>>>,
}

impl Toy {
    /// One that works at once.
    pub(crate) fn new() -> Self {
        Self {
            runs: Arc::default(),
            gate: None,
            takes: Duration::ZERO,
            wanted: Arc::default(),
            unclaimed: Arc::default(),
            committed: Arc::default(),
        }
    }

    /// One whose runs end only as permits are added to its gate.
    pub(crate) fn gated() -> Self {
        Self {
            gate: Some(Arc::new(Semaphore::new(0))),
            ..Self::new()
        }
    }

    /// How many runs have begun.
    pub(crate) fn started(&self) -> u32 {
        self.runs.lock().unwrap().count.values().sum()
    }
}

/// Counts a run out, also one that is cancelled.
struct Running {
    toy: Toy,
    id: ItemId,
}

impl Running {
    fn begin(toy: &Toy, id: ItemId) -> Self {
        let mut runs = toy.runs.lock().unwrap();
        *runs.count.entry(id).or_default() += 1;
        let running = runs.running.entry(id).or_default();
        *running += 1;
        if *running > 1 {
            runs.overlapping.push(id);
        }
        drop(runs);
        Self {
            toy: toy.clone(),
            id,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(running) = self.toy.runs.lock().unwrap().running.get_mut(&self.id) {
            *running -= 1;
        }
    }
}

impl Workflow for Toy {
    const NAME: &'static str = "toy";
    const TABLE: &'static str = "work";
    const STAGE: &'static str = "toy";
    type Input = (ItemId, String);
    type Output = String;

    async fn wanted(&self, limit: usize) -> Vec<ItemId> {
        let mut wanted = self.wanted.lock().unwrap();
        let most = limit.min(wanted.len());
        wanted.drain(..most).collect()
    }

    async fn unclaimed(&self, _conn: &mut AsyncPgConnection, ids: &[ItemId]) -> QueryResult<()> {
        self.unclaimed.lock().unwrap().extend(ids);
        Ok(())
    }

    async fn committed(&self, settled: &[Settled<'_, String>]) {
        let ends = settled.iter().map(|row| (row.item, row.ended));
        self.committed.lock().unwrap().extend(ends);
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, (ItemId, String))>> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: i64,
            #[diesel(sql_type = Text)]
            payload: String,
        }
        let rows: Vec<Row> = diesel::sql_query("SELECT id, payload FROM work WHERE id = ANY ($1)")
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.id, (row.id, row.payload)))
            .collect())
    }

    async fn run(&self, (id, payload): (ItemId, String)) -> Result<Done<String>, WorkflowError> {
        let _running = Running::begin(self, id);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        tokio::time::sleep(self.takes).await;
        match payload.as_str() {
            "filter" => Ok(Done::Filtered("not wanted".to_owned(), None)),
            "retry" => Err(WorkflowError::retry("http", "503")),
            "snooze" => Err(WorkflowError::Snooze {
                after: Duration::from_secs(3600),
                reason: "not now".to_owned(),
                whole_workflow: false,
            }),
            "permanent" => Err(WorkflowError::permanent("http", "404")),
            "kept-retry" => Ok(Done::Failed(WorkflowError::retry("http", "503"), payload)),
            "kept-permanent" => Ok(Done::Failed(
                WorkflowError::permanent("http", "404"),
                payload,
            )),
            "panic" => panic!("row {id} is a bad one"),
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
