//! `gleaner flags`: what needs a person's eye.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::console::table::{Table, cut};
use crate::console::{Global, Misuse, OK, connect, print};
use crate::prices::flag;
use crate::prices::flag::Filter;

/// Flags that are listed.
const MOST: i64 = 1_000;

/// Arguments of `gleaner flags`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Those that are closed too.
    #[arg(long)]
    all: bool,
    /// Look at all sites first, as pattern-health does at its time.
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Close flags by their numbers.
    Resolve {
        /// The numbers.
        #[arg(required = true)]
        flags: Vec<i64>,
        /// What became of them.
        #[arg(long = "as", value_enum, default_value_t = End::Resolved)]
        end: End,
    },
    /// Open closed flags again, by their numbers.
    Reopen {
        /// The numbers.
        #[arg(required = true)]
        flags: Vec<i64>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum End {
    /// The trouble is over.
    Resolved,
    /// It is to stay as it is.
    WontFix,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    match &arguments.action {
        Some(Action::Resolve { flags, end }) => {
            let status = match end {
                End::Resolved => "resolved",
                End::WontFix => "wont_fix",
            };
            let closed = flag::resolve(&mut conn, flags, status, "operator").await?;
            if closed == 0 {
                return Err(Misuse("none of these flags is open".to_owned()).into());
            }
            print(&changed(global, "closed", closed));
            return Ok(OK);
        }
        Some(Action::Reopen { flags }) => {
            let mut reopened = 0;
            for own in flags {
                reopened += usize::from(flag::reopen(&mut conn, *own).await?);
            }
            if reopened == 0 {
                let reason =
                    "none of these flags is closed, or the same trouble has an open one already";
                return Err(Misuse(reason.to_owned()).into());
            }
            print(&changed(global, "reopened", reopened));
            return Ok(OK);
        }
        None => {}
    }
    if arguments.check {
        flag::judge(&mut conn).await?;
    }
    let filter = Filter {
        statuses: if arguments.all { &[] } else { &flag::OPEN },
        ..Filter::default()
    };
    let flags = flag::list(&mut conn, &filter, MOST).await?;
    if global.json {
        print(&serde_json::to_string_pretty(&flags)?);
        return Ok(OK);
    }
    if flags.is_empty() {
        print("no flags");
        return Ok(OK);
    }
    let mut table = Table::new(&[">flag", "kind", "status", "opened", "about", "message"]);
    for own in flags {
        table.push(vec![
            own.id.to_string(),
            own.kind,
            own.status,
            own.opened_at,
            own.url.or(own.domain).unwrap_or_default(),
            cut(&own.message, 100),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    Ok(OK)
}

/// What was done to how many flags.
fn changed(global: &Global, what: &str, many: usize) -> String {
    if global.json {
        json!({ what: many }).to_string()
    } else {
        format!("{what} {many}")
    }
}
