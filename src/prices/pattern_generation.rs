//! `site/pattern`: a site's stored pages → a pattern that reads them, tried before it is used.
//!
//! stored pages with the prices known of them → candidates → trial on all of these pages → a new active version, or a rejected
//! one with the reason and a flag. A pattern that works is never replaced by one that works less well. Queued when a site's
//! pages could not be read three times in a row, by pattern-health, or by anybody.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::compute::compute;
use crate::live::Live;
use crate::prices::flag;
use crate::prices::pattern;
use crate::prices::pattern::NewVersion;
use crate::settings;
use crate::web::page::Document;
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::offer::{Availability, availability_of, offer_of};
use gleaner_extract::pattern::Pattern;
use gleaner_extract::pattern::learn::{self, Learnt, Sample, Trial};
use gleaner_extract::price::{Amount, Currency};

/// An offer read from a page itself is believed from this confidence on.
const MIN_OFFER_CONFIDENCE: f32 = 0.6;

/// The flags that a pattern which works puts an end to.
const SETTLED: &[&str] = &["pattern_generation_failed", "pattern_low_confidence"];

/// Options of the workflow `pattern-generation`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A pattern less sure than this is rejected.
    pub min_confidence: f64,
    /// Learnt from and tried on so many pages at most.
    pub pages: u32,
    /// The largest page, decompressed, in bytes.
    pub max_page_bytes: u64,
}

impl settings::Options for Options {}

/// The workflow.
pub struct PatternGeneration {
    options: Live<Options>,
}

impl Configured for PatternGeneration {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO site (domain) VALUES ('kettle-example.com');
        INSERT INTO product_url (site_id, raw_url, url, url_hash, title)
            SELECT id, 'https://kettle-example.com/kettle', 'https://kettle-example.com/kettle', 'kettle', 'Kettle' FROM site";

    fn new(_services: &Services, options: Live<Options>) -> Self {
        Self { options }
    }
}

/// A site with what its pattern is learnt from: its pages, and what is active now.
#[derive(Clone, Debug)]
pub struct SiteAndPages {
    domain: String,
    currency: Option<String>,
    active: Option<String>,
    pages: Vec<StoredPage>,
}

/// A stored page, and what was last recorded of it.
#[derive(Clone, Debug)]
struct StoredPage {
    url: String,
    body: Vec<u8>,
    price: Option<String>,
    currency: Option<String>,
    availability: Option<String>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    site_id: i64,
    #[diesel(sql_type = Text)]
    domain: String,
    #[diesel(sql_type = Nullable<Text>)]
    site_currency: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    active: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    url: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    body: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    availability: Option<String>,
}

/// What came of learning.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// A pattern to use from now on.
    Activate {
        pattern: Value,
        /// How it did.
        tested: Value,
        /// Why it is better than what there was.
        reason: String,
    },
    /// The active pattern works as well as anything learnt.
    Keep {
        /// How it did.
        reason: String,
    },
    /// Nothing that can be used.
    Reject {
        /// What was learnt all the same.
        pattern: Option<Value>,
        /// How it did.
        tested: Value,
        /// Why it is not used.
        reason: String,
    },
}

