//! `gleaner documents`: what there is of a tenant's documents, and what is done with them.

use clap::{Args, Subcommand};

use super::look;
use super::sweep;
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
    /// Take away what is nobody's: uploads that were given up, files without documents, old keys.
    Sweep(sweep::Sweep),
    /// Compare tenants' accounts with what there is, and put them right.
    Reconcile(sweep::Reconcile),
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.action {
        Action::List(list) => look::list(global, &list).await,
        Action::Show(show) => look::show(global, &show).await,
        Action::Search(search) => look::search(global, &search).await,
        Action::Sweep(sweep) => sweep::sweep(global, &sweep).await,
        Action::Reconcile(reconcile) => sweep::reconcile(global, &reconcile).await,
    }
}
