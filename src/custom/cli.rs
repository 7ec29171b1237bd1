//! The commands that are about workflows of the operator's own: none so far.

use std::future::Ready;

use clap::Subcommand;

use crate::console::Global;

/// These commands.
#[derive(Debug, Subcommand)]
pub enum Command {}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever the command says.
    pub fn run(self, _global: &Global) -> Ready<anyhow::Result<u8>> {
        match self {}
    }
}
