//! `gleaner pattern`: the versions of a site's extraction pattern.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde_json::{Value, json};

use crate::console::table::{Table, cut};
use crate::console::{Global, Misuse, OK, connect, print};
use crate::prices::pattern;
use crate::prices::pattern::{NewVersion, Version};
use gleaner_extract::pattern::Pattern;

/// Arguments of `gleaner pattern`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List the versions of a site's pattern.
    List(OneSite),
    /// Print a version, the active one unless one is named.
    Show(Choice),
    /// Make the pattern in a file the active one.
    Set {
        /// The site's domain.
        site: String,
        /// The file, in JSON.
        file: PathBuf,
    },
    /// Make an earlier version the active one again: the last one before it, unless one is named.
    Rollback(Choice),
    /// Have the site's pattern learnt anew from its stored pages.
    Learn(OneSite),
}

#[derive(Clone, Debug, Args)]
struct OneSite {
    /// The site's domain.
    site: String,
}

#[derive(Clone, Debug, Args)]
struct Choice {
    /// The site's domain.
    site: String,
    /// The version's number.
    version: Option<i32>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    match arguments.action {
        Action::List(OneSite { site }) => {
            let versions = versions(&mut conn, &site).await?.1;
            list(global, &versions)?;
        }
        Action::Show(Choice { site, version }) => {
            let versions = versions(&mut conn, &site).await?.1;
            let wanted = match version {
                Some(version) => numbered(&versions, version)?,
                None => versions
                    .iter()
                    .find(|own| own.status == "active")
                    .ok_or_else(|| Misuse(format!("no pattern of {site} is active")))?,
            };
            print(&serde_json::to_string_pretty(&wanted.pattern)?);
        }
        Action::Set { site, file } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let pattern = Pattern::parse(&text)
                .map_err(|error| Misuse(format!("{}: {error}", file.display())))?;
            let id = site_of(&mut conn, &site).await?;
            let pattern = serde_json::to_value(&pattern)?;
            let reason = format!("set from {}", file.display());
            activate(global, &mut conn, &site, id, &pattern, ("manual", &reason)).await?;
        }
        Action::Rollback(Choice { site, version }) => {
            let (id, versions) = versions(&mut conn, &site).await?;
            let wanted = match version {
                Some(version) => numbered(&versions, version)?,
                None => before_the_active(&versions)
                    .ok_or_else(|| Misuse(format!("{site} has no earlier pattern")))?,
            };
            let reason = format!("back to version {}", wanted.version);
            let origin = ("rollback", reason.as_str());
            activate(global, &mut conn, &site, id, &wanted.pattern, origin).await?;
        }
        Action::Learn(OneSite { site }) => {
            let id = site_of(&mut conn, &site).await?;
            pattern::ask(&mut conn, id).await?;
            print(&format!("the pattern of {site} will be learnt anew"));
        }
    }
    Ok(OK)
}

/// The last one that was active before the one that is.
fn before_the_active(versions: &[Version]) -> Option<&Version> {
    let active = versions.iter().find(|own| own.status == "active");
    let newest = active.map_or(i32::MAX, |own| own.version);
    versions
        .iter()
        .filter(|own| own.status == "retired" && own.version < newest)
        // A rollback is a copy of what is being left.
        .find(|own| active.is_none_or(|active| active.pattern != own.pattern))
}

fn numbered(versions: &[Version], version: i32) -> Result<&Version, Misuse> {
    versions
        .iter()
        .find(|own| own.version == version)
        .ok_or_else(|| Misuse(format!("there is no version {version}")))
}

async fn site_of(conn: &mut AsyncPgConnection, domain: &str) -> anyhow::Result<i64> {
    let domain = domain.to_lowercase();
    pattern::site(conn, &domain)
        .await?
        .ok_or_else(|| Misuse(format!("no site is called {domain}")).into())
}

async fn versions(
    conn: &mut AsyncPgConnection,
    domain: &str,
) -> anyhow::Result<(i64, Vec<Version>)> {
    let site = site_of(conn, domain).await?;
    Ok((site, pattern::versions(conn, site).await?))
}

/// Stores and activates; `origin` is its source and why.
async fn activate(
    global: &Global,
    conn: &mut AsyncPgConnection,
    domain: &str,
    site: i64,
    pattern: &Value,
    origin: (&str, &str),
) -> anyhow::Result<()> {
    let (source, reason) = origin;
    let version = NewVersion {
        pattern,
        source,
        reason,
        tested: None,
    };
    let number = conn
        .transaction::<_, diesel::result::Error, _>(async |conn| {
            pattern::activate(conn, site, &version).await
        })
        .await?;
    if global.json {
        print(&json!({ "site": domain, "version": number }).to_string());
    } else {
        print(&format!(
            "version {number} of {domain} is active ({reason})"
        ));
    }
    Ok(())
}

fn list(global: &Global, versions: &[Version]) -> anyhow::Result<()> {
    if global.json {
        print(&serde_json::to_string_pretty(versions)?);
        return Ok(());
    }
    let mut table = Table::new(&[">version", "status", "source", "created", "reason"]);
    for own in versions {
        table.push(vec![
            own.version.to_string(),
            own.status.clone(),
            own.source.clone(),
            own.created_at.clone(),
            cut(own.reason.as_deref().unwrap_or_default(), 80),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    Ok(())
}
