//! `gleaner tenant`: whose documents there are. A key is shown once, when it is made; only its hash is stored.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use diesel_async::AsyncPgConnection;
use serde_json::json;

use crate::console::table::{Table, plain};
use crate::console::{Global, Misuse, OK, complain, connect, print};
use crate::documents::config::Documents;
use crate::documents::key;
use crate::documents::key::Scope;
use crate::documents::tenant;
use crate::documents::tenant::{Change, Tenant};

/// Arguments of `gleaner tenant`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Create a tenant and show its first key, once.
    Create(Create),
    /// List tenants, with what they have.
    List,
    /// Set what a tenant may have.
    Quota(Quota),
    /// Make, list and revoke a tenant's keys.
    Key(Key),
    /// Shut a tenant out: none of its keys works, until it is enabled.
    Disable(Named),
    /// Let a tenant in again.
    Enable(Named),
    /// Show what a tenant uses.
    Usage(Named),
}

#[derive(Clone, Debug, Args)]
struct Create {
    /// Its name.
    name: String,
    /// Bytes that its files may take; unless given, documents.quota_bytes.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(i64).range(0..=1 << 50))]
    quota: Option<i64>,
}

#[derive(Clone, Debug, Args)]
struct Quota {
    /// Its name, or its uid.
    tenant: String,
    /// Bytes that its files may take.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(i64).range(0..=1 << 50))]
    bytes: Option<i64>,
    /// Documents of its that are worked at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..=1_000))]
    running: Option<i16>,
    /// Documents of its that may wait.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    queued: Option<i32>,
    /// The documents of higher tiers come first.
    #[arg(long, value_name = "TIER", value_parser = clap::value_parser!(i16).range(0..=100))]
    tier: Option<i16>,
}

#[derive(Clone, Debug, Args)]
struct Named {
    /// Its name, or its uid.
    tenant: String,
}