impl Workflow for PatternGeneration {
    const NAME: &'static str = "pattern-generation";
    const TABLE: &'static str = "site";
    const STAGE: &'static str = "pattern";
    type Input = SiteAndPages;
    type Output = Verdict;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, SiteAndPages)>> {
        let rows: Vec<Row> = sql_query(include_str!("pattern_generation.sql"))
            .bind::<Array<BigInt>, _>(ids)
            .bind::<BigInt, _>(i64::from(self.options.get().pages))
            .load(conn)
            .await?;
        let mut sites: Vec<(ItemId, SiteAndPages)> = Vec::new();
        for row in rows {
            let page = row.url.zip(row.body).map(|(url, body)| StoredPage {
                url,
                body,
                price: row.price,
                currency: row.currency,
                availability: row.availability,
            });
            match sites.iter_mut().find(|(id, _)| *id == row.site_id) {
                Some((_, site)) => site.pages.extend(page),
                None => sites.push((
                    row.site_id,
                    SiteAndPages {
                        domain: row.domain,
                        currency: row.site_currency,
                        active: row.active,
                        pages: page.into_iter().collect(),
                    },
                )),
            }
        }
        Ok(sites)
    }

    async fn run(&self, site: SiteAndPages) -> Result<Done<Verdict>, WorkflowError> {
        if site.pages.is_empty() {
            return Ok(Done::Filtered(
                "no page of this site is stored yet".to_owned(),
                None,
            ));
        }
        let options = self.options.get();
        let verdict = compute(move || judge(&site, &options)).await;
        Ok(match verdict {
            Verdict::Keep { reason } => Done::Filtered(reason, None),
            Verdict::Reject { ref reason, .. } => {
                let error = WorkflowError::permanent("learn", reason.clone());
                Done::Failed(error, verdict)
            }
            Verdict::Activate { .. } => Done::Completed(verdict),
        })
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Verdict)],
    ) -> QueryResult<()> {
        let mut outputs = outputs.to_vec();
        outputs.sort_by_key(|(site, _)| *site);
        for (site, verdict) in outputs {
            match verdict {
                Verdict::Activate {
                    pattern,
                    tested,
                    reason,
                } => {
                    let version = new_version(pattern, tested, reason);
                    pattern::activate(conn, site, &version).await?;
                    flag::close(conn, SETTLED, site).await?;
                    // From here on it is the new pattern that is judged.
                    sql_query("UPDATE site SET extraction_failures = 0 WHERE id = $1")
                        .bind::<BigInt, _>(site)
                        .execute(conn)
                        .await?;
                }
                Verdict::Reject {
                    pattern,
                    tested,
                    reason,
                } => {
                    if let Some(pattern) = pattern {
                        let version = new_version(pattern, tested, reason);
                        pattern::reject(conn, site, &version).await?;
                    }
                    flag::open(conn, "pattern_generation_failed", site, reason).await?;
                }
                Verdict::Keep { .. } => {}
            }
        }
        Ok(())
    }
}

fn new_version<'a>(pattern: &'a Value, tested: &'a Value, reason: &'a str) -> NewVersion<'a> {
    NewVersion {
        pattern,
        source: "generated",
        reason,
        tested: Some(tested),
    }
}

/// Learns from a site's pages, and says what is to be made of it.
fn judge(site: &SiteAndPages, options: &Options) -> Verdict {
    let pages: Vec<Known> = site
        .pages
        .iter()
        .filter_map(|page| known(page, site, options))
        .collect();
    let samples: Vec<Sample<'_>> = pages
        .iter()
        .map(|known| Sample {
            page: &known.document.tree,
            url: &known.document.url,
            price: known.price,
            currency: known.currency,
            availability: known.availability,
        })
        .collect();
    let active = site
        .active
        .as_deref()
        .and_then(|json| Pattern::parse(json).ok());
    let before = active
        .as_ref()
        .map(|pattern| learn::test(pattern, &samples))
        .filter(|trial| trial.pages > 0);
    decide(
        learn::learn(&site.domain, &samples),
        before,
        samples.len(),
        options,
    )
}

struct Known {
    document: Document,
    price: Option<Amount>,
    currency: Option<Currency>,
    availability: Option<Availability>,
}

/// A page with what it tells by itself, or else what was last recorded of it.
fn known(stored: &StoredPage, site: &SiteAndPages, options: &Options) -> Option<Known> {
    let url = Url::parse(&stored.url).ok()?;
    let document = Document::unpack(url, &stored.body, options.max_page_bytes)?;
    let offer = offer_of(&document.tree, Some(&document.url));
    let is_sure = offer.price.is_some() && offer.confidence >= MIN_OFFER_CONFIDENCE;
    let price = offer
        .price
        .filter(|_| is_sure)
        .or_else(|| stored.price.as_deref()?.parse().ok());
    let code = |code: Option<&str>| code.and_then(Currency::from_code);
    let currency = offer
        .currency
        .filter(|_| is_sure)
        .or_else(|| code(stored.currency.as_deref()))
        .or_else(|| code(site.currency.as_deref()));
    let availability = offer
        .availability
        .or_else(|| stored.availability.as_deref().and_then(availability_of));
    Some(Known {
        document,
        price: price.filter(|price| !price.is_zero()),
        currency,
        availability,
    })
}

