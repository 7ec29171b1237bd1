//! The commands that are about links: none so far.

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
    pub async fn run(self, _global: &Global) -> anyhow::Result<u8> {
        match self {}
    }
}
