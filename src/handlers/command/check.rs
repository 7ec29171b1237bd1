//! Whether a command is a handler: it is started and talked to, and each thing that the protocol asks of it is looked at.
//!
//! For handlers in languages that have no library. It sees how a handler answers, not whether its answers are right.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::options::Options;
use super::process::{Launch, Moved, Process, StartError};
use crate::handlers::bounds::ProtocolError;
use crate::handlers::protocol::{Hello, Message, write_cancel, write_items, write_shutdown};
use crate::handlers::{Answer, Failure, Item};
use crate::telemetry::chain;

/// How large the text of the large item is.
const LARGE_BYTES: usize = 4 << 20;

/// More items than this are not asked for at once, whatever a handler takes.
const MANY: u32 = 64;

/// A text with all that breaks lines, quotes and encodings.
const ODD: &str = "\" \\ \n \r \u{1} \u{2028} \u{1f4a9} {\"type\":\"shutdown\"}";

/// How something came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Ok,
    /// As it should be, and worth a look.
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Grade,
    pub found: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

/// What is examined, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The command, and how it is run. `timeout` is how long each answer may take.
    pub options: Options,
    /// This program.
    pub gleaner: PathBuf,
    /// What the items hold, in turn; an empty row if there is none.
    pub rows: Vec<Map<String, Value>>,
}

/// What is found; it ends early where there is nothing to look at any more.
pub async fn examine(plan: &Plan) -> Vec<Finding> {
    let launch = Launch {
        workflow: "worker-check".to_owned(),
        options: plan.options.clone(),
        shim: plan.gleaner.clone(),
    };
    let mut examination = Examination {
        plan,
        launch,
        session: None,
        findings: Vec::new(),
    };
    let Some(hello) = examination.starts().await else {
        return examination.findings;
    };
    examination.all(&hello).await;
    examination.findings
}

