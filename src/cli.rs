//! The command line: one file per subcommand; what all of them share is here.

mod bench;
mod check_config;
mod control;
mod demo;
mod doctor;
mod extract;
mod items;
mod migrate;
mod nodes;
mod retention;
mod run;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::areas;
use crate::console::{FAILURE, Global, MISUSE, Misuse, OK, fail};
use crate::db::DbError;
use crate::descriptors;
use crate::settings::ConfigError;
use crate::signals::{Held, Signals};
use crate::workflows::{self, Known};

/// Crawl-to-data pipelines on PostgreSQL: rows are claimed in place, in your own tables.
#[derive(Debug, Parser)]
#[command(name = "gleaner", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// What every command takes.
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the workflows until told to stop.
    Run(run::Arguments),
    /// Run the whole pipeline over a small web on this machine, and score what it finds.
    Demo(demo::Arguments),
    /// Bring the database's schema up to date.
    Migrate(migrate::Arguments),
    /// Measure the engine on this machine and database.
    Bench(bench::Arguments),
    /// Check the configuration and print what is in force, without secrets.
    CheckConfig,
    /// Show processes, workflows and queues; exit code 1 when something is wrong.
    Status,
    /// List workflows, or pause, resume, run or unpark them on every node.
    Workflows(control::Arguments),
    /// Check database, schema and surroundings, and say what to do; exit code 1 when a check fails.
    Doctor,
    /// List, retry, cancel or show rows of a workflow.
    Items(items::Arguments),
    /// Drop what is older than [retention] says, now.
    Retention(retention::Arguments),
    /// Extract from a document, or from a stream of them: no database, no network.
    Extract(Box<extract::Arguments>),
    #[command(flatten)]
    Area(areas::Command),
}

/// Runs the command line of this process. `signals` have been kept waiting until now.
#[must_use]
pub fn main(signals: Held) -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To standard output for --help and --version, with exit code 0; to standard error otherwise.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { MISUSE } else { OK });
        }
    };
    // Before there are other threads; only this command ends in good order when it is told to while it starts.
    let signals = match cli.command {
        Command::Run(_) => match signals.listen() {
            Ok(signals) => Some(signals),
            Err(error) => return fail(FAILURE, &error),
        },
        _ => {
            signals.release();
            None
        }
    };
    cli.global.schema = Some(areas::schema());
    if let Command::Extract(arguments) = cli.command {
        return exit(extract::run(&cli.global, *arguments));
    }
    crate::tls::install();
    descriptors::raise();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILURE, &error),
    };
    let code = exit(runtime.block_on(dispatch(cli, signals)));
    // A look-up still under way on a blocking thread must not delay the end.
    runtime.shutdown_background();
    code
}

/// The exit code of a command; what went wrong is printed.
fn exit(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let is_misuse = error.chain().any(|cause| {
                cause.is::<ConfigError>()
                    || cause.is::<Misuse>()
                    || matches!(
                        cause.downcast_ref::<DbError>(),
                        Some(
                            DbError::NoUrl
                                | DbError::BadUrl(_)
                                | DbError::Pooler { .. }
                                | DbError::Pending(_)
                        )
                    )
            });
            fail(if is_misuse { MISUSE } else { FAILURE }, error.as_ref())
        }
    }
}

async fn dispatch(cli: Cli, signals: Option<Signals>) -> anyhow::Result<u8> {
    match cli.command {
        Command::Run(arguments) => {
            let signals = match signals {
                Some(signals) => signals,
                None => Signals::new()?,
            };
            Box::pin(run::run(&cli.global, arguments, signals)).await
        }
        Command::Demo(arguments) => Box::pin(demo::run(&cli.global, arguments)).await,
        Command::Migrate(arguments) => migrate::run(&cli.global, arguments).await,
        Command::Bench(arguments) => bench::run(&cli.global, arguments).await,
        Command::CheckConfig => Box::pin(check_config::run(&cli.global)).await,
        Command::Status => status::run(&cli.global).await,
        Command::Workflows(arguments) => control::run(&cli.global, arguments).await,
        Command::Doctor => doctor::run(&cli.global).await,
        Command::Items(arguments) => items::run(&cli.global, arguments).await,
        Command::Retention(arguments) => retention::run(&cli.global, arguments).await,
        Command::Area(command) => command.run(&cli.global).await,
        // Answered by `main`, without a runtime.
        Command::Extract(arguments) => extract::run(&cli.global, *arguments),
    }
}

/// The workflow of this name.
///
/// # Errors
/// [`Misuse`] naming those there are.
pub fn workflow(name: &str) -> Result<&'static Known, Misuse> {
    workflows::find(areas::workflows(), name).ok_or_else(|| {
        let known = workflows::names(areas::workflows());
        Misuse(format!(
            "no workflow is called \"{name}\"; there are {known}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
