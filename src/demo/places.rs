//! The Places Details API in front of the demo's web, in its legacy JSON form.
//!
//! Parameters, status words and result fields follow Google's public reference, "Place Details (Legacy)".

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The host the Places API answers for.
pub const PLACES_HOST: &str = "places.googleapis.test";

/// The path of Place Details.
pub const PLACES_PATH: &str = "/maps/api/place/details/json";

/// Every how many requests one is refused with `OVER_QUERY_LIMIT`.
const OVER_LIMIT_EVERY: u64 = 60;

/// One row for table `place`: what a place search would have stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaceSeed {
    /// The Places id.
    pub place_id: String,
    /// The business's name.
    pub name: String,
    /// The search term it was found with.
    pub business_type: Option<String>,
    /// The place it was searched in, such as `Ithaca, NY`.
    pub location: Option<String>,
    /// The address in one line.
    pub formatted_address: Option<String>,
    /// Street and town.
    pub vicinity: Option<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// 1.0 to 5.0.
    pub rating: Option<f64>,
    /// How many ratings.
    pub user_ratings_total: Option<i32>,
    /// 0 (free) to 4.
    pub price_level: Option<i16>,
}

/// A place as the API knows it. Also an entry of `places.json` beside saved sites.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) place_id: String,
    pub(crate) name: String,
    pub(crate) business_type: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) website: Option<String>,
    pub(crate) formatted_address: Option<String>,
    pub(crate) vicinity: Option<String>,
    pub(crate) international_phone_number: Option<String>,
    pub(crate) formatted_phone_number: Option<String>,
    pub(crate) latitude: Option<f64>,
    pub(crate) longitude: Option<f64>,
    pub(crate) rating: Option<f64>,
    pub(crate) user_ratings_total: Option<i32>,
    pub(crate) price_level: Option<i16>,
    pub(crate) utc_offset: Option<i32>,
    pub(crate) business_status: Option<String>,
    pub(crate) types: Vec<String>,
    pub(crate) address_components: Vec<AddressComponent>,
    pub(crate) opening_hours: Option<Value>,
    /// The search knew it; the details do not.
    #[serde(skip)]
    pub(crate) is_gone: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct AddressComponent {
    pub(crate) long_name: String,
    pub(crate) short_name: String,
    #[serde(default)]
    pub(crate) types: Vec<String>,
}

impl Place {
    pub(crate) fn seed(&self) -> PlaceSeed {
        PlaceSeed {
            place_id: self.place_id.clone(),
            name: self.name.clone(),
            business_type: self.business_type.clone(),
            location: self.location.clone(),
            formatted_address: self.formatted_address.clone(),
            vicinity: self.vicinity.clone(),
            latitude: self.latitude,
            longitude: self.longitude,
            rating: self.rating,
            user_ratings_total: self.user_ratings_total,
            price_level: self.price_level,
        }
    }

