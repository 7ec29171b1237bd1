//! The demo's documents: three tenants, twenty files of all kinds, two of which nobody can read; compared with what is found of them.

mod files;
mod zip;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::{Map, json};

pub(crate) use self::files::pdf_of;

use self::files::{Fate, Planted, TENANTS, files};
use super::blob::Blobs;
use super::config::Documents;
use super::intake::{self, Aside, Draft, Head, Wish};
use super::quota::{self, Refusal};
use super::search::{Filter, Hit, Query, search};
use super::tenant::Tenant;
use super::{scope, storage, tenant};
use crate::area::rehearsal::{Plan, Rehearsal, Scored, Step};
use crate::config::Config;
use crate::db::statement::sql_query;

/// Of each of the demo's tenants, in bytes.
const QUOTA: i64 = 100 << 20;
/// Some of what is missed or false, for people.
const EXAMPLES: usize = 5;

/// The part of documents.
struct Part {
    planted: Vec<Planted>,
    /// Where the files go: known once the configuration is.
    blobs: OnceLock<Arc<dyn Blobs>>,
}

/// The files of this seed.
pub(super) fn rehearse(plan: &Plan) -> Option<Box<dyn Rehearsal>> {
    plan.web.is_generated().then(|| {
        Box::new(Part {
            planted: files(plan.seed),
            blobs: OnceLock::new(),
        }) as Box<dyn Rehearsal>
    })
}

impl Rehearsal for Part {
    /// The demo's files lie apart from others.
    fn tune(&self, config: &mut Config) {
        let folder = config.embedded.data_dir().join("demo-documents");
        config.section_mut::<Documents>().storage = folder.display().to_string();
        self.blobs.get_or_init(|| storage::of(config));
    }

    fn strangers<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Option<String>> {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        Box::pin(async move {
            let row: Count = sql_query(
                "SELECT count(*) FROM documents JOIN tenant ON tenant.id = tenant_id WHERE tenant.name <> ALL ($1)",
            )
            .bind::<Array<Text>, _>(TENANTS.as_slice())
            .get_result(conn)
            .await?;
            Ok((row.count > 0).then(|| format!("{} documents", row.count)))
        })
    }

    fn plant<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, ()> {
        Box::pin(async move {
            let Some(blobs) = self.blobs.get() else {
                return Ok(());
            };
            for file in &self.planted {
                tenant::create(conn, file.tenant, QUOTA).await?;
                let tenant = of_name(conn, file.tenant).await?;
                let uploaded = upload(conn, &**blobs, &tenant, file).await;
                uploaded.map_err(|refusal| match refusal {
                    Refusal::Database(error) => error,
                    other => DieselError::QueryBuilderError(Box::new(other)),
                })?;
            }
            Ok(())
        })
    }

    fn go_on<'a>(&'a self, _conn: &'a mut AsyncPgConnection) -> Step<'a, bool> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn score<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Scored> {
        Box::pin(async move {
            let mut score = Score::default();
            for file in &self.planted {
                score.add(conn, file).await?;
            }
            Ok(score.told(self.planted.len()))
        })
    }
}

