//! The description of the lists of prices, flags and notifications, put together from their handlers.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as Describe};

use super::{flags, history, notifications};

/// The lists.
#[derive(Describe)]
#[openapi(
    info(title = "prices, flags and notifications", description = ""),
    paths(
        history::history, history::urls, flags::list, flags::close, flags::reopen, notifications::list, notifications::send_again,
    ),
    modifiers(&Admin),
)]
pub(super) struct Lists;

/// Says how operators are known, and that a change needs no body.
struct Admin;

impl Modify for Admin {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("http.admin_token, where one is set."))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("admin", SecurityScheme::Http(scheme));
        }
        for item in document.paths.paths.values_mut() {
            if let Some(body) = item
                .post
                .as_mut()
                .and_then(|post| post.request_body.as_mut())
            {
                body.required = None;
            }
        }
    }
}
