//! `domain/metadata`: home page → title, description, language, icon, technology, contacts, socials.
//!
//! Independent of sitemap discovery, which is queued beside it: a failure here never holds that up.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::compute::compute;
use crate::db::schema::domain;
use crate::live::Live;
use crate::web::fetch::{Client, home_page};
use crate::workflow::{Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::{contacts, html, media, page};

/// Options of the workflow `domain-metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Country of telephone numbers without a country code where the page does not tell; empty for none.
    pub default_region: String,
}

/// The workflow.
pub struct DomainMetadata {
    client: Client,
    options: Live<Options>,
}

impl DomainMetadata {
    /// With these services and options.
    #[must_use]
    pub fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            options,
        }
    }
}

/// What a home page tells, as the columns that hold it. What it does not tell becomes NULL.
#[derive(Clone, Debug, PartialEq, AsChangeset)]
#[diesel(table_name = domain, treat_none_as_null = true)]
pub struct Metadata {
    title: Option<String>,
    description: Option<String>,
    language: Option<String>,
    favicon_url: Option<String>,
    logo_url: Option<String>,
    is_wordpress: bool,
    wordpress_version: Option<String>,
    has_elementor: bool,
    tech_stack: serde_json::Value,
    email_addresses: Vec<String>,
    phone_numbers: Vec<String>,
    facebook_url: Option<String>,
    twitter_url: Option<String>,
    linkedin_url: Option<String>,
    instagram_url: Option<String>,
    youtube_url: Option<String>,
    home_url: String,
}

impl Workflow for DomainMetadata {
    const NAME: &'static str = "domain-metadata";
    const TABLE: &'static str = "domain";
    const STAGE: &'static str = "metadata";
    type Input = String;
    type Output = Metadata;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, String)>> {
        domain::table
            .filter(domain::id.eq_any(ids))
            .select((domain::id, domain::domain_))
            .load(conn)
            .await
    }

    async fn run(&self, host: String) -> Result<Done<Metadata>, WorkflowError> {
        let response = home_page(&self.client, &host).await?.error_for_status()?;
        if !media::is_html(response.content_type.as_deref(), &response.body) {
            let kind = response.content_type.unwrap_or_default();
            return Ok(Done::Filtered(
                format!("the home page is not HTML ({kind})"),
                None,
            ));
        }
        let region = self.options.get().default_region.clone();
        Ok(Done::Completed(
            compute(move || {
                let text = html::decode(&response.body, response.content_type.as_deref()).text;
                read(&html::Page::parse(&text), &response.url, &region)
            })
            .await,
        ))
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Metadata)],
    ) -> QueryResult<()> {
        for (id, metadata) in outputs {
            diesel::update(domain::table.find(id))
                .set(*metadata)
                .execute(conn)
                .await?;
        }
        Ok(())
    }
}

fn read(parsed: &html::Page, url: &url::Url, region: &str) -> Metadata {
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
        is_wordpress: technology.is_wordpress,
        wordpress_version: technology.wordpress_version,
        has_elementor: technology.has_elementor,
        tech_stack: json!(technology.tech),
        email_addresses: found
            .emails
            .iter()
            .map(|email| email.value.clone())
            .collect(),
        phone_numbers: found
            .phones
            .iter()
            .map(|phone| phone.e164.clone())
            .collect(),
        facebook_url: social("facebook"),
        twitter_url: social("x"),
        linkedin_url: social("linkedin"),
        instagram_url: social("instagram"),
        youtube_url: social("youtube"),
        home_url: url.to_string(),
    }
}
