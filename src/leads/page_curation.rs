//! `page/curation`: page → every e-mail, phone and social link with source and confidence; title, description, type.
//!
//! Nothing is invented: what is not found is NULL, and a page without contacts is a page without contacts.

use std::sync::Arc;

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Float, Jsonb, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::db::statement::{records, statement};
use crate::live::Live;
use crate::settings;
use crate::web::fetch::Client;
use crate::web::page::{self, Document, NoPage};
use crate::web::render::Renderer;
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::url::TrackingParameters;
use gleaner_extract::{contacts, page as facts};

/// Options of the workflow `page-curation`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Country of telephone numbers without a country code where the page does not tell; empty for none.
    pub default_region: String,
}

impl settings::Options for Options {}

/// The workflow.
pub struct PageCuration {
    client: Client,
    renderer: Renderer,
    tracking: Arc<TrackingParameters>,
    options: Live<Options>,
}

impl Configured for PageCuration {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com');
        INSERT INTO page (domain_id, url) SELECT id, 'https://kettle-example.com/contact' FROM domain";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            renderer: services.renderer.clone(),
            tracking: Arc::clone(&services.tracking),
            options,
        }
    }
}

/// A page to fetch.
#[derive(Clone, Debug, QueryableByName)]
pub struct Input {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = BigInt)]
    domain_id: i64,
    #[diesel(sql_type = Text)]
    registrable: String,
}

/// What a page holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Curated {
    domain_id: i64,
    source_url: String,
    facts: Facts,
    contacts: Vec<Contact>,
}

/// What a page tells of itself, as the columns that hold it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Facts {
    title: Option<String>,
    description: Option<String>,
    language: Option<String>,
    h1: Option<String>,
    canonical_url: Option<String>,
    meta_robots: Option<String>,
    word_count: i32,
    has_contact_form: bool,
    schema_types: Vec<String>,
    is_partial: bool,
    contact_scrape_status: &'static str,
}

/// One way to reach somebody.
#[derive(Clone, Debug, PartialEq)]
struct Contact {
    kind: &'static str,
    value: String,
    detail: String,
    raw: Option<String>,
    source: &'static str,
    confidence: f32,
}

impl Workflow for PageCuration {
    const NAME: &'static str = "page-curation";
    const TABLE: &'static str = "page";
    const STAGE: &'static str = "curation";
    const ENDS_IN: Option<&'static str> = Some("contact");
    type Input = Input;
    type Output = Curated;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Input)>> {
        let rows: Vec<Input> = statement(
            "SELECT page.id, url, domain_id, registrable_domain AS registrable \
             FROM page JOIN domain ON domain.id = domain_id WHERE page.id = ANY($1)",
        )
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    async fn run(&self, input: Input) -> Result<Done<Curated>, WorkflowError> {
        let url =
            Url::parse(&input.url).map_err(|error| WorkflowError::permanent("bad_url", error))?;
        let site = input.registrable.as_str();
        let landing = match page::get(&self.client, &url, site).await {
            Ok(landing) => landing,
            Err(NoPage::Page(error)) => return Ok(Done::Filtered(error.to_string(), None)),
            Err(error) => return Err(error.into()),
        };
        let region = self.options.get().default_region.clone();
        let tracking = Arc::clone(&self.tracking);
        let work = move |document: &Document| read(document, input.domain_id, &region, &tracking);
        let tells = |curated: &Curated| !curated.contacts.is_empty();
        let seen = landing
            .read_or_render(&self.renderer, site, work, tells)
            .await?;
        Ok(match seen.complaint(&self.renderer) {
            Some(complaint) => Done::Filtered(complaint, None),
            None => Done::Completed(seen.told),
        })
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Curated)],
    ) -> QueryResult<()> {
        let facts: Vec<(ItemId, &Facts)> = outputs
            .iter()
            .map(|(id, curated)| (*id, &curated.facts))
            .collect();
        statement(include_str!("page_curation/facts.sql"))
            .bind::<Jsonb, _>(records(&facts)?)
            .execute(conn)
            .await?;
        store_contacts(conn, outputs).await
    }
}

fn read(
    document: &Document,
    domain_id: i64,
    region: &str,
    tracking: &TrackingParameters,
) -> Curated {
    let (parsed, url) = (&document.tree, &document.url);
    let told = facts::extract_with(tracking, parsed, url);
    let options = contacts::Options {
        default_region: (!region.is_empty()).then_some(region),
    };
    let found = contacts::extract(parsed, url, &options);
    let emails = found.emails.into_iter().map(|email| Contact {
        kind: "email",
        value: email.value,
        detail: email.kind.as_str().to_owned(),
        raw: None,
        source: email.source.as_str(),
        confidence: email.confidence,
    });
    let phones = found.phones.into_iter().map(|phone| Contact {
        kind: "phone",
        value: phone.e164,
        detail: phone.kind.as_str().to_owned(),
        raw: Some(phone.raw),
        source: phone.source.as_str(),
        confidence: phone.confidence,
    });
    let socials = found.socials.into_iter().map(|social| Contact {
        kind: "social",
        value: social.url,
        detail: social.platform.to_owned(),
        raw: Some(social.handle),
        source: "link",
        confidence: 1.0,
    });
    let contacts: Vec<Contact> = emails.chain(phones).chain(socials).collect();
    Curated {
        domain_id,
        source_url: url.to_string(),
        facts: Facts {
            title: told.title,
            description: told.description,
            language: told.language,
            h1: told.h1,
            canonical_url: told.canonical,
            meta_robots: told.meta_robots,
            word_count: i32::try_from(told.word_count).unwrap_or(i32::MAX),
            has_contact_form: told.has_contact_form,
            schema_types: told.schema_types.into_iter().collect(),
            is_partial: document.is_partial,
            contact_scrape_status: if contacts.is_empty() {
                "NoContactFound"
            } else {
                "ContactFound"
            },
        },
        contacts,
    }
}

/// Each contact once per domain, as attested best.
async fn store_contacts(
    conn: &mut AsyncPgConnection,
    outputs: &[(ItemId, &Curated)],
) -> QueryResult<()> {
    let rows: Vec<(ItemId, &Curated, &Contact)> = outputs
        .iter()
        .flat_map(|(id, curated)| {
            curated
                .contacts
                .iter()
                .map(move |contact| (*id, *curated, contact))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sql_query(include_str!("page_curation.sql"))
        .bind::<Array<BigInt>, _>(
            rows.iter()
                .map(|(_, curated, _)| curated.domain_id)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(.., contact)| contact.kind)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(.., contact)| contact.value.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(.., contact)| contact.detail.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            rows.iter()
                .map(|(.., contact)| contact.raw.as_deref())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(.., contact)| contact.source)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Float>, _>(
            rows.iter()
                .map(|(.., contact)| contact.confidence)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(_, curated, _)| curated.source_url.as_str())
                .collect::<Vec<_>>(),
        )
        .execute(conn)
        .await?;
    Ok(())
}
