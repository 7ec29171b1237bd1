//! `place/deep_scan`: Places Details API → `local_business`.
//!
//! The field mask is exactly what is stored. A re-scan updates the columns that come from the API and nothing else: what
//! people and later stages wrote (status, notes, the domain) stays.

use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Double, Integer, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::db::keyed;
use crate::live::Live;
use crate::secret::Secret;
use crate::settings::{self, Problem};
use crate::telemetry::chain;
use crate::web::fetch::{Client, RequestOptions};
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};

/// Options of the workflow `deep-scan`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where the Places API is.
    pub base_url: String,
    pub api_key: Secret,
    /// How long the workflow rests when the quota is used up and the API does not say for how long.
    #[serde(with = "humantime_serde")]
    pub quota_rest: Duration,
    /// Whether new businesses go on to domain extraction by themselves.
    pub advance: bool,
}

impl settings::Options for Options {
    fn check(&self) -> Result<(), Problem> {
        let problem = match Url::parse(&self.base_url) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "must not hold a user or a password, which are never sent".to_owned()
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") => return Ok(()),
            Ok(_other) => "must be an http:// or https:// URL".to_owned(),
            Err(error) => format!("is no URL: {error}"),
        };
        Err(("base_url".to_owned(), problem))
    }
}

/// What is asked for, and stored: nothing is paid for and dropped.
const FIELDS: &str = "place_id,name,formatted_address,address_component,international_phone_number,website,rating,\
    user_ratings_total,price_level,opening_hours,business_status,type,geometry/location,utc_offset";

/// How long it rests when the API refuses the key: until then no attempt is burnt on it.
const REFUSED_REST: Duration = Duration::from_secs(300);

/// The workflow.
pub struct DeepScan {
    client: Client,
    options: Live<Options>,
}

impl Configured for DeepScan {
    type Options = Options;

    const SAMPLE: &'static str = "INSERT INTO place (place_id) VALUES ('sample')";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            options,
        }
    }
}

/// A business as it is stored: the columns that come from the API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Business {
    place_id: String,
    name: String,
    website: Option<String>,
    phone: Option<String>,
    full_address: Option<String>,
    address: Address,
    latitude: Option<f64>,
    longitude: Option<f64>,
    utc_offset_minutes: Option<i32>,
    categories: Vec<String>,
    business_status: Option<String>,
    rating: Option<f64>,
    reviews_count: Option<i32>,
    price_level: Option<i16>,
    /// Monday to Sunday.
    hours: [Option<String>; 7],
}

/// The parts of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Address {
    street: Option<String>,
    city: Option<String>,
    state: Option<String>,
    zip: Option<String>,
    country: Option<String>,
    country_code: Option<String>,
}

impl Workflow for DeepScan {
    const NAME: &'static str = "deep-scan";
    const TABLE: &'static str = "place";
    const STAGE: &'static str = "deep_scan";
    type Input = String;
    type Output = Business;

    fn ready(&self) -> Result<(), String> {
        if self.options.get().api_key.is_empty() {
            return Err(format!(
                "needs {}, the key of the Places API",
                Self::option("api_key")
            ));
        }
        Ok(())
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, String)>> {
        keyed::names(
            conn,
            "SELECT id, place_id AS text FROM place WHERE id = ANY($1)",
            ids,
        )
        .await
    }

    async fn run(&self, place_id: String) -> Result<Done<Business>, WorkflowError> {
        let options = self.options.get();
        let key = options.api_key.expose();
        let mut url = Url::parse(&options.base_url)
            .and_then(|base| base.join("/maps/api/place/details/json"))
            .map_err(|error| WorkflowError::permanent("config", error))?;
        url.query_pairs_mut()
            .append_pair("place_id", &place_id)
            .append_pair("fields", FIELDS)
            .append_pair("key", key);
        let request = RequestOptions {
            ignore_robots: true,
            own_pace: true,
            ..RequestOptions::default()
        };
        let response = self
            .client
            .get_with(&url, request)
            .await
            .map_err(|error| redacted(error.into(), key))?;
        if response.status == 429 {
            return Err(WorkflowError::Snooze {
                after: response.retry_after.unwrap_or(options.quota_rest),
                reason: "the Places API answered 429".to_owned(),
                whole_workflow: true,
            });
        }
        let response = response
            .error_for_status()
            .map_err(|error| redacted(error.into(), key))?;
        let answer: Answer = serde_json::from_slice(&response.body)
            .map_err(|error| WorkflowError::retry("places_api", error))?;
        judge(answer, &place_id, options.quota_rest)
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Business)],
    ) -> QueryResult<()> {
        let advance = self.options.get().advance;
        let mut businesses: Vec<&Business> =
            outputs.iter().map(|(_, business)| *business).collect();
        businesses.sort_by(|a, b| a.place_id.cmp(&b.place_id));
        businesses.dedup_by(|a, b| a.place_id == b.place_id);
        upsert(conn, &businesses, advance).await
    }
}