    /// The `result` object with every field that is known.
    fn result(&self) -> Map<String, Value> {
        let geometry = self.latitude.zip(self.longitude).map(|(lat, lng)| {
            json!({
                "location": {"lat": lat, "lng": lng},
                "viewport": {
                    "northeast": {"lat": lat + 0.0013, "lng": lng + 0.0013},
                    "southwest": {"lat": lat - 0.0013, "lng": lng - 0.0013},
                },
            })
        });
        let listed = |values: Value| {
            values
                .as_array()
                .is_some_and(|array| !array.is_empty())
                .then_some(values)
        };
        let fields = [
            ("place_id", Some(json!(self.place_id))),
            ("name", Some(json!(self.name))),
            (
                "website",
                self.website.as_ref().map(|website| json!(website)),
            ),
            (
                "formatted_address",
                self.formatted_address
                    .as_ref()
                    .map(|address| json!(address)),
            ),
            (
                "vicinity",
                self.vicinity.as_ref().map(|vicinity| json!(vicinity)),
            ),
            (
                "international_phone_number",
                self.international_phone_number
                    .as_ref()
                    .map(|phone| json!(phone)),
            ),
            (
                "formatted_phone_number",
                self.formatted_phone_number
                    .as_ref()
                    .map(|phone| json!(phone)),
            ),
            ("rating", self.rating.map(|rating| json!(rating))),
            (
                "user_ratings_total",
                self.user_ratings_total.map(|total| json!(total)),
            ),
            ("price_level", self.price_level.map(|level| json!(level))),
            ("utc_offset", self.utc_offset.map(|minutes| json!(minutes))),
            (
                "business_status",
                self.business_status.as_ref().map(|status| json!(status)),
            ),
            ("types", listed(json!(self.types))),
            ("address_components", listed(json!(self.address_components))),
            ("opening_hours", self.opening_hours.clone()),
            ("geometry", geometry),
            (
                "url",
                Some(json!(format!(
                    "https://maps.example/?cid={}",
                    self.place_id
                ))),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

/// The names a `fields` parameter may carry, and the result field each selects; `None` has nothing to give here.
fn selected_field(name: &str) -> Result<Option<&str>, ()> {
    let top = name.split('/').next().unwrap_or(name);
    match top {
        "address_component" | "address_components" => Ok(Some("address_components")),
        "type" | "types" => Ok(Some("types")),
        "place_id"
        | "name"
        | "website"
        | "formatted_address"
        | "vicinity"
        | "international_phone_number"
        | "formatted_phone_number"
        | "rating"
        | "user_ratings_total"
        | "price_level"
        | "utc_offset"
        | "business_status"
        | "opening_hours"
        | "geometry"
        | "url" => Ok(Some(top)),
        "photo"
        | "photos"
        | "review"
        | "reviews"
        | "icon"
        | "plus_code"
        | "adr_address"
        | "permanently_closed"
        | "current_opening_hours"
        | "secondary_opening_hours"
        | "editorial_summary"
        | "icon_background_color"
        | "icon_mask_base_uri"
        | "wheelchair_accessible_entrance" => Ok(None),
        _ => Err(()),
    }
}

/// Answers one request. `request_number` counts from 1; each sixtieth is over the limit.
pub(crate) fn answer(
    places: &HashMap<String, Place>,
    query: Option<&str>,
    request_number: u64,
) -> Value {
    let parameters: HashMap<String, String> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if parameters.get("key").is_none_or(String::is_empty) {
        return refusal(
            "REQUEST_DENIED",
            "You must use an API key to authenticate each request to Google Maps Platform APIs.",
        );
    }
    if request_number.is_multiple_of(OVER_LIMIT_EVERY) {
        return refusal(
            "OVER_QUERY_LIMIT",
            "You have exceeded your rate-limit for this API.",
        );
    }
    let place_id = parameters
        .get("placeid")
        .or_else(|| parameters.get("place_id"));
    let Some(place_id) = place_id.filter(|place_id| !place_id.is_empty()) else {
        return refusal("INVALID_REQUEST", "Missing the placeid parameter.");
    };
    let Some(place) = places.get(place_id).filter(|place| !place.is_gone) else {
        return json!({"html_attributions": [], "status": "NOT_FOUND"});
    };
    let mut result = place.result();
    if let Some(fields) = parameters.get("fields").filter(|fields| !fields.is_empty()) {
        let mut selected = Vec::new();
        for name in fields.split(',').map(str::trim) {
            match selected_field(name) {
                Ok(field) => selected.extend(field),
                Err(()) => {
                    return refusal(
                        "INVALID_REQUEST",
                        &format!(
                            "Error while parsing 'fields' parameter: Unsupported field name '{name}'."
                        ),
                    );
                }
            }
        }
        result.retain(|name, _| selected.contains(&name.as_str()));
    }
    json!({"html_attributions": [], "result": result, "status": "OK"})
}

fn refusal(status: &str, message: &str) -> Value {
    json!({"html_attributions": [], "error_message": message, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> HashMap<String, Place> {
        let place = Place {
            place_id: "ChIJone".to_owned(),
            name: "One".to_owned(),
            website: Some("http://one.test/".to_owned()),
            latitude: Some(1.0),
            longitude: Some(2.0),
            types: vec!["bakery".to_owned()],
            ..Place::default()
        };
        let gone = Place {
            place_id: "ChIJgone".to_owned(),
            is_gone: true,
            ..Place::default()
        };
        [place, gone]
            .into_iter()
            .map(|place| (place.place_id.clone(), place))
            .collect()
    }

    #[test]
    fn status_follows_the_request() {
        for (query, number, status) in [
            ("placeid=ChIJone&key=k", 1, "OK"),
            ("place_id=ChIJone&key=k", 61, "OK"),
            ("placeid=ChIJone", 1, "REQUEST_DENIED"),
            ("placeid=ChIJone&key=", 1, "REQUEST_DENIED"),
            ("placeid=ChIJone&key=k", 60, "OVER_QUERY_LIMIT"),
            ("placeid=ChIJgone&key=k", 1, "NOT_FOUND"),
            ("placeid=other&key=k", 1, "NOT_FOUND"),
            ("key=k", 1, "INVALID_REQUEST"),
            (
                "placeid=ChIJone&key=k&fields=name,secrets",
                1,
                "INVALID_REQUEST",
            ),
        ] {
            let answer = answer(&known(), Some(query), number);
            assert_eq!(answer["status"], status, "{query}");
        }
    }

    #[test]
    fn fields_select_the_result() {
        let answer = answer(
            &known(),
            Some("placeid=ChIJone&key=k&fields=name,geometry/location,type,photo"),
            1,
        );
        let result = answer["result"].as_object().expect("result");
        let names: Vec<&str> = result.keys().map(String::as_str).collect();
        assert_eq!(names, ["geometry", "name", "types"]);
    }
}
