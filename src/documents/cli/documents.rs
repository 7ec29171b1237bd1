//! `gleaner documents`: what tenants have, from the command line, on the database and the storage themselves.

mod add;
mod change;

use clap::{Args, Subcommand};

use super::look;
use crate::console::Global;

/// Arguments of `gleaner documents`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List documents, newest first.
    List(look::List),
    /// Show all that is known of a document, or the text of a page.
    Show(look::Show),
    /// Search in the text of all documents.
    Search(look::Search),
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
        Action::List(list) => look::list(global, &list).await,
        Action::Show(show) => look::show(global, &show).await,
        Action::Search(search) => look::search(global, &search).await,
        Action::Add(arguments) => add::run(global, arguments).await,
        Action::Retry(arguments) => change::run(global, arguments, change::Change::Retry).await,
        Action::Cancel(arguments) => change::run(global, arguments, change::Change::Cancel).await,
        Action::Delete(arguments) => change::run(global, arguments, change::Change::Delete).await,
    }
}
