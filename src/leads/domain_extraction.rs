//! `local_business/domain_extraction`: website → canonical host → `domain`, linked.
//!
//! No website, and websites on social networks and directories, are `Filtered` with the reason: there is no domain of the
//! business's own. Several businesses may share a domain.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};

use crate::db::keyed;
use crate::live::Live;
use crate::settings;
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::domain::{self, DomainError};

/// Options of the workflow `domain-extraction`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether new domains go on to metadata and sitemap discovery by themselves.
    pub advance: bool,
}

impl settings::Options for Options {}

/// The workflow.
pub struct DomainExtraction {
    options: Live<Options>,
}

impl Configured for DomainExtraction {
    type Options = Options;

    const SAMPLE: &'static str = "INSERT INTO local_business (name, website) VALUES ('Brass Kettle', 'https://www.kettle-example.com/about')";

    fn new(_services: &Services, options: Live<Options>) -> Self {
        Self { options }
    }
}

/// The domain of a business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    host: String,
    registrable: String,
}

impl Workflow for DomainExtraction {
    const NAME: &'static str = "domain-extraction";
    const TABLE: &'static str = "local_business";
    const STAGE: &'static str = "domain_extraction";
    type Input = Option<String>;
    type Output = Found;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Option<String>)>> {
        keyed::texts(
            conn,
            "SELECT id, website AS text FROM local_business WHERE id = ANY($1)",
            ids,
        )
        .await
    }

    async fn run(&self, website: Option<String>) -> Result<Done<Found>, WorkflowError> {
        match domain::site(website.as_deref().unwrap_or_default()) {
            Ok(site) => Ok(Done::Completed(Found {
                host: site.host,
                registrable: site.registrable,
            })),
            Err(DomainError::Empty) => Ok(Done::Filtered("no website".to_owned(), None)),
            Err(excluded @ DomainError::Excluded { .. }) => {
                Ok(Done::Filtered(excluded.to_string(), None))
            }
            Err(error) => Err(WorkflowError::permanent("website", error)),
        }
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Found)],
    ) -> QueryResult<()> {
        let businesses: Vec<i64> = outputs.iter().map(|(id, _)| *id).collect();
        let hosts: Vec<&str> = outputs
            .iter()
            .map(|(_, found)| found.host.as_str())
            .collect();
        let registrable: Vec<&str> = outputs
            .iter()
            .map(|(_, found)| found.registrable.as_str())
            .collect();
        sql_query(
            "INSERT INTO domain (domain, registrable_domain, status) \
             SELECT DISTINCT ON (host) host, registrable, CASE WHEN $3 THEN 'Selected' ELSE 'New' END \
             FROM unnest($1, $2) AS fresh(host, registrable) ORDER BY host \
             ON CONFLICT (domain) DO NOTHING",
        )
        .bind::<Array<Text>, _>(&hosts)
        .bind::<Array<Text>, _>(&registrable)
        .bind::<Bool, _>(self.options.get().advance)
        .execute(conn)
        .await?;
        sql_query(
            "UPDATE local_business SET domain_id = domain.id \
             FROM unnest($1, $2) AS found(business, host) JOIN domain ON domain.domain = found.host \
             WHERE local_business.id = found.business",
        )
        .bind::<Array<BigInt>, _>(&businesses)
        .bind::<Array<Text>, _>(&hosts)
        .execute(conn)
        .await?;
        Ok(())
    }
}
