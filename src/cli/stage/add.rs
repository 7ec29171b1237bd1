//! `gleaner stage add`: what the table lacks is found out, and done: in one short transaction, or beside those who write to it.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use diesel_async::AsyncPgConnection;
use serde_json::json;

use super::{connect, not_found, refused};
use crate::console::table::age;
use crate::console::{Global, Misuse, OK, complain, print};
use crate::db::{locks, sqlstate};
use crate::store::stage::catalogue::{self, Found};
use crate::store::stage::check;
use crate::store::stage::steps::{self, Step};

/// How long a table that is always in use is tried for, all in all.
const LONGEST_TRY: Duration = Duration::from_secs(600);
/// Between two tries, for those who have waited meanwhile to get on.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the building of an index is told of.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `gleaner stage add`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The table, as SQL writes it: billing.invoice, '"My Table"'.
    table: String,
    /// What the stage is called: lower-case letters, digits and underscores.
    stage: String,
    /// A column of the key, if that is not the primary key; may be repeated for a key of several.
    #[arg(long, value_name = "COLUMN")]
    key: Vec<String>,
    /// Print the statements instead, for a migration tool; with --concurrently those for a table that is written to.
    #[arg(long)]
    print: bool,
    /// Build beside those who write to the table, in steps: for large tables. What a run that was broken off has left is taken up.
    #[arg(long)]
    concurrently: bool,
    /// Keep others waiting no longer than this at a time.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    lock_timeout: Duration,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let mut connection = connect(global).await?;
    let table = catalogue::table(&mut connection, &arguments.table)
        .await
        .map_err(not_found)?;
    if !arguments.print {
        steps::require_owner(&mut connection, &table)
            .await
            .map_err(refused)?;
        if !steps::reserve(&mut connection, &table).await? {
            anyhow::bail!(
                "another process makes or drops a stage of {} right now",
                table.label
            );
        }
    }
    let steps = steps::lacking(
        &mut connection,
        &table,
        &arguments.stage,
        &arguments.key,
        arguments.concurrently,
    )
    .await
    .map_err(refused)?;
    if arguments.print {
        print_steps(global, &table, &arguments, &steps)?;
        return Ok(OK);
    }
    let doing = Doing {
        global,
        table: &table,
        patience: arguments.lock_timeout,
        is_live: arguments.concurrently,
    };
    for batch in batches(&steps) {
        if batch.iter().all(|step| step.is_brief) {
            let statements: Vec<&str> = batch.iter().map(|step| step.statement.as_str()).collect();
            doing.briefly(&mut connection, &statements).await?;
        } else {
            for step in batch {
                doing.alone(&mut connection, step).await?;
            }
        }
    }
    let listed = catalogue::find(&mut connection, &arguments.table, &arguments.stage)
        .await
        .map_err(not_found)?;
    let stage = listed.stage();
    let never_due = steps::never_due(&mut connection, &stage).await?;
    if global.json {
        let answer = json!({ "stage": listed.name, "key": listed.key_columns, "has_handle": listed.has_handle,
            "added": listed.added, "statements": steps.len(), "seconds": begun.elapsed().as_secs_f64(),
            "queued_before": never_due });
        print(&answer.to_string());
        return Ok(OK);
    }
    if steps.is_empty() {
        print(&format!(
            "{} is a stage already, and lacks nothing",
            listed.name
        ));
    } else {
        print(&format!(
            "{} is a stage: {} asks for rows",
            listed.name,
            check::ask_for(&stage)
        ));
    }
    if never_due > 0 {
        complain(&format!(
            "rows that said Queued before are not worked until they are due: {}",
            check::make_due(&stage)
        ));
    }
    Ok(OK)
}

/// Steps that belong into one transaction, and those that stand alone.
fn batches(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|one, next| one.is_brief == next.is_brief)
}

