//! What the requests of bots and the answers to them have in common, as it is described.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoResponses, ToSchema};

use super::{Login, no};
use crate::http::NO_PLACE;
use crate::http::openapi::{Responses, one_of, response};

/// The codes of refusals, by status.
const REFUSALS: [(&str, &str, &[&str]); 9] = [
    (
        "400",
        "The request cannot be, and the detail names the field; or the job is not, or no longer, in the bot's hands.",
        &["validation_error", "job_not_locked", "lock_expired"],
    ),
    (
        "401",
        "The same for every failure to log in.",
        &["authentication_error"],
    ),
    ("403", "Somebody else has the job.", &["not_assigned"]),
    ("404", "There is no such job.", &["job_not_found"]),
    ("405", "Not a POST.", &["method_not_allowed"]),
    (
        "408",
        "The body came too slowly: 32 KiB in 10 s, or all of it, are asked for.",
        &["too_slow"],
    ),
    ("413", "The body is too large.", &["too_large"]),
    (
        "429",
        "Too many pulls in this minute, or waiting; Retry-After says when.",
        &["rate_limited", "too_many_waiting"],
    ),
    (
        "503",
        "No answer can be had now, or too many pulls wait, or too many connections are open; a repeat is safe, and Retry-After says when.",
        &["unavailable", "too_many_waiting", NO_PLACE],
    ),
];

/// A request as a bot makes it: who it is, and what it wants.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: fields are read one by one")]
pub(super) struct By<T> {
    #[serde(flatten)]
    login: Login,
    #[serde(flatten)]
    wants: T,
}

/// Why a bot's request is refused, as it is described.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> Responses {
        let refusal = |description: &str, codes: &[&'static str]| {
            let form = ObjectBuilder::new()
                .property("success", no())
                .required("success")
                .property("error", one_of(codes))
                .required("error")
                .property("detail", ObjectBuilder::new().schema_type(Type::String))
                .required("detail");
            response(description, form)
        };
        REFUSALS
            .iter()
            .map(|(status, description, codes)| ((*status).to_owned(), refusal(description, codes)))
            .collect()
    }
}
