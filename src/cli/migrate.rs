//! `gleaner migrate`: brings the schema up to date, or takes steps back.

use clap::Args;
use serde_json::json;

use crate::console::{FAILURE, Global, OK, print};
use crate::db::connect::Connector;
use crate::db::migrations;

/// Arguments of `gleaner migrate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only say what is missing; exit code 1 if anything is.
    #[arg(long)]
    check: bool,
    /// Undo the last N migrations, with the data they hold.
    #[arg(long, value_name = "N", conflicts_with = "check")]
    revert: Option<usize>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = connector.connect_patient().await?;
    let (what, names) = if arguments.check {
        ("pending", migrations::pending(&mut connection).await?)
    } else if let Some(steps) = arguments.revert {
        ("reverted", migrations::revert(connection, steps)?)
    } else {
        ("applied", migrations::run(connection).await?)
    };
    if global.json {
        print(&json!({ what: names }).to_string());
    } else if names.is_empty() {
        print("the schema is up to date");
    } else {
        for name in &names {
            print(&format!("{what} {name}"));
        }
    }
    Ok(if arguments.check && !names.is_empty() {
        FAILURE
    } else {
        OK
    })
}
