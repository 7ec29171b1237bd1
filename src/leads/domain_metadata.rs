//! `domain/metadata`: home page → title, description, language, icon, technology, contacts, socials.
//!
//! Independent of sitemap discovery, which is queued beside it: a failure here never holds that up.
//!
//! A domain that leads to another site (for sale, sold, renamed, another country's) has no home page of its own. What stands
//! there is somebody else's to tell: only the address is stored, as `home_url`, and the row is Filtered. Who wants that site
//! queues its domain. Nor has one a home page where only a notice stands: a server's default page, a demand for cookies tell nothing
//! about it. The empty frame of a page that scripts would fill has a head all the same, which is stored.

use diesel::prelude::*;
use diesel::sql_types::Jsonb;
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::front;
use crate::db::statement::{records, statement};
use crate::live::Live;
use crate::settings;
use crate::web::fetch::Client;
use crate::web::page::{Document, Door, Missed, NoPage, PageError, Seen, home};
use crate::web::render::Renderer;
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::notice::Notice;
use gleaner_extract::{contacts, page};

/// Options of the workflow `domain-metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Country of telephone numbers without a country code where the page does not tell; empty for none.
    pub default_region: String,
}

impl settings::Options for Options {}

/// The workflow.
pub struct DomainMetadata {
    client: Client,
    renderer: Renderer,
    options: Live<Options>,
}

impl Configured for DomainMetadata {
    type Options = Options;

    const SAMPLE: &'static str = "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com')";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            renderer: services.renderer.clone(),
            options,
        }
    }
}

/// What a home page tells, as the columns that hold it. What it does not tell, or was not read for, becomes NULL.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metadata {
    title: Option<String>,
    description: Option<String>,
    language: Option<String>,
    favicon_url: Option<String>,
    logo_url: Option<String>,
    is_wordpress: Option<bool>,
    wordpress_version: Option<String>,
    has_elementor: Option<bool>,
    tech_stack: Option<serde_json::Value>,
    email_addresses: Option<Vec<String>>,
    phone_numbers: Option<Vec<String>>,
    facebook_url: Option<String>,
    twitter_url: Option<String>,
    linkedin_url: Option<String>,
    instagram_url: Option<String>,
    youtube_url: Option<String>,
    home_url: String,
    is_partial: Option<bool>,
}

impl Workflow for DomainMetadata {
    const NAME: &'static str = "domain-metadata";
    const TABLE: &'static str = "domain";
    const STAGE: &'static str = "metadata";
    type Input = Door;
    type Output = Metadata;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Door)>> {
        front::doors(conn, ids).await
    }

    async fn run(&self, door: Door) -> Result<Done<Metadata>, WorkflowError> {
        let region = self.options.get().default_region.clone();
        let work = move |document: &Document| read(document, &region);
        let (client, renderer) = (&self.client, &self.renderer);
        match home(client, Some(renderer), &door, work, Metadata::has_contacts).await {
            Ok(seen) => Ok(match seen.complaint(renderer) {
                Some(complaint) => Done::Filtered(complaint, Some(behind(seen))),
                None => Done::Completed(seen.told),
            }),
            Err(missed) => refused(missed),
        }
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Metadata)],
    ) -> QueryResult<()> {
        statement(include_str!("domain_metadata.sql"))
            .bind::<Jsonb, _>(records(outputs)?)
            .execute(conn)
            .await?;
        Ok(())
    }
}

impl Metadata {
    /// Nothing but where something else stands. What was known of a home page that is no more goes with it.
    fn nothing_at(url: &Url) -> Self {
        Self {
            home_url: url.to_string(),
            ..Self::default()
        }
    }

    /// Whether the page tells how to reach somebody, whatever else it is.
    fn has_contacts(&self) -> bool {
        let lists = [&self.email_addresses, &self.phone_numbers];
        lists.into_iter().flatten().any(|list| !list.is_empty())
    }
}

/// What a notice leaves to be stored: the head of a page that its scripts would fill is its own, all else is the notice's.
fn behind(seen: Seen<Metadata>) -> Metadata {
    match seen.notice {
        Some(Notice::Script) => seen.told,
        _ => Metadata::nothing_at(&seen.url),
    }
}

fn refused(missed: Missed) -> Result<Done<Metadata>, WorkflowError> {
    match missed.why {
        NoPage::Page(error) => {
            let nothing = match &error {
                PageError::OtherSite { url } => Some(Metadata::nothing_at(url)),
                PageError::NotHtml { .. } => None,
            };
            let reason = match nothing {
                Some(_) => error.to_string(),
                None => format!("the home page is {error}"),
            };
            Ok(Done::Filtered(reason, nothing))
        }
        error => Err(error.into()),
    }
}

fn read(document: &Document, region: &str) -> Metadata {
    let (parsed, url) = (&document.tree, &document.url);
    let facts = page::extract(parsed, url);
    let technology = page::technology(parsed);
    let options = contacts::Options {
        default_region: (!region.is_empty()).then_some(region),
    };
    let found = contacts::extract(parsed, url, &options);
    let social = |platform: &str| {
        found
            .socials
            .iter()
            .find(|social| social.platform == platform)
            .map(|social| social.url.clone())
    };
    Metadata {
        title: facts.title,
        description: facts.description,
        language: facts.language,
        favicon_url: facts.favicon,
        logo_url: facts.logo,
        is_wordpress: Some(technology.is_wordpress),
        wordpress_version: technology.wordpress_version,
        has_elementor: Some(technology.has_elementor),
        tech_stack: Some(json!(technology.tech)),
        email_addresses: Some(
            found
                .emails
                .iter()
                .map(|email| email.value.clone())
                .collect(),
        ),
        phone_numbers: Some(
            found
                .phones
                .iter()
                .map(|phone| phone.e164.clone())
                .collect(),
        ),
        facebook_url: social("facebook"),
        twitter_url: social("x"),
        linkedin_url: social("linkedin"),
        instagram_url: social("instagram"),
        youtube_url: social("youtube"),
        home_url: url.to_string(),
        is_partial: Some(document.is_partial),
    }
}