/// Whether what was learnt is used. `before` is how the active pattern does on the same pages.
fn decide(
    learnt: Option<Learnt>,
    before: Option<Trial>,
    pages: usize,
    options: &Options,
) -> Verdict {
    let Some(Learnt {
        pattern,
        trial,
        confidence,
    }) = learnt
    else {
        return Verdict::Reject {
            pattern: None,
            tested: json!({ "pages": pages, "active": before }),
            reason: format!("no selector finds the price on the {pages} stored pages"),
        };
    };
    let tested =
        json!({ "pages": pages, "trial": trial, "confidence": confidence, "active": before });
    let found = format!(
        "the price was found on {} of {} pages",
        trial.right, trial.pages
    );
    let pattern = serde_json::to_value(&pattern).unwrap_or_default();
    if confidence < options.min_confidence {
        return Verdict::Reject {
            pattern: Some(pattern),
            tested,
            reason: format!(
                "{found}, confidence {confidence:.2} is below {:.2}",
                options.min_confidence
            ),
        };
    }
    // One page proves little where there are more.
    if trial.right < 2 && pages >= 2 {
        return Verdict::Reject {
            pattern: Some(pattern),
            tested,
            reason: format!("{found}, which is too few"),
        };
    }
    match before {
        Some(before) if (before.right, trial.wrong) >= (trial.right, before.wrong) => {
            Verdict::Keep {
                reason: format!("{found}, by the active pattern on {}", before.right),
            }
        }
        _ => Verdict::Activate {
            pattern,
            tested,
            reason: found,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options {
        min_confidence: 0.7,
        pages: 5,
        max_page_bytes: 1 << 20,
    };

    fn trial(pages: usize, right: usize, wrong: usize) -> Trial {
        Trial {
            pages,
            right,
            wrong,
        }
    }

    fn learnt(trial: Trial, confidence: f64) -> Learnt {
        let json = r#"{"store_domain": "shop.example", "patterns":
            {"price": {"primary": {"type": "css", "selector": ".price", "confidence": 0.8}, "fallbacks": []}}}"#;
        Learnt {
            pattern: Pattern::parse(json).unwrap(),
            trial,
            confidence,
        }
    }

    /// PT-19: a pattern is tried before it is used, and never replaces one that works as well.
    #[test]
    fn a_pattern_is_used_only_if_it_is_good_and_better() {
        let all = trial(5, 5, 0);
        for (what, found, before, expected) in [
            ("nothing learnt", None, None, "reject"),
            ("good, none before", Some((all, 0.9)), None, "activate"),
            ("unsure", Some((all, 0.69)), None, "reject"),
            (
                "right once among many",
                Some((trial(1, 1, 0), 0.9)),
                None,
                "reject",
            ),
            ("better", Some((all, 0.9)), Some(trial(5, 2, 0)), "activate"),
            ("as good", Some((all, 0.9)), Some(all), "keep"),
            ("worse", Some((trial(5, 4, 0), 0.8)), Some(all), "keep"),
            (
                "as often right, less often wrong",
                Some((trial(5, 4, 0), 0.8)),
                Some(trial(5, 4, 1)),
                "activate",
            ),
        ] {
            let found = found.map(|(trial, confidence)| learnt(trial, confidence));
            let verdict = match decide(found, before, 5, &OPTIONS) {
                Verdict::Activate { .. } => "activate",
                Verdict::Keep { .. } => "keep",
                Verdict::Reject { .. } => "reject",
            };
            assert_eq!(verdict, expected, "{what}");
        }
        // A site with one page has no other to try it on.
        let single = decide(Some(learnt(trial(1, 1, 0), 0.9)), None, 1, &OPTIONS);
        assert!(matches!(single, Verdict::Activate { .. }));
    }
}
