//! `gleaner site`: what is to be known of a site that its pages do not tell.

use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::console::table::{Table, plain};
use crate::console::{Global, Misuse, OK, complain, connect, print};
use crate::prices::site;
use crate::prices::site::{Change, Site};
use gleaner_extract::address::address;
use gleaner_extract::domain::registrable;
use url::Url;

/// Arguments of `gleaner site`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List sites.
    List,
    /// Change a site; from its next page on.
    Set(Set),
}

#[derive(Clone, Debug, Args)]
struct Set {
    /// The site: its domain, or any host or URL of it.
    site: String,
    /// Whether its pages need a browser (JavaScript) to show their prices; takes render.enabled = true.
    #[arg(long, value_enum, value_name = "on|off")]
    render: Option<Switch>,
    /// Whether the scripts of its pages may send (POST) to its own hosts, where its prices come from such an API.
    #[arg(long, value_enum, value_name = "on|off")]
    render_post: Option<Switch>,
    /// Hosts of its own under other domains, such as its API's, that its pages may ask as they may the site itself; all of
    /// them, "" for none.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    render_hosts: Option<Vec<String>>,
    /// Whether anything of it is crawled.
    #[arg(long, value_enum, value_name = "on|off")]
    enabled: Option<Switch>,
    /// The currency of prices that do not name one (ISO 4217).
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        self == Self::On
    }
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    match arguments.action {
        Action::List => {
            let mut conn = connect(&config).await?;
            list(global, &site::list(&mut conn).await?)?;
        }
        Action::Set(set) => change(&config, &set).await?,
    }
    Ok(OK)
}

async fn change(config: &Config, set: &Set) -> anyhow::Result<()> {
    let hosts = set.render_hosts.as_deref().map(hosts).transpose()?;
    let wished = Change {
        enabled: set.enabled.map(Switch::is_on),
        render: set.render.map(Switch::is_on),
        render_post: set.render_post.map(Switch::is_on),
        render_hosts: hosts.as_deref(),
        currency: set.currency.as_deref(),
    };
    if wished == Change::default() {
        let text =
            "say what to set: --render, --render-post, --render-hosts, --enabled or --currency";
        return Err(Misuse(text.to_owned()).into());
    }
    if let Some(code) = wished.currency
        && (code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        let text = format!("--currency {code}: three capital letters, such as EUR");
        return Err(Misuse(text).into());
    }
    let site = address(&set.site)
        .map_err(|error| Misuse(format!("\"{}\" is no site: {error}", plain(&set.site))))?
        .shop;
    let mut conn = connect(config).await?;
    site::set(&mut conn, &site, &wished).await?;
    complain(&format!("{site} is set"));
    if wished.render == Some(true) && !config.render.enabled {
        complain(
            "rendering is switched off by this configuration: its pages fail until render.enabled = true",
        );
    }
    Ok(())
}

/// Names of hosts as they stand in URLs. An address, or a whole suffix, is no host of a shop's own.
fn hosts(given: &[String]) -> Result<Vec<String>, Misuse> {
    let named = given.iter().filter(|name| !name.is_empty());
    let read = |name: &String| {
        let host = Url::parse(&format!("https://{name}/"))
            .ok()
            .and_then(|url| {
                let is_all = url.path() == "/" && url.port().is_none() && url.username().is_empty();
                url.domain().filter(|_| is_all).map(str::to_owned)
            });
        let host = host.filter(|host| registrable(host).is_some());
        host.ok_or_else(|| {
            Misuse(format!(
                "--render-hosts: \"{}\" is no host, such as api.shop.example",
                plain(name)
            ))
        })
    };
    named.map(read).collect()
}

fn list(global: &Global, sites: &[Site]) -> anyhow::Result<()> {
    if global.json {
        print(&serde_json::to_string_pretty(sites)?);
        return Ok(());
    }
    let word = |is_on| if is_on { "on" } else { "off" }.to_owned();
    let mut table = Table::new(&[
        "SITE", "STATE", "RENDER", "POST", "HOSTS", "CURRENCY", ">URLS",
    ]);
    for own in sites {
        table.push(vec![
            plain(&own.domain),
            word(own.enabled),
            word(own.render),
            word(own.render_post),
            plain(&own.render_hosts.join(" ")),
            own.currency.clone().unwrap_or_default(),
            own.urls.to_string(),
        ]);
    }
    for line in table.lines() {
        print(&line);
    }
    Ok(())
}
