//! `gleaner documents`: what is done with documents from a shell.

use clap::{Args, Subcommand};

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
    /// Take away what is nobody's: uploads that were given up, files without documents, old keys.
    Sweep(sweep::Sweep),
    /// Compare tenants' accounts with what there is, and put them right.
    Reconcile(sweep::Reconcile),
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.action {
        Action::Sweep(sweep) => sweep::sweep(global, &sweep).await,
        Action::Reconcile(reconcile) => sweep::reconcile(global, &reconcile).await,
    }
}
