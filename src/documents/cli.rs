//! The commands that are about documents and tenants.

mod documents;
mod look;
mod tenant;

use clap::Subcommand;

use crate::console::Global;

/// These commands.
#[derive(Debug, Subcommand)]
#[expect(private_interfaces, reason = "their arguments are their own business")]
pub enum Command {
    /// Create tenants, list them, set their quotas; make and revoke their keys.
    Tenant(tenant::Arguments),
    /// Add a tenant's documents, list them, show one, change what becomes of them, search in their text.
    Documents(documents::Arguments),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever the command says.
    pub async fn run(self, global: &Global) -> anyhow::Result<u8> {
        match self {
            Self::Tenant(arguments) => tenant::run(global, arguments).await,
            Self::Documents(arguments) => documents::run(global, arguments).await,
        }
    }
}