async fn of_name(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<Tenant> {
    let found = tenant::find(conn, name).await?;
    found.ok_or(DieselError::NotFound)
}

/// Uploads a file, as a client would.
async fn upload(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    tenant: &Tenant,
    file: &Planted,
) -> Result<(), Refusal> {
    let mut draft = Draft::new(blobs).await.map_err(Refusal::Storage)?;
    let bytes = Bytes::from(file.bytes.clone());
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    draft.write(bytes).await.map_err(Refusal::Storage)?;
    let mime = match intake::kind_of(draft.head(), file.name) {
        Head::Of(mime) => mime,
        Head::Refused(_) => "application/octet-stream",
    };
    let whole = draft.finish().await.map_err(Refusal::Storage)?;
    let reservation = conn
        .transaction::<_, Refusal, _>(async |conn| {
            scope::enter(conn, tenant.id).await?;
            quota::reserve(conn, tenant.id, length).await
        })
        .await?;
    let kept = intake::keep(blobs, &tenant.uid, whole, mime).await?;
    let wish = Wish {
        name: file.name.to_owned(),
        ..Wish::default()
    };
    let aside = Aside::Reservation(reservation);
    intake::settle(conn, blobs, tenant.id, &tenant.uid, &kept, &wish, &aside).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct State {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    error_code: Option<String>,
}

async fn state(conn: &mut AsyncPgConnection, file: &Planted) -> QueryResult<Option<State>> {
    sql_query(
        "SELECT status, error_code FROM documents JOIN tenant ON tenant.id = tenant_id \
         WHERE name = $1 AND filename = $2 AND deleted_at IS NULL",
    )
    .bind::<Text, _>(file.tenant)
    .bind::<Text, _>(file.name)
    .get_result(conn)
    .await
    .optional()
}

/// What this tenant finds of a word.
async fn hits(conn: &mut AsyncPgConnection, tenant: &str, word: &str) -> QueryResult<Vec<Hit>> {
    let tenant = of_name(conn, tenant).await?;
    let query =
        Query::parse(word).map_err(|error| DieselError::QueryBuilderError(Box::new(error)))?;
    let found = search(conn, tenant.id, &query, &Filter::default(), None, 10).await?;
    Ok(found.map(|found| found.hits).unwrap_or_default())
}

/// What was found of what was planted.
#[derive(Debug, Default)]
struct Score {
    found: usize,
    failed: usize,
    missed: usize,
    wrong: usize,
    /// A hit, for people.
    shown: Option<String>,
    examples: Vec<String>,
}

impl Score {
    async fn add(&mut self, conn: &mut AsyncPgConnection, file: &Planted) -> QueryResult<()> {
        let state = state(conn, file).await?;
        let told = match &state {
            Some(state) => state.error_code.as_ref().unwrap_or(&state.status).as_str(),
            None => "not there",
        };
        let name = format!("{}/{}", file.tenant, file.name);
        let Fate::Found { word, page } = &file.fate else {
            if told == "ready" {
                self.wrong += 1;
                self.example(format!("{name} cannot be read, and is ready"));
            } else if state.as_ref().is_some_and(|state| state.status == "failed") {
                self.failed += 1;
            } else {
                self.missed += 1;
                self.example(format!("{name} is {told}"));
            }
            return Ok(());
        };
        let mut is_found = false;
        for tenant in TENANTS {
            for hit in hits(conn, tenant, word).await? {
                let is_right =
                    tenant == file.tenant && hit.filename == file.name && hit.page == *page;
                is_found |= is_right;
                if is_right && *page > 1 && self.shown.is_none() {
                    self.shown = Some(format!(
                        "{tenant} searches {word}: {}, page {}",
                        hit.filename, hit.page
                    ));
                }
                // The word may be another file's, too: of the same bytes, at another tenant.
                if !is_right && (tenant == file.tenant || hit.filename != file.name) {
                    self.wrong += 1;
                    self.example(format!(
                        "{tenant} finds {word} in {}, page {}",
                        hit.filename, hit.page
                    ));
                }
            }
        }
        if is_found {
            self.found += 1;
        } else {
            self.missed += 1;
            self.example(format!(
                "{name} is {told}, and {word} is not found on its page {page}"
            ));
        }
        Ok(())
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }

    fn told(self, planted: usize) -> Scored {
        let Self {
            found,
            failed,
            missed,
            wrong,
            ..
        } = self;
        let counts = json!({
            "planted": planted, "found": found, "refused": failed, "missed": missed, "false": wrong,
        });
        let mut lines = vec![format!(
            "documents: {planted} planted, {found} found on their pages, {failed} rightly failed, {missed} missed, {wrong} false"
        )];
        lines.extend(self.shown);
        Scored {
            is_right: missed == 0 && wrong == 0 && found + failed == planted,
            json: Map::from_iter([("documents".to_owned(), counts)]),
            lines,
            examples: self.examples,
        }
    }
}
