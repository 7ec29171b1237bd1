//! The list of all areas: the one place that names them.
//!
//! A pipeline is added by its folder, with an [`Area`] on top, and a line in the list below.

use std::sync::LazyLock;

use crate::area::{Area, Areas};
use crate::config::{self, Config, Schema, Sources};
use crate::console::Global;
use crate::settings::ConfigError;
use crate::store::prune;
use crate::workflows::Known;

/// Writes what goes once per area.
macro_rules! areas {
    ($( $name:ident = $area:ident; )*) => {
        /// All areas, in the order in which they are shown.
        pub static AREAS: &[&Area] = &[ $( &crate::$area::AREA, )* ];

        /// The commands of all areas.
        #[derive(Debug, clap::Subcommand)]
        pub enum Command {
            $(
                #[command(flatten)]
                #[expect(missing_docs, reason = "flattened: its own commands are documented")]
                $name(crate::$area::cli::Command),
            )*
        }

        impl Command {
            /// Runs it.
            ///
            /// # Errors
            /// Whatever the command says.
            pub async fn run(self, global: &Global) -> anyhow::Result<u8> {
                match self {
                    $( Self::$name(command) => Box::pin(command.run(global)).await, )*
                }
            }
        }
    };
}

areas! {
    Leads = leads;
    Prices = prices;
    Documents = documents;
    Custom = custom;
}

/// All of them, and what they bring together.
#[must_use]
pub fn all() -> &'static Areas {
    static ALL: LazyLock<Areas> = LazyLock::new(|| Areas::of(AREAS));
    &ALL
}

/// All workflows, in the order of the pipelines.
#[must_use]
pub fn workflows() -> &'static [Known] {
    all().workflows()
}

/// What of all tables gets old.
pub fn kept() -> impl Iterator<Item = &'static prune::Kind> {
    all().kept()
}

/// What all areas bring to the configuration.
#[must_use]
pub fn schema() -> &'static Schema {
    all().schema()
}

/// Reads the configuration of the whole program.
///
/// # Errors
/// As [`config::load`].
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    config::load(sources, schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are asked for ten times a second by whoever waits for all work to be done; a stage is some dozen texts.
    #[test]
    fn workflows_and_their_stages_are_made_once() {
        assert!(std::ptr::eq(all(), all()));
        assert!(!workflows().is_empty() && std::ptr::eq(workflows(), workflows()));
    }
}