fn print_steps(
    global: &Global,
    table: &Found,
    arguments: &Arguments,
    steps: &[Step],
) -> anyhow::Result<()> {
    if global.json {
        print(&serde_json::to_string_pretty(
            &json!({ "statements": steps }),
        )?);
        return Ok(());
    }
    print(&format!(
        "-- Makes {} the stage \"{}\". Run by the owner of the table, in a database that `gleaner migrate` has prepared. Each statement may be run again.",
        table.label, arguments.stage
    ));
    for batch in batches(steps) {
        let is_brief = batch.iter().all(|step| step.is_brief);
        if is_brief {
            print("-- In one transaction: it keeps others from the table until it ends.");
            print(&format!(
                "SET lock_timeout = {};",
                arguments.lock_timeout.as_millis().max(1)
            ));
        } else {
            print("-- Each alone, outside of any transaction: they keep nobody from writing.");
            print("SET lock_timeout = 0;");
        }
        for step in batch {
            print(&format!("{};", step.statement.trim()));
        }
    }
    print("RESET lock_timeout;");
    Ok(())
}

struct Doing<'a> {
    global: &'a Global,
    table: &'a Found,
    patience: Duration,
    is_live: bool,
}

impl Doing<'_> {
    fn tell(&self, line: &str) {
        if !self.global.json {
            complain(line);
        }
    }

    /// In one transaction, tried until nobody is in the way.
    async fn briefly(
        &self,
        connection: &mut AsyncPgConnection,
        statements: &[&str],
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let error = match steps::run_briefly(connection, statements, self.patience).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let was_slow = sqlstate::code(&error) == Some(sqlstate::QUERY_CANCELED);
            if was_slow && !self.is_live {
                let (label, rows) = (&self.table.label, self.table.rows);
                return Err(Misuse(format!(
                    "{label} has about {rows} rows, and building its indexes would keep others from it for longer than {}: nothing was changed. \
                     --concurrently builds beside them; a longer --lock-timeout lets them wait",
                    humantime::format_duration(self.patience)
                ))
                .into());
            }
            if !was_slow && !locks::is_locked(&error) {
                return Err(refused(error));
            }
            let users = locks::users(connection, &self.table.label).await?;
            let by = locks::named(&users).unwrap_or_else(|| "others".to_owned());
            if begun.elapsed() > LONGEST_TRY {
                return Err(anyhow::Error::new(error).context(format!(
                    "{} was in use for {} on end, now by {by}: run the same again, which goes on from here",
                    self.table.label,
                    humantime::format_duration(LONGEST_TRY)
                )));
            }
            self.tell(&format!(
                "{} is in use by {by}; trying again",
                self.table.label
            ));
            tokio::time::sleep(PAUSE.max(self.patience / 2)).await;
        }
    }

    /// Alone, for as long as it takes.
    async fn alone(&self, connection: &mut AsyncPgConnection, step: &Step) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.tell(&format!("{}: {}", step.what, first_words(&step.statement)));
        let pid = locks::own_pid(connection).await?;
        let mut other = connect(self.global).await?;
        let done = {
            let mut running = std::pin::pin!(steps::run_alone(connection, &step.statement));
            loop {
                tokio::select! {
                    done = &mut running => break done,
                    () = tokio::time::sleep(TOLD_EVERY) => {
                        let so_far = match steps::built(&mut other, pid).await {
                            Ok(Some(built)) => match built.percent {
                                Some(percent) => format!("{}, {percent:.0} %", built.phase),
                                None => built.phase,
                            },
                            Ok(None) | Err(_) => "under way".to_owned(),
                        };
                        self.tell(&format!("{}: {so_far}, after {}", step.what, age(begun.elapsed().as_secs_f64())));
                    }
                }
            }
        };
        done.with_context(|| {
            format!(
                "{} failed: run the same again, which goes on from here",
                step.what
            )
        })
    }
}

/// What a statement does, without what it does it to.
fn first_words(statement: &str) -> String {
    let words: Vec<&str> = statement
        .split_whitespace()
        .take_while(|word| !matches!(*word, "IF" | "ON" | "public"))
        .take(3)
        .collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(what: &str, is_brief: bool) -> Step {
        Step {
            what: what.to_owned(),
            is_brief,
            statement: String::new(),
        }
    }

    #[test]
    fn what_belongs_together_is_done_together() {
        let steps = [
            step("a", true),
            step("b", true),
            step("c", false),
            step("d", false),
            step("e", true),
        ];
        let lengths: Vec<usize> = batches(&steps).map(<[Step]>::len).collect();
        assert_eq!(lengths, [2, 2, 1]);
        assert_eq!(
            first_words("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a ON b (c)"),
            "create unique index"
        );
        assert_eq!(
            first_words("ALTER TABLE a.b VALIDATE CONSTRAINT c"),
            "alter table a.b"
        );
    }
}