struct Examination<'a> {
    plan: &'a Plan,
    launch: Launch,
    session: Option<Session>,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    fn find(&mut self, name: &'static str, outcome: Grade, found: String, advice: &'static str) {
        let advice = (outcome != Grade::Ok).then_some(advice);
        self.findings.push(Finding {
            name,
            outcome,
            found,
            advice,
        });
    }

    fn note(&mut self, name: &'static str, found: Result<String, String>, advice: &'static str) {
        match found {
            Ok(found) => self.find(name, Grade::Ok, found, advice),
            Err(found) => self.find(name, Grade::Fail, found, advice),
        }
    }

    async fn starts(&mut self) -> Option<Hello> {
        const ADVICE: &str = "read a line from descriptor 3 and answer on descriptor 4 with \
            {\"type\":\"hello\",\"version\":1}; see what the command prints, and try a longer --start-timeout";
        match Process::start(&self.launch).await {
            Ok((process, hello)) => {
                let name = hello.name.as_deref().unwrap_or("without a name");
                let found = format!(
                    "{name}, takes {} at once, {} in a batch",
                    hello.in_flight, hello.batch
                );
                self.find("hello", Grade::Ok, found, ADVICE);
                self.session = Some(Session::new(process));
                Some(hello)
            }
            Err(error) => {
                let advice = match error {
                    StartError::Short(_) | StartError::Spawn(_) => {
                        "see that the working directory is there, and that processes may be started"
                    }
                    _ => ADVICE,
                };
                self.find("hello", Grade::Fail, chain(&error), advice);
                None
            }
        }
    }

    /// The session, or another where something has broken the last.
    async fn session(&mut self) -> Result<&mut Session, String> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match Process::start(&self.launch).await {
                Ok((process, _hello)) => Session::new(process),
                Err(error) => return Err(chain(&error)),
            },
        };
        Ok(self.session.insert(session))
    }

    /// Looks at something in a session; one that fails there is not used again.
    async fn look(
        &mut self,
        name: &'static str,
        advice: &'static str,
        look: impl AsyncFnOnce(&mut Session, &Plan) -> Result<String, String>,
    ) {
        let plan = self.plan;
        let found = match self.session().await {
            Ok(session) => look(session, plan).await,
            Err(error) => Err(error),
        };
        if found.is_err()
            && let Some(session) = self.session.take()
        {
            session.process.end().await;
        }
        self.note(name, found, advice);
    }

    async fn all(&mut self, hello: &Hello) {
        self.item().await;
        let options = &self.plan.options;
        let in_flight = hello.in_flight.min(options.in_flight).min(MANY);
        let batch = hello.batch.min(options.batch).min(MANY);
        if in_flight > 1 {
            self.look(
                "several at once",
                "answer each item with the id that it came with, in whatever order they are done",
                async |session, plan| {
                    for at in 0..in_flight {
                        session.give(vec![plan.item(at)]);
                    }
                    session.answered(plan, "they").await
                },
            )
            .await;
        }
        if batch > 1 {
            self.look(
                "a batch",
                "answer each item of the list, in one line or in several",
                async |session, plan| {
                    session.give((0..batch).map(|at| plan.item(at)).collect());
                    session.answered(plan, "they").await
                },
            )
            .await;
        }
        self.look(
            "odd text",
            "read each line as JSON in UTF-8 up to its line feed, and write JSON with a parser's help",
            async |session, plan| {
                session.give(vec![plan.item_with(ODD)]);
                session.answered(plan, "it").await
            },
        )
        .await;
        self.look(
            "a large item",
            "read lines of up to 8 MiB",
            async |session, plan| {
                session.give(vec![plan.item_with(&"x".repeat(LARGE_BYTES))]);
                session.answered(plan, "it").await
            },
        )
        .await;
        self.look(
            "unknown messages",
            "pass over messages of a type that is not known: later versions may send some",
            async |session, plan| {
                session
                    .process
                    .outbox
                    .extend_from_slice(b"{\"type\":\"news\",\"of\":[1]}\n");
                write_cancel(&mut session.process.outbox, &[u64::from(u32::MAX)]);
                session.give(vec![plan.item(0)]);
                session.answered(plan, "an item behind them").await
            },
        )
        .await;
        self.look(
            "cancel",
            "answer a cancelled item as well, once: with what was done, or as failed",
            async |session, plan| {
                let ids = session.give(vec![plan.item(0)]);
                write_cancel(&mut session.process.outbox, &ids);
                session.answered(plan, "it").await?;
                // Too late for one that is answered.
                write_cancel(&mut session.process.outbox, &ids);
                session.give(vec![plan.item(0)]);
                session.answered(plan, "it, and the next").await
            },
        )
        .await;
        self.look(
            "shutdown",
            "on a shutdown finish what is in hand, answer it, and leave with exit code 0",
            async |session, plan| {
                session.give(vec![plan.item(0)]);
                write_shutdown(&mut session.process.outbox);
                session.answered(plan, "what was in hand").await?;
                session.leaves(plan).await
            },
        )
        .await;
        if let Some(session) = self.session.take() {
            session.process.end().await;
        }
        self.look(
            "end of input",
            "leave when there is nothing more to read from descriptor 3",
            async |session, plan| session.leaves(plan).await,
        )
        .await;
        if let Some(session) = self.session.take() {
            session.process.end().await;
        }
    }

    async fn item(&mut self) {
        const ADVICE: &str = "answer each item with {\"type\":\"results\",\"results\":[{\"id\":…,\"status\":\"completed\",\"columns\":{…}}]}";
        let plan = self.plan;
        let found = match self.session().await {
            Ok(session) => {
                session.give(vec![plan.item(0)]);
                session.answers(plan).await
            }
            Err(error) => Err(error),
        };
        match found.map(|mut results| results.pop()) {
            Ok(Some(Ok(Answer::Completed(columns)))) => {
                let names: Vec<&str> = columns.keys().map(String::as_str).collect();
                let found = format!("completed, and sets [{}]", names.join(", "));
                self.find("an item", Grade::Ok, found, ADVICE);
            }
            Ok(Some(Ok(Answer::Filtered(reason, _)))) => {
                self.find("an item", Grade::Ok, format!("filtered: {reason}"), ADVICE);
            }
            Ok(Some(Err(failure))) => {
                let (what, is_snooze) = match failure {
                    Failure::Snooze { reason, .. } => (reason, true),
                    Failure::Retry { message, .. } | Failure::Permanent { message, .. } => {
                        (message, false)
                    }
                };
                let how = if is_snooze { "snoozed" } else { "failed" };
                self.find(
                    "an item",
                    Grade::Warn,
                    format!("answered, and {how}: {what}"),
                    "give it a row that it can work: --row '{\"id\": 1, …}'",
                );
            }
            Ok(None) => self.find("an item", Grade::Fail, "not answered".to_owned(), ADVICE),
            Err(found) => {
                if let Some(session) = self.session.take() {
                    session.process.end().await;
                }
                self.find("an item", Grade::Fail, found, ADVICE);
            }
        }
    }
}

