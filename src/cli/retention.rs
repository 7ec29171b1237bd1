//! `gleaner retention`: drops what is old now, or says what would go.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use crate::areas;
use crate::console::table::Table;
use crate::console::{Global, OK, connect, print};
use crate::store::prune::{self, Cursor};

/// Arguments of `gleaner retention`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Drop nothing, only count what is old enough.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let mut table = Table::new(&["what", "older than", ">rows"]);
    let mut report = serde_json::Map::new();
    for kind in areas::kept() {
        let keep = config.retention.keep(kind.key);
        let mut gone = 0;
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let step = prune::step(&mut conn, kind, keep, cursor, arguments.dry_run).await?;
            gone += step.gone;
            next = step.next;
            if next.is_some() && !arguments.dry_run {
                sleep(config.retention.pause).await;
            }
        }
        table.push(vec![
            kind.name.to_owned(),
            humantime::format_duration(Duration::from_secs(keep.as_secs())).to_string(),
            gone.to_string(),
        ]);
        report.insert(kind.name.to_owned(), json!(gone));
    }
    if global.json {
        print(&json!({ "dry_run": arguments.dry_run, "rows": report }).to_string());
    } else {
        for line in table.lines() {
            print(&line);
        }
        if arguments.dry_run {
            print("nothing was dropped (--dry-run)");
        }
    }
    Ok(OK)
}
