//! Workflows that the configuration makes: an area that makes one of each of its sections `[toys.NAME]`.
//!
//! What it works is a stage on the table `work`; each effect says which stage it is of, and by which label its workflow was made.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::BoxFuture;
use gleaner::area::{Area, Areas};
use gleaner::areas::AREAS;
use gleaner::config::{self, Config, Declared, Sources};
use gleaner::http::Routes;
use gleaner::leads::domain_extraction::DomainExtraction;
use gleaner::settings::{Beside, ConfigError, Options, Section};
use gleaner::store::stage::Stage;
use gleaner::workflow::erased::{Erased, Input, Output};
use gleaner::workflow::made::{Made, Recipe};
use gleaner::workflow::{Done, ItemId, Progress, Services, WorkflowError};
use serde::{Deserialize, Serialize};

use super::app::set_for_tests;
use super::database::TestDatabase;

/// Its table, with two stages.
pub(crate) const TABLES: &str = "
    CREATE TABLE work (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now());
    SELECT gleaner_add_stage('work', 'one');
    SELECT gleaner_add_stage('work', 'two');
    CREATE TABLE effect (item bigint NOT NULL, stage text NOT NULL, label text NOT NULL);";

/// Names of the toys of these tests. All else that the program can do is switched off.
pub(crate) const NAMES: [&str; 3] = ["one", "two", "three"];

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Toy {
    table: String,
    stage: String,
    #[serde(default)]
    label: String,
    #[serde(default, with = "humantime_serde")]
    takes: Duration,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Toys(BTreeMap<String, Beside<Toy>>);

impl Options for Toys {}

impl Section for Toys {
    const NAME: &'static str = "toys";
}

/// A toy is made of all of its section but what every workflow has.
impl Recipe for Toy {
    fn stage(&self) -> Stage {
        let (table, stage) = (self.table.clone().leak(), self.stage.clone().leak());
        Stage::new(table, stage, true)
    }

    fn make(&self, _services: &Services) -> Box<dyn Erased> {
        Box::new(Running(self.clone()))
    }
}

struct Running(Toy);

impl Erased for Running {
    fn ready(&self) -> Result<(), String> {
        if self.0.label == "lacking" {
            return Err("no label".to_owned());
        }
        Ok(())
    }

    fn load<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        ids: &'a [ItemId],
    ) -> BoxFuture<'a, QueryResult<Vec<(ItemId, Input)>>> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }
        Box::pin(async move {
            let sql = format!("SELECT id FROM {} WHERE id = ANY ($1)", self.0.table);
            let rows: Vec<Row> = diesel::sql_query(sql)
                .bind::<Array<BigInt>, _>(ids)
                .load(conn)
                .await?;
            let inputs = rows.into_iter().map(|row| (row.id, Box::new(()) as Input));
            Ok(inputs.collect())
        })
    }

    fn run<'a>(
        &'a self,
        _input: Input,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Done<Output>, WorkflowError>> {
        Box::pin(async {
            tokio::time::sleep(self.0.takes).await;
            Ok(Done::Completed(Box::new(()) as Output))
        })
    }

    fn store<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        outputs: &'a [(ItemId, &'a Output)],
    ) -> BoxFuture<'a, QueryResult<()>> {
        Box::pin(async move {
            let ids: Vec<i64> = outputs.iter().map(|(id, _)| *id).collect();
            diesel::sql_query("INSERT INTO effect SELECT id, $2, $3 FROM unnest($1) AS id")
                .bind::<Array<BigInt>, _>(ids)
                .bind::<Text, _>(&self.0.stage)
                .bind::<Text, _>(&self.0.label)
                .execute(conn)
                .await?;
            Ok(())
        })
    }
}

fn made(config: &Config) -> Vec<Made> {
    // Whether the one whose settings these are is switched off is no matter of theirs.
    let mut base = config.workflows.of::<DomainExtraction>().clone();
    base.enabled = true;
    let toys = config.section::<Toys>().0.iter();
    toys.map(|(name, toy)| {
        let common = toy.common.over(&base);
        Made::new(&**name, format!("toys.{name}"), common, toy.own.clone())
    })
    .collect()
}

static TOYS: Area = Area {
    name: "toys",
    workflows: Vec::new,
    made,
    sections: || vec![Declared::section::<Toys>()],
    check: |_config| Ok(()),
    tickers: |_shared| Vec::new(),
    kept: &[],
    routes: |_shared| Routes::default(),
    outside: |_config| Ok(None),
    status: None,
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse: |_plan| None,
    metrics: || {},
    examine: |_config, _conn| Box::pin(std::future::ready(Ok(Vec::new()))),
};

/// The program's areas, and that of the toys.
pub(crate) static WITH_TOYS: LazyLock<Areas> = LazyLock::new(|| {
    let all: Vec<&'static Area> = AREAS.iter().copied().chain([&TOYS]).collect();
    Areas::of(&all)
});

/// The section of a toy on a stage of `work`, with these lines more.
pub(crate) fn toy(name: &str, stage: &str, lines: &str) -> String {
    format!("[toys.{name}]\ntable = \"work\"\nstage = \"{stage}\"\n{lines}\n")
}

/// Reads a file of these sections, as a reload does.
pub(crate) fn read(sections: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gleaner.toml");
    std::fs::write(&file, format!("[toys]\n{sections}# end of configuration\n")).unwrap();
    let sources = Sources {
        file: Some(file),
        flags: Vec::new(),
    };
    config::load(&sources, WITH_TOYS.schema())
}

/// The same for the program on a test's database, where nothing but the toys works, and no interval helps out.
pub(crate) fn configuration(
    database: &TestDatabase,
    sections: &str,
) -> Result<Config, ConfigError> {
    let mut config = read(sections)?;
    set_for_tests(&mut config, database);
    config.workflows.keep_only(&NAMES.map(str::to_owned));
    config.workflows.set_interval(Duration::from_secs(3600));
    config.engine.drain_timeout = Duration::from_secs(10);
    Ok(config)
}
