//! `gleaner documents`: what tenants have, from the command line, on the database and the storage themselves.

mod add;
mod change;

use clap::{Args, Subcommand};

use crate::console::Global;

/// Arguments of `gleaner documents`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add files to a tenant's documents, as if it had uploaded them.
    Add(add::Arguments),
    /// Have documents that failed or were cancelled tried again.
    Retry(change::Arguments),
    /// End the work on documents, or their waiting.
    Cancel(change::Arguments),
    /// Delete documents, with what was attached to them.
    Delete(change::Arguments),
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.action {
        Action::Add(arguments) => add::run(global, arguments).await,
        Action::Retry(arguments) => change::run(global, arguments, change::Change::Retry).await,
        Action::Cancel(arguments) => change::run(global, arguments, change::Change::Cancel).await,
        Action::Delete(arguments) => change::run(global, arguments, change::Change::Delete).await,
    }
}
