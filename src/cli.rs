//! The command line: one file per subcommand; what all of them share is here.

mod bench;
mod check_config;
mod demo;
mod doctor;
mod extract;
mod items;
mod migrate;
mod nodes;
mod retention;
mod run;
mod status;
mod workflows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::console::{FAILURE, Global, MISUSE, Misuse, OK, fail};
use crate::db::DbError;
use crate::leads::cli::{import, recategorise};
use crate::prices::cli::{
    bot, convert, explain, flags, pattern, policy, queue, record, site, track,
};
use crate::settings::ConfigError;
use crate::workflows::Known;

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
    /// Say in our terms what the older service's rules for recording say.
    Convert(convert::Arguments),
    /// Show processes, workflows and queues; exit code 1 when something is wrong.
    Status,
    /// List workflows, or pause, resume, run or unpark them on every node.
    Workflows(workflows::Arguments),
    /// Check database, schema and surroundings, and say what to do; exit code 1 when a check fails.
    Doctor,
    /// List, retry, cancel or show rows of a workflow.
    Items(items::Arguments),
    /// List, show, set, roll back or relearn a shop's extraction pattern.
    Pattern(pattern::Arguments),
    /// List what needs a person's eye, or close it.
    Flags(flags::Arguments),
    /// Drop what is older than [retention] says, now.
    Retention(retention::Arguments),
    /// Import places, domains, sitemaps or pages from a CSV file.
    Import(import::Arguments),
    /// Show, revive or clear the queue of results to be recorded.
    Queue(queue::Arguments),
    /// Say rule by rule why a result was or was not recorded, or what other rules would change.
    Explain(explain::Arguments),
    /// Record a result by hand, past the rules.
    Record(record::Arguments),
    /// Run the category rules over stored pages again.
    Recategorise(recategorise::Arguments),
    /// Extract from a document, or from a stream of them: no database, no network.
    Extract(Box<extract::Arguments>),
    /// Track product pages: have them crawled from now on, and say who wants to know.
    Track(track::Arguments),
    /// List, add or remove policies: how often and how urgently which pages are crawled.
    Policy(policy::Arguments),
    /// List shops, or set what their pages do not tell: whether they need a browser, their currency.
    Site(site::Arguments),
    /// Create bots, workers of your own that pull crawl jobs over HTTP; renew their tokens, shut them out, list them.
    Bot(bot::Arguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To standard output for --help and --version, with exit code 0; to standard error otherwise.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { MISUSE } else { OK });
        }
    };
    if let Command::Extract(arguments) = cli.command {
        return exit(extract::run(&cli.global, *arguments));
    }
    crate::web::fetch::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILURE, &error),
    };
    exit(runtime.block_on(dispatch(cli)))
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

async fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    match cli.command {
        Command::Run(arguments) => Box::pin(run::run(&cli.global, arguments)).await,
        Command::Demo(arguments) => Box::pin(demo::run(&cli.global, arguments)).await,
        Command::Migrate(arguments) => migrate::run(&cli.global, arguments).await,
        Command::Bench(arguments) => bench::run(&cli.global, arguments).await,
        Command::CheckConfig => check_config::run(&cli.global),
        Command::Convert(arguments) => convert::run(&cli.global, &arguments),
        Command::Status => status::run(&cli.global).await,
        Command::Workflows(arguments) => workflows::run(&cli.global, arguments).await,
        Command::Doctor => doctor::run(&cli.global).await,
        Command::Items(arguments) => items::run(&cli.global, arguments).await,
        Command::Pattern(arguments) => pattern::run(&cli.global, arguments).await,
        Command::Flags(arguments) => flags::run(&cli.global, arguments).await,
        Command::Retention(arguments) => retention::run(&cli.global, arguments).await,
        Command::Import(arguments) => import::run(&cli.global, arguments).await,
        Command::Queue(arguments) => queue::run(&cli.global, arguments).await,
        Command::Explain(arguments) => explain::run(&cli.global, arguments).await,
        Command::Record(arguments) => record::run(&cli.global, arguments).await,
        Command::Recategorise(arguments) => recategorise::run(&cli.global, arguments).await,
        // Answered by `main`, without a runtime.
        Command::Extract(arguments) => extract::run(&cli.global, *arguments),
        Command::Track(arguments) => track::run(&cli.global, arguments).await,
        Command::Policy(arguments) => policy::run(&cli.global, arguments).await,
        Command::Site(arguments) => site::run(&cli.global, arguments).await,
        Command::Bot(arguments) => bot::run(&cli.global, arguments).await,
    }
}

/// The workflow of this name.
///
/// # Errors
/// [`Misuse`] naming those there are.
pub fn workflow(name: &str) -> Result<Known, Misuse> {
    crate::workflows::find(name).ok_or_else(|| {
        let known = crate::workflows::NAMES.join(", ");
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
