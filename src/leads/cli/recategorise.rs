//! `gleaner recategorise`: runs the category rules of this version over stored pages. Safe to stop and to repeat: every batch
//! is committed by itself, and a page that is as the rules say is not written.

use std::collections::BTreeMap;

use clap::Args;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use serde::Serialize;
use url::Url;

use crate::console::table::plain;
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::db;
use crate::db::connect::Connector;
use crate::db::halves::Halves;
use crate::db::migrations;
use crate::leads::recategorise;
use crate::leads::recategorise::{Changed, Decision, StoredPage};
use crate::leads::sitemap_import::SitemapImport;
use crate::telemetry::chain;
use gleaner_extract::category::{RULES_VERSION, categorize};
use gleaner_extract::domain::site;

/// Arguments of `gleaner recategorise`.
#[derive(Debug, Args)]
#[command(after_help = "\
What a person decided is kept: only pages whose status is New, and that nobody has in hand, are queued, filtered or freed
from the filter. A page that becomes a contact, career or legal page is Selected, and so queued for curation, unless
workflows.sitemap-import.options.advance is off. Exit code 1 when the database did not let some pages be written; they are named,
and the others are written all the same.")]
pub(crate) struct Arguments {
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Only the pages of this domain.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
}

/// Pages of one batch, which is one transaction.
const BATCH_PAGES: usize = 5_000;

/// What became of the pages.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    rules_version: u32,
    dry_run: bool,
    /// Pages looked at.
    pages: u64,
    /// Pages written.
    changed: i64,
    /// Pages of those that are to be fetched now.
    queued: i64,
    /// Pages of those that are filtered now.
    filtered: i64,
    /// Pages of those that are filtered no longer.
    freed: i64,
    /// Per change of category, `old -> new`.
    categories: BTreeMap<String, i64>,
    /// Pages that the database did not let be written.
    invalid: u64,
    /// The first of these.
    refused: Vec<Refused>,
}

/// A page that could not be written.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Refused {
    id: i64,
    reason: String,
}

/// Refused pages that are shown.
const SHOWN: usize = 20;

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let advance = config.workflows.options::<SitemapImport>().advance;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = connector.connect_patient().await?;
    migrations::require_current(&mut connection).await?;
    let domain = match &arguments.domain {
        Some(text) => Some(domain_id(&mut connection, text).await?),
        None => None,
    };
    let mut summary = Summary {
        rules_version: RULES_VERSION,
        dry_run: arguments.dry_run,
        ..Summary::default()
    };
    let limit = i64::try_from(BATCH_PAGES)?;
    let version = i16::try_from(RULES_VERSION)?;
    let mut after = i64::MIN;
    loop {
        let pages = recategorise::pages_after(&mut connection, after, domain, limit).await?;
        let Some(last) = pages.last() else { break };
        after = last.id;
        summary.pages += u64::try_from(pages.len())?;
        let decisions: Vec<Decision> = pages.iter().filter_map(decide).collect();
        let mut halves = Halves::of(&decisions).however_many();
        while let Some(part) = halves.next_part() {
            connection.batch_execute("BEGIN").await?;
            let stored = recategorise::store(&mut connection, part, version, advance).await;
            let end = match &stored {
                Ok(_) if !arguments.dry_run => "COMMIT",
                Ok(_) | Err(_) => "ROLLBACK",
            };
            connection.batch_execute(end).await?;
            match stored {
                Ok(changed) => summary.add(&changed),
                Err(error) => {
                    if let Some((page, error)) = halves.refused(part, error)? {
                        summary.refuse(page.id, &error);
                    }
                }
            }
        }
    }
    if global.json {
        print(&serde_json::to_string_pretty(&summary)?);
    } else {
        show(&summary);
    }
    Ok(if summary.invalid == 0 { OK } else { FAILURE })
}

async fn domain_id(connection: &mut AsyncPgConnection, text: &str) -> anyhow::Result<i64> {
    let site = site(text).map_err(|error| Misuse(format!("{text:?}: {}", chain(&error))))?;
    let found = recategorise::domain_id(connection, &site.host).await?;
    Ok(found.ok_or_else(|| Misuse(format!("no domain {} is stored", site.host)))?)
}

/// What the rules say of a page; nothing if its address is none, which no import stores.
fn decide(page: &StoredPage) -> Option<Decision> {
    let category = categorize(&Url::parse(&page.url).ok()?);
    Some(Decision {
        id: page.id,
        page_type: category.page_type.as_str(),
        rule: category.rule,
        confidence: category.confidence,
        path_depth: i16::try_from(category.path_depth).unwrap_or(i16::MAX),
        disposition: category.disposition.as_str(),
    })
}

impl Summary {
    fn refuse(&mut self, id: i64, error: &diesel::result::Error) {
        self.invalid += 1;
        if self.refused.len() < SHOWN {
            let reason = plain(&db::described(error));
            self.refused.push(Refused { id, reason });
        }
    }

    fn add(&mut self, changed: &[Changed]) {
        for change in changed {
            self.changed += change.pages;
            match change.effect.as_str() {
                "queued" => self.queued += change.pages,
                "filtered" => self.filtered += change.pages,
                "freed" => self.freed += change.pages,
                _ => {}
            }
            if change.old_type != change.new_type {
                let name = format!("{} -> {}", change.old_type, change.new_type);
                *self.categories.entry(name).or_default() += change.pages;
            }
        }
    }
}

fn show(summary: &Summary) {
    for refused in &summary.refused {
        complain(&format!(
            "page {}: the database refuses it: {}",
            refused.id, refused.reason
        ));
    }
    let hidden = summary.invalid - u64::try_from(summary.refused.len()).unwrap_or(0);
    if hidden > 0 {
        complain(&format!("and {hidden} more pages"));
    }
    let would = if summary.dry_run {
        " (nothing was stored)"
    } else {
        ""
    };
    print(&format!(
        "{} pages under rules {}: {} changed, {} queued, {} filtered, {} freed, {} refused{would}",
        summary.pages,
        summary.rules_version,
        summary.changed,
        summary.queued,
        summary.filtered,
        summary.freed,
        summary.invalid
    ));
    for (change, pages) in &summary.categories {
        print(&format!("{pages:>10}  {change}"));
    }
}
