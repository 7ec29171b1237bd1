//! The commands that are about prices.

mod bot;
mod convert;
mod explain;
mod flags;
mod pattern;
mod policy;
mod queue;
mod record;
mod site;
mod track;

use clap::Subcommand;

use crate::console::Global;

/// These commands.
#[derive(Debug, Subcommand)]
#[expect(private_interfaces, reason = "their arguments are their own business")]
pub enum Command {
    /// Track product pages: have them crawled from now on, and say who wants to know.
    Track(track::Arguments),
    /// List, add or remove policies: how often and how urgently which pages are crawled.
    Policy(policy::Arguments),
    /// List sites, or set what their pages do not tell: whether they need a browser, their currency.
    Site(site::Arguments),
    /// Create bots, workers of your own that pull crawl jobs over HTTP; renew their tokens, shut them out, list them.
    Bot(bot::Arguments),
    /// List, show, set, roll back or relearn a site's extraction pattern.
    Pattern(pattern::Arguments),
    /// List what needs a person's eye, or close it.
    Flags(flags::Arguments),
    /// Show, revive or clear the queue of results to be recorded.
    Queue(queue::Arguments),
    /// Say rule by rule why a result was or was not recorded, or what other rules would change.
    Explain(explain::Arguments),
    /// Record a result by hand, past the rules.
    Record(record::Arguments),
    /// Say in our terms what the older service's rules for recording say.
    Convert(convert::Arguments),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever the command says.
    pub async fn run(self, global: &Global) -> anyhow::Result<u8> {
        match self {
            Self::Track(arguments) => track::run(global, arguments).await,
            Self::Policy(arguments) => policy::run(global, arguments).await,
            Self::Site(arguments) => site::run(global, arguments).await,
            Self::Bot(arguments) => bot::run(global, arguments).await,
            Self::Pattern(arguments) => pattern::run(global, arguments).await,
            Self::Flags(arguments) => flags::run(global, arguments).await,
            Self::Queue(arguments) => queue::run(global, arguments).await,
            Self::Explain(arguments) => explain::run(global, arguments).await,
            Self::Record(arguments) => record::run(global, arguments).await,
            Self::Convert(arguments) => convert::run(global, &arguments),
        }
    }
}
