//! How the home page of a domain is come to, as its two workflows are told.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::AsyncPgConnection;

use crate::db::statement::statement;
use crate::web::page::Door;
use crate::workflow::ItemId;
use gleaner_extract::domain;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    domain: String,
    #[diesel(sql_type = Nullable<Text>)]
    website: Option<String>,
}

/// The front doors of these domains: at the name first that the business itself gave, the oldest of those that share one.
///
/// # Errors
/// Whatever the database answers.
pub(super) async fn doors(
    conn: &mut AsyncPgConnection,
    ids: &[ItemId],
) -> QueryResult<Vec<(ItemId, Door)>> {
    let rows: Vec<Row> = statement(
        "SELECT id, domain, (SELECT website FROM local_business WHERE domain_id = domain.id ORDER BY id LIMIT 1) AS website \
         FROM domain WHERE id = ANY($1)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.door())).collect())
}

impl Row {
    fn door(self) -> Door {
        let given = self.website.as_deref().and_then(domain::host);
        let with_www = format!("www.{}", self.domain);
        Door {
            is_www: given.is_some_and(|given| given == with_www),
            host: self.domain,
        }
    }
}
