//! The commands that are about leads.

mod import;
mod recategorise;

use clap::Subcommand;

use crate::console::Global;

/// These commands.
#[derive(Debug, Subcommand)]
#[expect(private_interfaces, reason = "their arguments are their own business")]
pub enum Command {
    /// Import places, domains, sitemaps or pages from a CSV file.
    Import(import::Arguments),
    /// Run the category rules over stored pages again.
    Recategorise(recategorise::Arguments),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever the command says.
    pub async fn run(self, global: &Global) -> anyhow::Result<u8> {
        match self {
            Self::Import(arguments) => import::run(global, arguments).await,
            Self::Recategorise(arguments) => recategorise::run(global, arguments).await,
        }
    }
}
