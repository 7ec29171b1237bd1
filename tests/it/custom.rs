//! Workflows of the operator's own, over tables of the tests', with handlers of the tests'.

mod check;
mod life;
mod privileges;
mod section;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use gleaner::custom::check::{Resolved, examine_with};
use gleaner::custom::run::Way;
use gleaner::custom::runner::{Answer, Columns, Failure, Item, Runner};
use gleaner::custom::section::Customs;
use gleaner::custom::workflow::Custom;
use gleaner::db::connect::Connector;
use gleaner::db::names::quoted;
use gleaner::live::Live;
use gleaner::pipeline::Pipeline;
use gleaner::store::lease::LeaseHeart;
use gleaner::store::node;
use gleaner::store::stage::Stage;
use gleaner_actors::{Backoff, Member, Settings, Tree, TreeSettings};
use serde_json::value::RawValue;

use crate::support::{PATIENCE, TestDatabase, wait_until_by};

/// Tables as a team has them, two of them with a stage: in a schema of its own, with names that need quotes, with types that are hard to
/// write as JSON.
const TABLES: &str = r#"
    CREATE SCHEMA "Billing";
    CREATE DOMAIN short AS text CHECK (length(VALUE) <= 5);
    CREATE TABLE "Billing"."In""voice" (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        "Pdf Url" text NOT NULL DEFAULT 'https://files.example/1.pdf',
        amount numeric NOT NULL DEFAULT 12345678901234567890.123456789,
        scan bytea NOT NULL DEFAULT decode(repeat('fe', 60), 'hex'),
        due timestamptz NOT NULL DEFAULT '2026-02-03 04:05:06.789+00',
        total numeric(10,2),
        currency text CHECK (currency ~ '^[A-Z]{3}$'),
        note short,
        facts jsonb,
        copy bytea,
        exact numeric,
        doubled numeric GENERATED ALWAYS AS (total * 2) STORED,
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    SELECT gleaner_add_stage('"Billing"."In""voice"', 'ocr');
    SELECT gleaner_add_stage('"Billing"."In""voice"', 'ship');
    CREATE TABLE charge (invoice bigint PRIMARY KEY, total numeric NOT NULL CHECK (total < 1000));
    CREATE TABLE plain (id bigint PRIMARY KEY);"#;

/// What every section of these tests begins with.
const HEAD: &str = r#"
    table = '"Billing"."In""voice"'
    stage = "ocr""#;

/// A database with these tables, and rows of which as many are queued.
struct Stand {
    database: TestDatabase,
    node: i64,
}

/// A handler that answers at once.
struct Handler<F>(F);

impl<F> Runner for Handler<F>
where
    F: Fn(Item) -> Result<Answer, Failure> + Send + Sync + 'static,
{
    async fn run(&self, item: Item) -> Result<Answer, Failure> {
        (self.0)(item)
    }
}

/// Columns from JSON, each value as it is written.
fn columns(pairs: &[(&str, &str)]) -> Columns {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), raw(text)))
        .collect()
}

fn completed(pairs: &[(&str, &str)]) -> Result<Answer, Failure> {
    Ok(Answer::Completed(columns(pairs)))
}

/// The number that is a row's key.
fn key(item: &Item) -> i64 {
    item.key.as_i64().expect("a number")
}

/// Sections from TOML.
fn customs(text: &str) -> Customs {
    toml::from_str(text).expect("sections")
}

impl Stand {
    async fn new(queued: usize) -> Self {
        let database = TestDatabase::new().await;
        database.run(TABLES).await;
        database
            .run(&format!(
                "INSERT INTO \"Billing\".\"In\"\"voice\" (ocr_status) SELECT 'Queued' FROM generate_series(1, {queued})"
            ))
            .await;
        let node = node::register(&mut database.connect().await)
            .await
            .expect("a node");
        Self { database, node }
    }

    /// What is wrong with these sections.
    async fn mistakes(&self, text: &str) -> Vec<String> {
        let mut client = self.database.client().await;
        let examined = examine_with(&mut client, &customs(text)).await;
        let mistakes = examined.expect("an answer").mistakes;
        mistakes.iter().map(ToString::to_string).collect()
    }

    /// The section of this name, with what it takes from the database.
    async fn resolve(&self, section: &str) -> (Customs, Resolved) {
        let customs = customs(&format!("[invoice-ocr]\n{HEAD}\n{section}"));
        let mut client = self.database.client().await;
        let examined = examine_with(&mut client, &customs)
            .await
            .expect("an answer");
        let mistakes = &examined.mistakes;
        assert!(mistakes.is_empty(), "{section}: {mistakes:?}");
        let resolved = examined.resolved.into_iter().next().expect("a section");
        (customs, resolved)
    }

    /// The whole engine around a workflow with this section, whose rows this handler works.
    async fn tree<F>(&self, section: &str, handler: F) -> Tree
    where
        F: Fn(Item) -> Result<Answer, Failure> + Send + Sync + 'static,
    {
        let (customs, resolved) = self.resolve(section).await;
        let section = &customs.0["invoice-ocr"];
        let touches = resolved.table.column("updated_at").is_some();
        let statements = Arc::new(resolved.statements);
        let workflow = match section.run.way() {
            Some(Way::Sql(_)) => Custom::by_statement(statements),
            _ => Custom::new(statements, Arc::new(Handler(handler)), section.timeout),
        };
        let table = format!(
            "{}.{}",
            quoted(&resolved.table.schema),
            quoted(&resolved.table.name)
        );
        let stage = Stage::new(leaked(table), leaked(resolved.stage), touches);
        let settings = Settings {
            interval: Duration::from_millis(50),
            concurrency: 50,
            batch_size: 50,
            max_attempts: 2,
            backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(2)),
            ..Settings::default()
        };
        let port = Pipeline::of(
            "invoice-ocr".into(),
            Box::new(workflow),
            stage,
            self.database.pool(),
            self.node,
            Live::new(settings.clone()),
        );
        let config = self.database.config();
        let connector = Connector::new(&config.url, &config).expect("a connector");
        let member = Member::workflow("invoice-ocr", Arc::new(port), settings);
        let heart = LeaseHeart::new(connector, self.node);
        Tree::start(TreeSettings::default(), heart, vec![member], Arc::new(()))
            .await
            .expect("a tree")
    }

    /// Has a workflow with this section and this handler work until nothing is left for it.
    async fn work<F>(&self, section: &str, handler: F)
    where
        F: Fn(Item) -> Result<Answer, Failure> + Send + Sync + 'static,
    {
        let tree = self.tree(section, handler).await;
        wait_until_by("nothing is left", PATIENCE * 3, async || {
            self.database
                .count(
                    "SELECT count(*) FROM \"Billing\".\"In\"\"voice\" WHERE ocr_status IN ('Queued', 'Processing')",
                )
                .await
                == 0
        })
        .await;
        tree.drain(Duration::from_secs(5)).await;
    }

    /// Some columns of all rows.
    async fn rows(&self, columns: &str) -> Vec<String> {
        self.database
            .rows(&format!(
                "SELECT {columns} FROM \"Billing\".\"In\"\"voice\" ORDER BY id"
            ))
            .await
    }
}

/// A name that stays: a stage has those of the program, which are never given up.
fn leaked(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}
