//! `page/link_check`: page → the HTTP status that its address answers with.

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, SmallInt};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::db::keyed;
use crate::db::statement::statement;
use crate::live::Live;
use crate::settings;
use crate::web::fetch::{Client, RequestOptions};
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};

/// Options of the workflow `link-check`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// At most so much of the answer is read, in bytes: it is the status that counts.
    pub max_bytes: u64,
}

impl settings::Options for Options {}

/// The workflow.
pub struct LinkCheck {
    client: Client,
    options: Live<Options>,
}

impl Configured for LinkCheck {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com');
        INSERT INTO page (domain_id, url) SELECT id, 'https://kettle-example.com/contact' FROM domain";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            options,
        }
    }
}

impl Workflow for LinkCheck {
    const NAME: &'static str = "link-check";
    const TABLE: &'static str = "page";
    const STAGE: &'static str = "link_check";
    type Input = String;
    type Output = i16;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, String)>> {
        keyed::names(
            conn,
            "SELECT id, url AS text FROM page WHERE id = ANY($1)",
            ids,
        )
        .await
    }

    async fn run(&self, url: String) -> Result<Done<i16>, WorkflowError> {
        let url = Url::parse(&url).map_err(|error| WorkflowError::permanent("bad_url", error))?;
        let request = RequestOptions {
            max_body_bytes: Some(self.options.get().max_bytes),
            truncate: true,
            ..RequestOptions::default()
        };
        // Whatever it answers is what was asked for. No answer is an error that says itself whether to ask again.
        let response = self.client.get_with(&url, request).await?;
        Ok(Done::Completed(response.status.cast_signed()))
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &i16)],
    ) -> QueryResult<()> {
        let (ids, statuses): (Vec<ItemId>, Vec<i16>) =
            outputs.iter().map(|(id, status)| (*id, **status)).unzip();
        statement(
            "UPDATE page SET http_status = seen.status, http_status_at = now() \
             FROM unnest($1, $2) AS seen(id, status) WHERE page.id = seen.id",
        )
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<SmallInt>, _>(statuses)
        .execute(conn)
        .await?;
        Ok(())
    }
}