#[derive(Clone, Debug, Args)]
struct Key {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyAction {
    /// Make a key and show it, once.
    Create(CreateKey),
    /// List a tenant's keys, without their secrets.
    List(Named),
    /// Have a key work no more.
    Revoke(RevokeKey),
}

#[derive(Clone, Debug, Args)]
struct CreateKey {
    /// The tenant: its name, or its uid.
    tenant: String,
    /// What it is for.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// What it may do.
    #[arg(long, value_enum, default_value = "write")]
    scope: May,
    /// For how many days it works; unless given, until it is revoked.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
}

#[derive(Clone, Debug, Args)]
struct RevokeKey {
    /// The tenant: its name, or its uid.
    tenant: String,
    /// The key's id, as the list shows it.
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum May {
    /// Look, search, download.
    Read,
    /// Upload, change and delete as well.
    Write,
}

impl From<May> for Scope {
    fn from(may: May) -> Self {
        match may {
            May::Read => Self::Read,
            May::Write => Self::Write,
        }
    }
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    match arguments.action {
        Action::Create(wish) => {
            let quota = match wish.quota {
                Some(quota) => quota,
                None => i64::try_from(config.section::<Documents>().quota_bytes)?,
            };
            create(global, &mut conn, &wish.name, quota).await?;
        }
        Action::List => show(global, &tenant::list(&mut conn).await?)?,
        Action::Quota(wish) => {
            let change = Change {
                quota_bytes: wish.bytes,
                max_running: wish.running,
                max_queued: wish.queued,
                tier: wish.tier,
                disabled: None,
            };
            if change == Change::default() {
                let text = "say what to set: --bytes, --running, --queued or --tier";
                return Err(Misuse(text.to_owned()).into());
            }
            set(global, &mut conn, &wish.tenant, &change).await?;
        }
        Action::Disable(named) => {
            let change = Change {
                disabled: Some(true),
                ..Change::default()
            };
            set(global, &mut conn, &named.tenant, &change).await?;
        }
        Action::Enable(named) => {
            let change = Change {
                disabled: Some(false),
                ..Change::default()
            };
            set(global, &mut conn, &named.tenant, &change).await?;
        }
        Action::Usage(named) => {
            let found = find(&mut conn, &named.tenant).await?;
            if global.json {
                print(&serde_json::to_string_pretty(&found)?);
            } else {
                show(global, &[found])?;
            }
        }
        Action::Key(key) => keys(global, &mut conn, key.action).await?,
    }
    Ok(OK)
}

async fn find(conn: &mut AsyncPgConnection, name: &str) -> anyhow::Result<Tenant> {
    let found = tenant::find(conn, name).await?;
    Ok(found.ok_or_else(|| Misuse(format!("there is no tenant \"{}\"", plain(name))))?)
}

async fn create(
    global: &Global,
    conn: &mut AsyncPgConnection,
    name: &str,
    quota: i64,
) -> anyhow::Result<()> {
    let name = tenant::name(name).ok_or_else(|| Misuse(tenant::NAMES.to_owned()))?;
    let secret = key::generate().context("the system gives no random bytes")?;
    let created = tenant::create_with_key(conn, name, quota, &secret).await?;
    let Some(created) = created else {
        return Err(Misuse(format!("there is a tenant \"{}\"", plain(name))).into());
    };
    if global.json {
        print(
            &json!({ "tenant": created.uid, "name": created.name, "key": secret.expose() })
                .to_string(),
        );
    } else {
        print(&format!("tenant {}", created.uid));
        print(&format!("key    {}", secret.expose()));
    }
    Ok(())
}

fn show(global: &Global, tenants: &[Tenant]) -> anyhow::Result<()> {
    if global.json {
        print(&serde_json::to_string_pretty(tenants)?);
        return Ok(());
    }
    let mut table = Table::new(&[
        "TENANT",
        "NAME",
        ">USED",
        ">RESERVED",
        ">QUOTA",
        ">TIER",
        "STATE",
    ]);
    for one in tenants {
        let state = if one.disabled_at.is_some() {
            "disabled"
        } else {
            "enabled"
        };
        table.push(vec![
            one.uid.clone(),
            plain(&one.name),
            one.used_bytes.to_string(),
            one.reserved_bytes.to_string(),
            one.quota_bytes.to_string(),
            one.tier.to_string(),
            state.to_owned(),
        ]);
    }
    for line in table.lines() {
        print(&line);
    }
    Ok(())
}

async fn set(
    global: &Global,
    conn: &mut AsyncPgConnection,
    name: &str,
    change: &Change,
) -> anyhow::Result<()> {
    let found = find(conn, name).await?;
    let changed = tenant::change(conn, found.id, change).await?;
    if global.json {
        print(&serde_json::to_string_pretty(&changed)?);
    } else {
        complain(&format!("{} is set", plain(&changed.name)));
    }
    Ok(())
}

async fn keys(
    global: &Global,
    conn: &mut AsyncPgConnection,
    action: KeyAction,
) -> anyhow::Result<()> {
    match action {
        KeyAction::Create(wish) => {
            if wish.name.chars().count() > key::LONGEST_NAME {
                let text = "the name of a key has at most 100 characters";
                return Err(Misuse(text.to_owned()).into());
            }
            let found = find(conn, &wish.tenant).await?;
            let secret = key::generate().context("the system gives no random bytes")?;
            let id = key::store_for(
                conn,
                found.id,
                &secret,
                &wish.name,
                wish.scope.into(),
                wish.days,
            )
            .await?;
            if global.json {
                print(&json!({ "id": id, "key": secret.expose() }).to_string());
            } else {
                print(&format!("id  {id}"));
                print(&format!("key {}", secret.expose()));
            }
        }
        KeyAction::List(named) => {
            let found = find(conn, &named.tenant).await?;
            let keys = key::list(conn, found.id).await?;
            if global.json {
                print(&serde_json::to_string_pretty(&keys)?);
                return Ok(());
            }
            let mut table = Table::new(&["KEY", "NAME", "SCOPE", "CREATED", "STATE"]);
            for one in &keys {
                let state = if one.revoked_at.is_some() {
                    "revoked"
                } else {
                    "works"
                };
                let cells = [
                    &one.id,
                    &one.name,
                    &one.scope,
                    &one.created_at.to_rfc3339(),
                    state,
                ];
                table.push(cells.map(str::to_owned).to_vec());
            }
            for line in table.lines() {
                print(&line);
            }
        }
        KeyAction::Revoke(wish) => {
            let found = find(conn, &wish.tenant).await?;
            if !key::revoke(conn, found.id, &wish.key).await? {
                return Err(Misuse(format!("there is no key \"{}\"", plain(&wish.key))).into());
            }
            complain("the key works no more");
        }
    }
    Ok(())
}
