//! What requests and answers of the tenants' API have in common, as it is described.

use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoResponses, ToSchema};

use crate::documents::read::{STATUSES, Usage};
use crate::http::openapi::{Responses, always, one_of, refusals, response, yes};

pub(super) fn no() -> Object {
    always(Type::Boolean, false)
}

pub(super) fn statuses() -> Object {
    one_of(&STATUSES)
}

/// Refusals in the API's form, by status; and that of a host that is not ours, which has the form of all that is served.
fn troubles(own: &[(&str, &[&'static str])]) -> Responses {
    let refusal = |codes: &[&'static str]| {
        let form = ObjectBuilder::new()
            .property("success", no())
            .required("success")
            .property("error", ObjectBuilder::new().schema_type(Type::String))
            .required("error")
            .property("code", one_of(codes))
            .required("code");
        response(&codes.join(", "), form)
    };
    let hosts = refusals(&[]);
    own.iter()
        .map(|(status, codes)| ((*status).to_owned(), refusal(codes)))
        .chain(hosts.into_iter().filter(|(status, _)| status == "421"))
        .collect()
}

/// What may refuse a kind of request: codes by status.
macro_rules! refusing {
    ($($(#[$about:meta])* $name:ident { $($status:literal: $codes:expr),+ $(,)? })+) => {$(
        $(#[$about])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                troubles(&[$(($status, &$codes)),+])
            }
        }
    )+};
}

refusing! {
    /// What needs no key.
    Public { "405": ["method_not_allowed"] }
    /// What is read of the tenant.
    Reads { "401": ["unauthorized"], "405": ["method_not_allowed"], "503": ["unavailable"] }
    /// Lists.
    ReadsList {
        "400": ["invalid"], "401": ["unauthorized"], "405": ["method_not_allowed"], "500": ["internal"], "503": ["unavailable"],
    }
    /// What is read of one document.
    ReadsOne {
        "401": ["unauthorized"], "404": ["not_found"], "405": ["method_not_allowed"], "500": ["internal"], "503": ["unavailable"],
    }
    /// Its pieces.
    ReadsPieces {
        "400": ["invalid"], "401": ["unauthorized"], "404": ["not_found"], "405": ["method_not_allowed"], "500": ["internal"],
        "503": ["unavailable"],
    }
    /// Its text.
    ReadsText {
        "400": ["invalid"], "401": ["unauthorized"], "404": ["not_found", "no_such_page"], "405": ["method_not_allowed"],
        "409": ["not_ready"], "500": ["internal"], "503": ["unavailable"],
    }
    /// Its file.
    ReadsFile {
        "401": ["unauthorized"], "404": ["not_found", "file_missing"], "405": ["method_not_allowed"], "416": ["range"],
        "503": ["unavailable"],
    }
    /// The search.
    Searches {
        "400": ["invalid"], "401": ["unauthorized"], "404": ["not_found"], "405": ["method_not_allowed"], "503": ["unavailable"],
    }
    /// Events of all documents.
    Watches {
        "401": ["unauthorized"], "405": ["method_not_allowed"], "429": ["too_many_streams"],
        "503": ["unavailable", "too_many_streams"],
    }
    /// Events of one.
    WatchesOne {
        "401": ["unauthorized"], "404": ["not_found"], "405": ["method_not_allowed"], "429": ["too_many_streams"],
        "503": ["unavailable", "too_many_streams"],
    }
    /// What ends a document.
    Removes {
        "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"], "405": ["method_not_allowed"],
        "503": ["unavailable"],
    }
    /// What renames one.
    Renames {
        "400": ["invalid"], "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"],
        "405": ["method_not_allowed"], "503": ["unavailable"],
    }
    /// What stops one.
    Cancels {
        "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"], "405": ["method_not_allowed"],
        "409": ["wrong_status"], "503": ["unavailable"],
    }
    /// What has one worked from the start.
    Works {
        "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"], "405": ["method_not_allowed"],
        "409": ["wrong_status"], "429": ["too_many_queued"], "503": ["unavailable"],
    }
    /// What has one worked again that failed.
    Retries {
        "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"], "405": ["method_not_allowed"],
        "409": ["wrong_status", "not_retryable"], "429": ["too_many_queued"], "503": ["unavailable"],
    }
    /// What gives it a password.
    Unlocks {
        "400": ["invalid"], "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"],
        "405": ["method_not_allowed"], "409": ["wrong_status"], "429": ["too_many_queued"], "503": ["unavailable"],
    }
    /// Uploads in forms.
    Uploads {
        "400": ["invalid", "no_file", "empty_file"], "401": ["unauthorized"], "403": ["read_only", "cross_site"],
        "405": ["method_not_allowed"], "408": ["too_slow"], "413": ["too_large", "quota_exceeded"], "415": ["unsupported_type"],
        "429": ["too_many_queued"], "503": ["unavailable", "too_many_uploads"],
    }
    /// The beginning of a resumable upload.
    Announces {
        "400": ["invalid", "empty_file"], "401": ["unauthorized"], "403": ["read_only", "cross_site"],
        "405": ["method_not_allowed"], "412": ["wrong_version"], "413": ["too_large", "quota_exceeded"],
        "429": ["too_many_queued"], "503": ["unavailable"],
    }
    /// A look at one.
    LooksAtUpload {
        "401": ["unauthorized"], "404": ["not_found"], "405": ["method_not_allowed"], "410": ["expired"],
        "412": ["wrong_version"], "503": ["unavailable"],
    }
    /// A part of one.
    Appends {
        "400": ["invalid"], "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"],
        "405": ["method_not_allowed"], "408": ["too_slow"], "409": ["wrong_offset", "lost", "complete"], "410": ["expired"],
        "412": ["wrong_version"], "413": ["too_large", "quota_exceeded"], "415": ["wrong_content_type", "unsupported_type"],
        "423": ["locked"], "429": ["too_many_queued"], "503": ["unavailable", "too_many_uploads"],
    }
    /// The end of one.
    GivesUp {
        "401": ["unauthorized"], "403": ["read_only", "cross_site"], "404": ["not_found"], "405": ["method_not_allowed"],
        "412": ["wrong_version"], "503": ["unavailable"],
    }
    /// Signing in by a key.
    SignsIn {
        "400": ["invalid"], "401": ["unauthorized"], "403": ["cross_site"], "405": ["method_not_allowed"],
        "503": ["unavailable"],
    }
    /// Signing out.
    SignsOut { "403": ["cross_site"], "405": ["method_not_allowed"], "503": ["unavailable"] }
    /// Signing in by a provider.
    Comes {
        "400": ["invalid"], "401": ["unauthorized", "login_expired"], "403": ["cross_site", "disabled", "no_account"],
        "404": ["not_found"], "405": ["method_not_allowed"], "503": ["unavailable"],
    }
    /// The same by redirect.
    ComesBack {
        "400": ["invalid"], "401": ["unauthorized", "login_expired"], "403": ["disabled", "no_account"],
        "404": ["not_found"], "405": ["method_not_allowed"], "503": ["unavailable"],
    }
}

/// What is told of a document that was sent or changed.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: answers are put together field by field"
)]
pub(super) struct Told {
    #[schema(schema_with = yes)]
    success: bool,
    document_id: String,
    filename: String,
    #[schema(schema_with = statuses)]
    status: String,
    message: String,
    /// Where it is told how far it is.
    status_url: String,
    /// Whether it was there before; told of an upload alone, and only if it was.
    duplicate: Option<bool>,
}

/// What the tenant has, and may have.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: answers are put together field by field"
)]
pub(super) struct Account {
    #[serde(flatten)]
    usage: Usage,
    #[schema(schema_with = yes)]
    success: bool,
    /// Of its quota.
    free_bytes: i64,
}

/// The session is over.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: answers are put together field by field"
)]
pub(super) struct Forgotten {
    #[schema(schema_with = yes)]
    success: bool,
}