/// Error texts may hold the whole URL, and so the key.
fn redacted(error: WorkflowError, key: &str) -> WorkflowError {
    let clean = |source: Box<dyn std::error::Error + Send + Sync>| {
        chain(source.as_ref()).replace(key, "[redacted]").into()
    };
    match error {
        WorkflowError::Retry {
            class,
            after,
            source,
        } => WorkflowError::Retry {
            class,
            after,
            source: clean(source),
        },
        WorkflowError::Permanent { class, source } => WorkflowError::Permanent {
            class,
            source: clean(source),
        },
        snooze @ WorkflowError::Snooze { .. } => snooze,
    }
}

/// What the API answers, by its documentation of Place Details (the JSON form with `status` and `result`).
#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error_message: Option<String>,
    #[serde(default)]
    result: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    name: Option<String>,
    formatted_address: Option<String>,
    address_components: Vec<Component>,
    international_phone_number: Option<String>,
    website: Option<String>,
    rating: Option<f64>,
    user_ratings_total: Option<i32>,
    price_level: Option<i16>,
    opening_hours: Option<Hours>,
    business_status: Option<String>,
    types: Vec<String>,
    geometry: Option<Geometry>,
    utc_offset: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Component {
    long_name: String,
    short_name: String,
    types: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hours {
    weekday_text: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Geometry {
    location: Option<Location>,
}

#[derive(Debug, Deserialize)]
struct Location {
    lat: f64,
    lng: f64,
}

fn judge(
    answer: Answer,
    place_id: &str,
    quota_rest: Duration,
) -> Result<Done<Business>, WorkflowError> {
    let said = match &answer.error_message {
        Some(message) => format!("the Places API answered {}: {message}", answer.status),
        None => format!("the Places API answered {}", answer.status),
    };
    match (answer.status.as_str(), answer.result) {
        ("OK", Some(details)) => match business(details, place_id) {
            Some(business) => Ok(Done::Completed(business)),
            None => Err(WorkflowError::permanent(
                "places_api",
                "the place has no name",
            )),
        },
        ("NOT_FOUND" | "ZERO_RESULTS" | "INVALID_REQUEST", _) => {
            Err(WorkflowError::permanent("places_api", said))
        }
        ("OVER_QUERY_LIMIT" | "OVER_DAILY_LIMIT", _) => Err(WorkflowError::Snooze {
            after: quota_rest,
            reason: said,
            whole_workflow: true,
        }),
        ("REQUEST_DENIED", _) => Err(WorkflowError::Snooze {
            after: REFUSED_REST,
            reason: said,
            whole_workflow: true,
        }),
        _ => Err(WorkflowError::retry("places_api", said)),
    }
}

fn business(details: Details, place_id: &str) -> Option<Business> {
    let name = text(details.name)?;
    let location = details.geometry.and_then(|geometry| geometry.location);
    Some(Business {
        place_id: place_id.to_owned(),
        name,
        website: text(details.website),
        phone: text(details.international_phone_number),
        full_address: text(details.formatted_address),
        address: address(&details.address_components),
        latitude: location.as_ref().map(|location| location.lat),
        longitude: location.as_ref().map(|location| location.lng),
        utc_offset_minutes: details.utc_offset,
        categories: details
            .types
            .into_iter()
            .filter_map(|kind| text(Some(kind)))
            .collect(),
        business_status: text(details.business_status),
        rating: details.rating.filter(|rating| (0.0..=5.0).contains(rating)),
        reviews_count: details.user_ratings_total.filter(|count| *count >= 0),
        price_level: details.price_level.filter(|level| (0..=4).contains(level)),
        hours: hours(
            details
                .opening_hours
                .map(|hours| hours.weekday_text)
                .unwrap_or_default(),
        ),
    })
}

/// Absent and blank are the same; PostgreSQL stores no NUL.
fn text(value: Option<String>) -> Option<String> {
    let value = value?.replace('\0', "");
    let trimmed = value.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn address(components: &[Component]) -> Address {
    let find = |kind: &str| {
        components
            .iter()
            .find(|component| component.types.iter().any(|have| have == kind))
    };
    let long =
        |kind: &str| find(kind).and_then(|component| text(Some(component.long_name.clone())));
    let street = match (long("street_number"), long("route")) {
        (Some(number), Some(route)) => Some(format!("{number} {route}")),
        (number, route) => route.or(number),
    };
    Address {
        street,
        city: long("locality")
            .or_else(|| long("postal_town"))
            .or_else(|| long("sublocality")),
        state: long("administrative_area_level_1"),
        zip: long("postal_code"),
        country: long("country"),
        country_code: find("country")
            .and_then(|component| text(Some(component.short_name.clone()))),
    }
}

/// `weekday_text` has seven lines, Monday first, each "Monday: 9:00 AM – 5:00 PM" in the language of the answer.
fn hours(lines: Vec<String>) -> [Option<String>; 7] {
    let mut days = [const { None }; 7];
    if lines.len() == 7 {
        for (day, line) in days.iter_mut().zip(lines) {
            let told = line.split_once(':').map_or(line.as_str(), |(_, told)| told);
            *day = text(Some(told.to_owned()));
        }
    }
    days
}

async fn upsert(
    conn: &mut AsyncPgConnection,
    businesses: &[&Business],
    advance: bool,
) -> QueryResult<()> {
    // One array per column, and one text per array of categories: PostgreSQL has no arrays of unequal arrays.
    let column = |get: fn(&Business) -> Option<&str>| -> Vec<Option<&str>> {
        businesses.iter().map(|business| get(business)).collect()
    };
    let day = |index: usize| -> Vec<Option<&str>> {
        businesses
            .iter()
            .map(|business| business.hours.get(index).and_then(|hours| hours.as_deref()))
            .collect()
    };
    let categories: Vec<String> = businesses
        .iter()
        .map(|business| serde_json::to_string(&business.categories).unwrap_or_default())
        .collect();
    sql_query(include_str!("deep_scan.sql"))
        .bind::<Array<Text>, _>(
            businesses
                .iter()
                .map(|b| b.place_id.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            businesses
                .iter()
                .map(|b| b.name.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.website.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.phone.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.full_address.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.address.street.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.address.city.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.address.state.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.address.zip.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.address.country.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.address.country_code.as_deref()))
        .bind::<Array<Nullable<Double>>, _>(
            businesses.iter().map(|b| b.latitude).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Double>>, _>(
            businesses.iter().map(|b| b.longitude).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Integer>>, _>(
            businesses
                .iter()
                .map(|b| b.utc_offset_minutes)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(categories)
        .bind::<Array<Nullable<Text>>, _>(column(|b| b.business_status.as_deref()))
        .bind::<Array<Nullable<Double>>, _>(businesses.iter().map(|b| b.rating).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(
            businesses
                .iter()
                .map(|b| b.reviews_count)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<SmallInt>>, _>(
            businesses.iter().map(|b| b.price_level).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(day(0))
        .bind::<Array<Nullable<Text>>, _>(day(1))
        .bind::<Array<Nullable<Text>>, _>(day(2))
        .bind::<Array<Nullable<Text>>, _>(day(3))
        .bind::<Array<Nullable<Text>>, _>(day(4))
        .bind::<Array<Nullable<Text>>, _>(day(5))
        .bind::<Array<Nullable<Text>>, _>(day(6))
        .bind::<Bool, _>(advance)
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Result<Done<Business>, WorkflowError> {
        judge(
            serde_json::from_str(json).expect("JSON"),
            "p1",
            Duration::from_secs(60),
        )
    }

    #[test]
    fn statuses_decide() {
        for (status, expected) in [
            ("NOT_FOUND", "permanent"),
            ("INVALID_REQUEST", "permanent"),
            ("OVER_QUERY_LIMIT", "snooze"),
            ("REQUEST_DENIED", "snooze"),
            ("UNKNOWN_ERROR", "retry"),
            ("SOMETHING_NEW", "retry"),
        ] {
            let got = match answer(&format!("{{\"status\":\"{status}\"}}")) {
                Err(WorkflowError::Permanent { .. }) => "permanent",
                Err(WorkflowError::Snooze {
                    whole_workflow: true,
                    ..
                }) => "snooze",
                Err(WorkflowError::Retry { .. }) => "retry",
                other => panic!("{status}: {other:?}"),
            };
            assert_eq!(got, expected, "{status}");
        }
    }

    #[test]
    fn details_become_columns() {
        let Ok(Done::Completed(business)) = answer(
            r#"{"status":"OK","result":{"name":" Brass Kettle ","website":"","types":["bakery","food"],
            "price_level":9,"rating":4.5,"geometry":{"location":{"lat":1.5,"lng":2.5}},"utc_offset":-300,
            "opening_hours":{"weekday_text":["Monday: 9–5","Tuesday: Closed","W: x","T: x","F: x","S: x","S: x"]},
            "address_components":[{"long_name":"12","short_name":"12","types":["street_number"]},
              {"long_name":"High Street","short_name":"High St","types":["route"]},
              {"long_name":"Bath","short_name":"Bath","types":["postal_town"]},
              {"long_name":"United Kingdom","short_name":"GB","types":["country","political"]}]}}"#,
        ) else {
            panic!("not completed")
        };
        assert_eq!(business.name, "Brass Kettle");
        assert_eq!(business.website, None);
        assert_eq!(business.price_level, None);
        assert_eq!(business.address.street.as_deref(), Some("12 High Street"));
        assert_eq!(business.address.city.as_deref(), Some("Bath"));
        assert_eq!(business.address.country_code.as_deref(), Some("GB"));
        assert_eq!(business.hours[1].as_deref(), Some("Closed"));
        assert_eq!(business.utc_offset_minutes, Some(-300));
    }

    #[test]
    fn keys_stay_out_of_errors() {
        let error = redacted(
            WorkflowError::retry("connect", "no route to http://h/?key=s3cret&x=1"),
            "s3cret",
        );
        assert!(!chain(&error).contains("s3cret"), "{}", chain(&error));
    }
}
