//! `gleaner policy`: how often and how urgently which pages are crawled.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use diesel::result::Error as DieselError;

use crate::console::table::{Table, plain};
use crate::console::{Global, Misuse, OK, complain, print};
use crate::prices::policy;
use crate::prices::policy::Policy;

/// Arguments of `gleaner policy`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List policies, in the order in which they decide.
    List,
    /// Add a policy. It reaches every job with the next round of the crawl-scheduler.
    Add(Add),
    /// Remove policies; their jobs go by the others.
    Remove {
        /// Names of policies.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// What a policy selects by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Selection {
    /// Every page.
    All,
    /// A domain and what is below it.
    Domain,
    /// Hosts that match a regular expression (PostgreSQL's).
    DomainRegex,
    /// URLs that match one.
    UrlRegex,
    /// Pages with a tag.
    Tag,
}

impl Selection {
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Domain => "domain",
            Self::DomainRegex => "domain_regex",
            Self::UrlRegex => "url_regex",
            Self::Tag => "tag",
        }
    }
}

#[derive(Clone, Debug, Args)]
struct Add {
    /// Its name.
    name: String,
    /// What it selects by.
    #[arg(value_enum)]
    selection: Selection,
    /// The domain, regular expression or tag; none for all.
    #[arg(default_value = "")]
    target: String,
    /// From one crawl to the next: 1m to 10years.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    every: Duration,
    /// 1 low, 5 normal, 10 high, 20 urgent; of several that match, the highest decides.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i16).range(0..=100))]
    priority: i16,
    /// Attempts in all before a job has failed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i16).range(1..=100))]
    attempts: i16,
    /// Before the second attempt, 1year at most; doubled up to three times.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    backoff: Duration,
    /// How long a bot may keep a job without a sign of life.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = crate::console::connect(&config).await?;
    match arguments.action {
        Action::List => list(global, &policy::list(&mut conn).await?)?,
        Action::Add(add) => {
            check(&add)?;
            let policy = Policy {
                name: add.name.trim().to_owned(),
                selection: add.selection.word().to_owned(),
                target: add.target,
                frequency_seconds: add.every.as_secs_f64(),
                priority: add.priority,
                max_retries: add.attempts,
                retry_backoff_seconds: add.backoff.as_secs_f64(),
                timeout_seconds: add.timeout.as_secs_f64(),
                enabled: true,
                jobs: 0,
            };
            match policy::add(&mut conn, &policy).await {
                Ok(true) => complain(&format!("policy \"{}\" is added", policy.name)),
                Ok(false) => {
                    let text = format!("there is a policy \"{}\"; remove it first", policy.name);
                    return Err(Misuse(text).into());
                }
                Err(DieselError::DatabaseError(_, information)) => {
                    return Err(Misuse(refusal(
                        information.constraint_name(),
                        information.message(),
                    ))
                    .into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Action::Remove { names } => {
            let removed = policy::remove(&mut conn, &names).await?;
            complain(&format!("{removed} of {} removed", names.len()));
            if removed < names.len() {
                return Err(Misuse(
                    "not all of these policies exist; `gleaner policy list` names them".to_owned(),
                )
                .into());
            }
        }
    }
    Ok(OK)
}

const EVERY: &str = "--every is 1m to 10years";
const BACKOFF: &str = "--backoff is longer than zero, and 1year at most";
const TIMEOUT: &str = "--timeout is 1s to 1d";

/// What the table would refuse, or not even understand.
fn check(add: &Add) -> Result<(), Misuse> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let timeouts = Duration::from_secs(1)..=DAY;
    for (is_good, rule) in [
        (policy::FREQUENCIES.contains(&add.every), EVERY),
        (
            !add.backoff.is_zero() && add.backoff <= policy::LONGEST_RETRY_BACKOFF,
            BACKOFF,
        ),
        (timeouts.contains(&add.timeout), TIMEOUT),
    ] {
        if !is_good {
            return Err(Misuse(rule.to_owned()));
        }
    }
    Ok(())
}

/// What the table's own checks refuse, in words.
fn refusal(constraint: Option<&str>, message: &str) -> String {
    match constraint {
        Some("crawl_policy_target_check") => {
            "a policy needs a target, unless it selects all; then it has none".to_owned()
        }
        Some("crawl_policy_frequency_check") => EVERY.to_owned(),
        Some("crawl_policy_retry_backoff_check") => BACKOFF.to_owned(),
        Some("crawl_policy_timeout_check") => TIMEOUT.to_owned(),
        Some("crawl_policy_name_check") => "a policy needs a name".to_owned(),
        _ => format!("the database refuses it: {message}"),
    }
}

fn list(global: &Global, policies: &[Policy]) -> anyhow::Result<()> {
    if global.json {
        print(&serde_json::to_string_pretty(policies)?);
        return Ok(());
    }
    let mut table = Table::new(&[
        "POLICY", "STATE", "SELECTS", "TARGET", "EVERY", "PRIORITY", "ATTEMPTS", "JOBS",
    ]);
    for own in policies {
        let every = Duration::try_from_secs_f64(own.frequency_seconds).unwrap_or_default();
        table.push(vec![
            plain(&own.name),
            if own.enabled { "on" } else { "off" }.to_owned(),
            own.selection.clone(),
            plain(&own.target),
            humantime::format_duration(every).to_string(),
            own.priority.to_string(),
            own.max_retries.to_string(),
            own.jobs.to_string(),
        ]);
    }
    for line in table.lines() {
        print(&line);
    }
    Ok(())
}
