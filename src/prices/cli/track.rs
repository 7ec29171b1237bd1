//! `gleaner track`: product pages to be crawled from now on, and who wants to know of them.

use std::io::BufRead;

use clap::{Args, ValueEnum};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde::Serialize;

use crate::config::Config;
use crate::console::table::{cut, plain};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::prices::crawl::plan;
use crate::prices::crawl::plan::Wish;
use crate::prices::notification_delivery::NotificationDelivery;
use crate::prices::policy;
use crate::prices::policy::Subscription;
use crate::telemetry::chain;
use crate::web::fetch::{Client, FetchError};
use crate::workflow::Configured as _;
use gleaner_extract::address::address;
use url::Url;

/// Arguments of `gleaner track`.
#[derive(Debug, Args)]
#[command(after_help = "\
A page that is known already is not stored twice: it gets what is given here besides. Exit code 0 when every URL was good,
1 when some were refused; the good ones are stored all the same.")]
pub(crate) struct Arguments {
    /// URLs of product pages; - for one a line on standard input.
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// The product that they show, found by this name or created.
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// A tag, by which policies may select; may be given more than once.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Who wants to know, by the name that your own system has.
    #[arg(long, value_name = "WHO")]
    subscribe: Option<String>,
    /// How fresh it must be for them.
    #[arg(long, value_enum, default_value_t = Priority::Normal, requires = "subscribe")]
    priority: Priority,
    /// Tell them when the price falls to this.
    #[arg(long, value_name = "PRICE", requires = "subscribe")]
    target: Option<String>,
    /// The currency of that price (ISO 4217); unless given, the site's.
    #[arg(long, value_name = "CODE", requires = "target")]
    currency: Option<String>,
    /// Tell them by a signed POST to this http:// or https:// URL; none of this network or machine, unless the configuration
    /// allows it.
    #[arg(long, value_name = "URL", requires = "subscribe")]
    webhook: Option<String>,
}

/// How fresh a page must be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Priority {
    /// Crawled every 15 minutes, unless configured otherwise.
    High,
    /// Every hour.
    Normal,
    /// Every day.
    Low,
}

impl Priority {
    fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// What became of the URLs.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Rows of `product_url`, in the order given.
    tracked: Vec<i64>,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    url: String,
    reason: String,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    check(&arguments)?;
    let config = global.load()?;
    if let Some(webhook) = &arguments.webhook {
        check_webhook(&config, webhook).await?;
    }
    let mut conn = crate::console::connect(&config).await?;
    let mut summary = Summary::default();
    for given in &arguments.urls {
        if given == "-" {
            for line in std::io::stdin().lock().lines() {
                let line = line?;
                if !line.trim().is_empty() {
                    one(&mut conn, &arguments, line.trim(), &mut summary).await?;
                }
            }
        } else {
            one(&mut conn, &arguments, given, &mut summary).await?;
        }
    }
    if global.json {
        print(&serde_json::to_string_pretty(&summary)?);
    } else {
        for refused in &summary.refused {
            complain(&format!(
                "refused: {}: {}",
                plain(&cut(&refused.url, 80)),
                refused.reason
            ));
        }
        print(&format!("{} tracked", summary.tracked.len()));
    }
    Ok(if summary.refused.is_empty() {
        OK
    } else {
        FAILURE
    })
}

/// What the table would refuse, said before anything is stored.
fn check(arguments: &Arguments) -> Result<(), Misuse> {
    if let Some(target) = &arguments.target {
        let is_plain = target.split('.').count() <= 2
            && target.len() <= 17
            && target
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
            && target.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
        if !is_plain {
            return Err(Misuse(format!(
                "--target {target}: a plain positive number, such as 99.90"
            )));
        }
    }
    if let Some(code) = &arguments.currency
        && (code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        return Err(Misuse(format!(
            "--currency {code}: three capital letters, such as EUR"
        )));
    }
    if let Some(who) = &arguments.subscribe
        && (who.is_empty() || who.chars().count() > 200)
    {
        return Err(Misuse("--subscribe: 1 to 200 characters".to_owned()));
    }
    Ok(())
}

/// Refuses what a notification could never be sent to. The address may hold a key, so it is not repeated.
async fn check_webhook(config: &Config, webhook: &str) -> anyhow::Result<()> {
    let refuse = |why: String| Misuse(format!("--webhook: {why}"));
    let url = Url::parse(webhook).map_err(|error| refuse(format!("is no URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        let why = "must not hold a user or a password, which are never sent; webhooks are signed";
        return Err(refuse(why.to_owned()).into());
    }
    match Client::new(config.fetch.clone())?.permits_now(&url).await {
        Ok(()) => {}
        Err(FetchError::Dns(_)) => complain(
            "nobody knows the webhook's host now; notifications are tried again until somebody does",
        ),
        Err(error @ FetchError::Blocked { .. }) => {
            let why = format!(
                "{}; if you do want to reach it, name its network in fetch.allow_networks",
                chain(&error)
            );
            return Err(refuse(why).into());
        }
        Err(error) => return Err(refuse(chain(&error)).into()),
    }
    if config
        .workflows
        .options::<NotificationDelivery>()
        .webhook_secret
        .is_empty()
    {
        complain(&format!(
            "no webhook is sent until {} is set",
            NotificationDelivery::option("webhook_secret")
        ));
    }
    Ok(())
}

/// Stores one URL with all that is wished for it, or nothing.
async fn one(
    conn: &mut AsyncPgConnection,
    arguments: &Arguments,
    raw_url: &str,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let address = match address(raw_url) {
        Ok(address) => address,
        Err(error) => {
            summary.refused.push(Refused {
                url: raw_url.to_owned(),
                reason: chain(&error),
            });
            return Ok(());
        }
    };
    let wish = Wish {
        raw_url,
        url: &address.url,
        key: &address.key,
        product: arguments.product.as_deref(),
        tags: &arguments.tags,
    };
    let id = conn
        .transaction(async |conn| {
            let id = plan::track(conn, &wish).await?;
            if let Some(subscriber) = &arguments.subscribe {
                let subscription = Subscription {
                    subscriber,
                    product_url: id,
                    priority: arguments.priority.word(),
                    target_price: arguments.target.as_deref(),
                    target_currency: arguments.currency.as_deref(),
                    webhook_url: arguments.webhook.as_deref(),
                };
                policy::subscribe(conn, &subscription).await?;
            }
            diesel::QueryResult::Ok(id)
        })
        .await?;
    summary.tracked.push(id);
    Ok(())
}
