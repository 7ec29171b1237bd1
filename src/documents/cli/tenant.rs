//! `gleaner tenant`: whose documents there are. A key is shown once, when it is made; only its hash is stored.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::console::table::{Table, plain};
use crate::console::{Global, Misuse, OK, connect, print};
use crate::documents::config::Documents;
use crate::documents::key::{self, Scope};
use crate::documents::tenant;

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
}

#[derive(Clone, Debug, Args)]
struct Create {
    /// Its name.
    name: String,
    /// Bytes that its files may take; unless given, documents.quota_bytes.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(i64).range(0..=1 << 50))]
    quota: Option<i64>,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    match arguments.action {
        Action::Create(create) => {
            let name = create.name.trim();
            if name.is_empty() || name.chars().count() > 100 {
                return Err(Misuse("a tenant's name has 1 to 100 characters".to_owned()).into());
            }
            let quota = match create.quota {
                Some(quota) => quota,
                None => i64::try_from(config.section::<Documents>().quota_bytes)?,
            };
            let Some(created) = tenant::create(&mut conn, name, quota).await? else {
                return Err(Misuse(format!("there is a tenant \"{}\"", plain(name))).into());
            };
            let secret = key::generate().context("the system gives no random bytes")?;
            key::store(&mut conn, created.id, &secret, "", Scope::Write, None).await?;
            if global.json {
                print(
                    &json!({ "tenant": created.uid, "name": created.name, "key": secret.expose() })
                        .to_string(),
                );
            } else {
                print(&format!("tenant {}", created.uid));
                print(&format!("key    {}", secret.expose()));
            }
        }
        Action::List => {
            let tenants = tenant::list(&mut conn).await?;
            if global.json {
                print(&serde_json::to_string_pretty(&tenants)?);
                return Ok(OK);
            }
            let mut table = Table::new(&["TENANT", "NAME", ">USED", ">RESERVED", ">QUOTA"]);
            for one in &tenants {
                table.push(vec![
                    one.uid.clone(),
                    plain(&one.name),
                    one.used_bytes.to_string(),
                    one.reserved_bytes.to_string(),
                    one.quota_bytes.to_string(),
                ]);
            }
            for line in table.lines() {
                print(&line);
            }
        }
    }
    Ok(OK)
}
