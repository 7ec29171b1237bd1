//! `gleaner bot`: the accounts of outside workers. A token is shown once, when it is made; only its hash is stored.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::console::table::{Table, plain};
use crate::console::{Global, Misuse, OK, complain, print};
use crate::prices::bot;
use crate::prices::http::bot::hash;
use crate::secret::Secret;

/// Arguments of `gleaner bot`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Create a bot and show its token, once.
    Create(Create),
    /// Give a bot a new token and show it, once; the old one is void at once.
    Rotate(Name),
    /// Shut a bot out; the jobs it has in hand go to others.
    Disable(Name),
    /// Let a bot in again.
    Enable(Name),
    /// List bots, with what they may and what they did.
    List,
}

#[derive(Clone, Debug, Args)]
struct Name {
    /// The name it logs in with.
    #[arg(value_name = "BOT")]
    bot_id: String,
}

#[derive(Clone, Debug, Args)]
struct Create {
    /// The name it logs in with.
    #[arg(value_name = "BOT")]
    bot_id: String,
    /// Its name, for people.
    #[arg(long, default_value = "")]
    name: String,
    /// At most this many jobs per pull.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    max_jobs: i32,
    /// At most this many pulls per minute.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(i32).range(1..))]
    rate: i32,
    /// How long it may keep a job without a sign of life, in seconds; unless given, what the job's policy says.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(1..=86_400))]
    lock_ttl: Option<i32>,
    /// Only jobs of this site (registrable domain); may be given more than once.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
}

fn new_token() -> anyhow::Result<Secret> {
    Secret::random("").context("the system gives no random bytes")
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = crate::console::connect(&config).await?;
    match arguments.action {
        Action::Create(create) => {
            let bot_id = create.bot_id.trim();
            if bot_id.is_empty() || bot_id.chars().count() > 100 {
                return Err(Misuse("a bot's name has 1 to 100 characters".to_owned()).into());
            }
            let domains: Vec<String> = create
                .domains
                .iter()
                .map(|domain| domain.trim().to_lowercase())
                .collect();
            let token = new_token()?;
            let is_new = bot::create(
                &mut conn,
                bot_id,
                &create.name,
                hash(token.expose()).as_ref(),
                create.max_jobs,
                create.rate,
                create.lock_ttl,
                &domains,
            )
            .await?;
            if !is_new {
                let text = format!(
                    "there is a bot \"{bot_id}\"; `gleaner bot rotate` gives it a new token"
                );
                return Err(Misuse(text).into());
            }
            show_token(global, bot_id, token.expose());
        }
        Action::Rotate(Name { bot_id }) => {
            let token = new_token()?;
            let is_known = bot::rotate(&mut conn, &bot_id, hash(token.expose()).as_ref()).await?;
            known(is_known, &bot_id)?;
            show_token(global, &bot_id, token.expose());
        }
        Action::Disable(Name { bot_id }) => {
            known(bot::disable(&mut conn, &bot_id).await?, &bot_id)?;
            complain(&format!("{bot_id} is shut out"));
        }
        Action::Enable(Name { bot_id }) => {
            known(bot::enable(&mut conn, &bot_id).await?, &bot_id)?;
            complain(&format!("{bot_id} is let in"));
        }
        Action::List => list(global, &bot::list(&mut conn).await?)?,
    }
    Ok(OK)
}

fn known(is_known: bool, bot_id: &str) -> Result<(), Misuse> {
    if is_known {
        Ok(())
    } else {
        Err(Misuse(format!(
            "there is no bot \"{bot_id}\"; `gleaner bot list` names them"
        )))
    }
}

fn show_token(global: &Global, bot_id: &str, token: &str) {
    if global.json {
        print(&json!({ "bot_id": bot_id, "api_token": token }).to_string());
    } else {
        complain(&format!(
            "the token of {bot_id} follows; it is shown this once"
        ));
        print(token);
    }
}

fn list(global: &Global, bots: &[bot::Listed]) -> anyhow::Result<()> {
    if global.json {
        print(&serde_json::to_string_pretty(bots)?);
        return Ok(());
    }
    let mut table = Table::new(&[
        "BOT",
        "STATE",
        "JOBS/PULL",
        "PULLS/MIN",
        "DOMAINS",
        "PULLED",
        "DONE",
        "FAILED",
        "IN HAND",
        "LAST PULL",
    ]);
    for own in bots {
        let domains = if own.allowed_domains.is_empty() {
            "all".to_owned()
        } else {
            own.allowed_domains.join(",")
        };
        table.push(vec![
            plain(&own.bot_id),
            if own.enabled { "on" } else { "off" }.to_owned(),
            own.max_jobs_per_pull.to_string(),
            own.rate_limit_per_minute.to_string(),
            plain(&domains),
            own.jobs_pulled.to_string(),
            own.jobs_completed.to_string(),
            own.jobs_failed.to_string(),
            own.jobs_in_hand.to_string(),
            own.last_pull_at.map_or_else(
                || "never".to_owned(),
                |at| at.format("%F %T UTC").to_string(),
            ),
        ]);
    }
    for line in table.lines() {
        print(&line);
    }
    Ok(())
}
