//! The descriptions of the tenants' API and of the operators' routes, put together from their handlers.

use utoipa::openapi::path::{ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{HttpMethod, OpenApi, Required};
use utoipa::{Modify, OpenApi as Describe};

use super::{admin, events, file, health, lifecycle, reading, searching, session, tus, upload};

/// The tenants' API.
#[derive(Describe)]
#[openapi(
    info(
        title = "documents",
        description = "Tenants upload files, which are read page by page and can be searched. Every refusal has a code; an id of another tenant's \
            is one that nobody has. Event streams are text/event-stream; resumable uploads are tus 1.0.0. With a session's cookie alone, \
            what changes something comes from a page of this server, with Content-Type: application/json or the header X-Requested-By.",
    ),
    paths(
        upload::upload, upload::upload_batch, reading::list, reading::document, reading::status, reading::text, reading::chunks,
        file::file, events::of_tenant, events::of_document, searching::search, reading::usage, health::health, lifecycle::remove,
        lifecycle::rename, lifecycle::cancel, lifecycle::retry, lifecycle::reprocess, lifecycle::unlock, tus::describe, tus::create,
        tus::look, tus::append, tus::terminate, session::look, session::sign_in, session::sign_out, session::come,
        session::come_back,
    ),
    modifiers(&Keys, &Twice),
)]
pub(super) struct Tenants;

/// What operators do with tenants.
#[derive(Describe)]
#[openapi(
    info(title = "tenants", description = ""),
    paths(admin::list, admin::create, admin::change, admin::keys, admin::make_key, admin::revoke_key),
    modifiers(&Admin),
)]
pub(super) struct Operators;

/// Says how tenants are known.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key of the tenant's, gld_…"))
            .build();
        components.add_security_scheme("tenant", SecurityScheme::Http(key));
        let description =
            "The cookie of a session; gleaner_session where this machine is spoken to without TLS.";
        let cookie = ApiKeyValue::with_description("__Host-gleaner_session", description);
        let session = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
        components.add_security_scheme("session", session);
    }
}

/// Says of what is served at two addresses that it is.
struct Twice;

impl Modify for Twice {
    fn modify(&self, document: &mut OpenApi) {
        let paths = &mut document.paths.paths;
        let usage = paths
            .get("/api/user/stats")
            .and_then(|item| item.get.clone());
        if let Some(mut usage) = usage {
            usage.operation_id = Some("profile".to_owned());
            let profile = PathItem::new(HttpMethod::Get, usage);
            paths.insert("/api/user/profile".to_owned(), profile);
        }
        let described = paths
            .get("/api/uploads")
            .and_then(|item| item.options.clone());
        if let Some((one, mut described)) = paths.get_mut("/api/uploads/{id}").zip(described) {
            described.operation_id = Some("describeUpload".to_owned());
            let id = ParameterBuilder::new()
                .name("id")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("The upload."))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
            described.parameters = Some(vec![id.build()]);
            one.options = Some(described);
        }
    }
}

/// Says how operators are known.
struct Admin;

impl Modify for Admin {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("http.admin_token, where one is set."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("admin", SecurityScheme::Http(scheme));
    }
}
