//! The description of the bots' API, put together from its handlers.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi as Describe};

use super::{pull, work};

/// The bots' API.
#[derive(Describe)]
#[openapi(
    info(
        title = "crawl jobs for bots",
        description = "Bots pull jobs, crawl, and submit what they saw. A job is a bot's for timeout_seconds, prolonged by heartbeats; \
            then others may have it. lease_token is the right to one job: it makes a repeated submit get the first answer. \
            In a body of more than 64 KiB, bot_id and api_token stand within the first 64 KiB (put them before raw_html), or the token comes \
            in the header Authorization: Bearer. Only submits may be that large.",
    ),
    paths(pull::pull, work::submit, work::submit_batch, work::heartbeat, work::release),
    modifiers(&Bearer),
)]
pub(in crate::prices::http) struct Described;

/// Says how bots are known.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        if let Some(components) = &mut document.components {
            components.add_security_scheme("bearer", scheme);
        }
    }
}