impl Plan {
    fn row(&self, at: u32) -> Map<String, Value> {
        let at = usize::try_from(at).unwrap_or_default();
        let rows = self.rows.iter().cycle();
        rows.clone()
            .nth(at % self.rows.len().max(1))
            .cloned()
            .unwrap_or_default()
    }

    fn item(&self, at: u32) -> Item {
        to_item(json!(at), &self.row(at))
    }

    /// With a text as its key and in a column of its own.
    fn item_with(&self, text: &str) -> Item {
        let mut row = self.row(0);
        row.insert("gleaner_check".to_owned(), json!(text));
        to_item(json!(text.get(..64).unwrap_or(text)), &row)
    }
}

fn to_item(key: Value, row: &Map<String, Value>) -> Item {
    Item {
        key,
        attempt: 1,
        // An object has a text, and that of one is a value.
        columns: serde_json::value::to_raw_value(row).unwrap_or_else(|_no_json| nothing()),
        deadline: None,
        on_progress: None,
    }
}

fn nothing() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// A handler that is talked to.
struct Session {
    process: Process,
    next_id: u64,
    open: BTreeSet<u64>,
}

impl Session {
    fn new(process: Process) -> Self {
        Self {
            process,
            next_id: 0,
            open: BTreeSet::new(),
        }
    }

    fn give(&mut self, items: Vec<Item>) -> Vec<u64> {
        let ids: Vec<u64> = (self.next_id..).take(items.len()).collect();
        self.next_id = ids.last().map_or(self.next_id, |last| last + 1);
        self.open.extend(&ids);
        let pairs = ids.iter().copied().zip(&items);
        write_items(&mut self.process.outbox, pairs);
        ids
    }

    /// Waits until all that was given is answered.
    async fn answers(&mut self, plan: &Plan) -> Result<Vec<Result<Answer, Failure>>, String> {
        let deadline = Instant::now() + plan.options.timeout;
        let mut results = Vec::new();
        while !self.open.is_empty() || !self.process.is_told() {
            match timeout_at(deadline, self.process.exchange()).await {
                Ok(Moved::Said) => {}
                Ok(Moved::Heard) => self.hear(&mut results)?,
                Ok(Moved::Mute | Moved::Deaf) => return Err(self.process.fate().await),
                Err(_elapsed) => {
                    let left = self.open.len();
                    let within = plan.options.timeout;
                    let given = left + results.len();
                    return Err(format!(
                        "{left} of {given} items are not answered within {within:?}"
                    ));
                }
            }
        }
        Ok(results)
    }

    fn hear(&mut self, results: &mut Vec<Result<Answer, Failure>>) -> Result<(), String> {
        let (open, next_id) = (&mut self.open, self.next_id);
        let heard = self.process.messages(|message| match message {
            Message::Results(outcomes) => {
                for outcome in outcomes {
                    let id = outcome.id;
                    if !open.remove(&id) {
                        return Err(if id < next_id {
                            ProtocolError::Twice(id)
                        } else {
                            ProtocolError::NotGiven(id)
                        });
                    }
                    results.push(outcome.result);
                }
                Ok(())
            }
            Message::Progress { id, .. } if id >= next_id => Err(ProtocolError::NotGiven(id)),
            Message::Progress { .. } => Ok(()),
            Message::Hello(_) => Err(ProtocolError::OutOfTurn {
                said: "hello",
                wanted: "an answer",
            }),
        });
        heard.map_err(|error| chain(&error))
    }

    async fn answered(&mut self, plan: &Plan, what: &str) -> Result<String, String> {
        let began = Instant::now();
        let count = self.answers(plan).await?.len();
        let took = began.elapsed().as_millis();
        let answered = if count == 1 { "answer" } else { "answers" };
        Ok(format!("{what} got {count} {answered} within {took} ms"))
    }

    /// Waits until it is gone, in good order.
    async fn leaves(&mut self, plan: &Plan) -> Result<String, String> {
        self.process.shut_input();
        let within: Duration = plan.options.stop_timeout;
        match self.process.leaves(within).await {
            Some(status) if status.success() => Ok("it left with exit code 0".to_owned()),
            Some(_) => Err(self.process.fate().await),
            None => Err(format!("it is still there after {within:?}")),
        }
    }
}
