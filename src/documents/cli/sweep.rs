//! `gleaner documents sweep` and `reconcile`: what the program does by itself now and then, now.

use std::time::{Duration, Instant};

use clap::Args;

use crate::console::table::{Table, plain};
use crate::console::{Global, OK, connect, print};
use crate::documents::storage;
use crate::documents::sweep::{GRACE, accounts, orphans};

/// Longest look through the storage: whoever calls this waits for it.
const LONGEST_LOOK: Duration = Duration::from_secs(24 * 3_600);

/// Arguments of `gleaner documents sweep`.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Only count what would go.
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `gleaner documents reconcile`.
#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// Only show what is off.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn sweep(global: &Global, arguments: &Sweep) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let blobs = storage::of(&config);
    // Files without a row get one by this, and go by the sweep.
    let until = Instant::now() + LONGEST_LOOK;
    let found = orphans(&mut conn, &*blobs, GRACE, until, arguments.dry_run).await?;
    let mut swept = crate::documents::sweep::sweep(&mut conn, &*blobs, arguments.dry_run).await?;
    swept.orphans = found;
    if global.json {
        print(&serde_json::to_string(&swept)?);
        return Ok(OK);
    }
    let what = if arguments.dry_run {
        "would go"
    } else {
        "gone"
    };
    for (name, number) in [
        ("uploads", swept.uploads),
        ("reservations", swept.reservations),
        ("drafts", swept.drafts),
        ("files", swept.files),
        ("files without a row", swept.orphans),
        ("keys", swept.keys),
    ] {
        print(&format!("{number:>8} {name} {what}"));
    }
    Ok(OK)
}

pub(crate) async fn reconcile(global: &Global, arguments: &Reconcile) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let off = accounts::reconcile(&mut conn, arguments.dry_run).await?;
    if global.json {
        print(&serde_json::to_string_pretty(&off)?);
        return Ok(OK);
    }
    if off.is_empty() {
        print("all accounts are right");
        return Ok(OK);
    }
    let mut table = Table::new(&[
        "TENANT",
        "NAME",
        ">USED WAS",
        ">USED",
        ">RESERVED WAS",
        ">RESERVED",
        ">FILES",
    ]);
    for one in &off {
        table.push(vec![
            one.tenant.clone(),
            plain(&one.name),
            one.used_was.to_string(),
            one.used.to_string(),
            one.reserved_was.to_string(),
            one.reserved.to_string(),
            one.files.to_string(),
        ]);
    }
    for line in table.lines() {
        print(&line);
    }
    Ok(OK)
}
