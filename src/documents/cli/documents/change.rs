//! `gleaner documents retry|cancel|delete`.

use clap::Args;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::json;

use crate::console::table::plain;
use crate::console::{FAILURE, Global, Misuse, OK, complain, connect, print};
use crate::documents::document;
use crate::documents::document::{Obstacle, Uid};
use crate::documents::scope;
use crate::documents::scope::TenantId;
use crate::documents::tenant;

/// Arguments of these commands.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The documents, by their document_id.
    #[arg(required = true, value_name = "ID")]
    documents: Vec<String>,
    /// The tenant: its name, or its uid.
    #[arg(long, value_name = "NAME")]
    tenant: String,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Retry,
    Cancel,
    Delete,
}

pub(super) async fn run(
    global: &Global,
    arguments: Arguments,
    wished: Change,
) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let Some(tenant) = tenant::find(&mut conn, &arguments.tenant).await? else {
        let named = plain(&arguments.tenant);
        return Err(Misuse(format!("there is no tenant \"{named}\"")).into());
    };
    let (mut results, mut code) = (Vec::new(), OK);
    for id in &arguments.documents {
        match changed(&mut conn, tenant.id, id, wished).await {
            Ok(status) => {
                if !global.json {
                    print(&format!("{id}  {status}"));
                }
                results.push(json!({ "document_id": id, "status": status }));
            }
            Err(Obstacle::Database(error)) => return Err(error.into()),
            Err(obstacle) => {
                code = FAILURE;
                if !global.json {
                    complain(&format!("{}: {obstacle}", plain(id)));
                }
                results.push(json!({ "document_id": id, "error": obstacle.to_string() }));
            }
        }
    }
    if global.json {
        print(&serde_json::to_string_pretty(&results)?);
    }
    Ok(code)
}

async fn changed(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &str,
    wished: Change,
) -> Result<String, Obstacle> {
    let uid = Uid::parse(id).ok_or(Obstacle::NotFound)?;
    conn.transaction::<_, Obstacle, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        Ok(match wished {
            Change::Retry => document::retry(conn, tenant, &uid).await?.status,
            Change::Cancel => document::cancel(conn, tenant, &uid).await?.status,
            Change::Delete => {
                document::delete(conn, tenant, &uid).await?;
                "deleted".to_owned()
            }
        })
    })
    .await
}
