//! What is served of documents: the tenants' API.
//!
//! All of it is under the tenants' own rights, for which no admin token is needed or enough: an API key as `Authorization: Bearer`,
//! or the cookie of a session (`session`). A good answer has the form that the front ends of the service before it know; every refusal
//! is `{"success": false, "error": TEXT, "code": CODE}`. Nothing is answered from which one could learn what other tenants have: an id
//! that is somebody else's is an id that nobody has.

/// Asks the database something, and is what it answers within its time (`database`), or a `Trouble`. A macro, because no function can say
/// of what it is given that its future may be sent.
macro_rules! ask {
    ($state:expr, |$conn:ident| $question:expr) => {
        $crate::documents::http::database::answered(async {
            let mut pooled = $crate::documents::http::database::connection($state).await?;
            let $conn = &mut *pooled;
            Ok($question.await?)
        })
        .await
    };
}

/// The same in a transaction of the tenant's.
macro_rules! within {
    ($state:expr, $tenant:expr, $refusal:ty, |$conn:ident| $work:expr) => {{
        use diesel_async::AsyncConnection as _;
        let tenant = $tenant;
        ask!($state, |pooled| pooled.transaction::<_, $refusal, _>(
            async |$conn| {
                $crate::documents::scope::enter($conn, tenant).await?;
                $work
            }
        ))
    }};
}

mod admin;
mod asked;
mod body;
mod bounds;
mod caller;
mod cookie;
mod database;
mod events;
mod file;
mod forms;
mod health;
mod lifecycle;
mod multipart;
mod openapi;
mod page;
mod reading;
mod receive;
mod searching;
mod session;
mod trouble;
mod tus;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use crate::app::state::Shared;
use crate::documents::blob::Blobs;
use crate::documents::config::Documents;
use crate::documents::events::Hub;
use crate::documents::identity::IdentityProvider;
use crate::documents::session::Sessions;
use crate::documents::{identity, storage};
use crate::http::Routes;

/// What the handlers see.
#[derive(Clone)]
pub(super) struct State {
    pub(super) shared: Arc<Shared>,
    /// Where the files are.
    pub(super) blobs: Arc<dyn Blobs>,
    sessions: Arc<Sessions>,
    providers: Arc<[Box<dyn IdentityProvider>]>,
    /// Those who watch documents change.
    hub: Arc<Hub>,
    /// What the health check last saw.
    health: Arc<health::Seen>,
    /// Room for uploads.
    pub(super) uploads: Arc<Semaphore>,
    /// What receives them: work that outlives its request if the client goes away, so that nothing stays set aside.
    pub(super) receiving: TaskTracker,
}

impl State {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let config = shared.config.get();
        let section = config.section::<Documents>();
        Self {
            shared: Arc::clone(shared),
            blobs: storage::of(&config),
            uploads: Arc::new(Semaphore::new(section.max_uploads)),
            receiving: TaskTracker::new(),
            sessions: Arc::new(Sessions::new(&section.session_secret)),
            providers: identity::providers(section).into(),
            hub: Hub::new(shared),
            health: Arc::default(),
        }
    }
}

impl State {
    /// A document's status in the words that clients are to be told.
    fn told(&self, status: &str) -> String {
        let config = self.shared.config.get();
        config.section::<Documents>().told(status).to_owned()
    }
}

/// All routes.
pub(super) fn routes(shared: &Arc<Shared>) -> Routes {
    let state = State::new(shared);
    let (operators_api, outsiders_api) = described();
    Routes {
        operators: admin::routes(),
        outsiders: Router::new()
            .merge(page::routes())
            .merge(session::routes())
            .merge(reads())
            .merge(lifecycle::routes())
            .merge(upload::routes())
            .merge(tus::routes())
            .method_not_allowed_fallback(trouble::method_not_allowed)
            .with_state(state),
        operators_api,
        outsiders_api,
        ..Routes::default()
    }
}

/// What is said of the operators' routes, and of the tenants'.
pub(crate) fn described() -> (OpenApi, OpenApi) {
    (openapi::Operators::openapi(), openapi::Tenants::openapi())
}

/// Those that change nothing.
fn reads() -> Router<State> {
    Router::new()
        .route("/api/documents", get(reading::list))
        .route("/api/documents/events", get(events::of_tenant))
        .route("/api/documents/{id}", get(reading::document))
        .route("/api/documents/{id}/status", get(reading::status))
        .route("/api/documents/{id}/events", get(events::of_document))
        .route("/api/documents/{id}/text", get(reading::text))
        .route("/api/documents/{id}/chunks", get(reading::chunks))
        .route("/api/documents/{id}/file", get(file::file))
        .route("/api/search", get(searching::search))
        .route("/api/user/stats", get(reading::usage))
        .route("/api/user/profile", get(reading::usage))
        .route("/api/health", get(health::health))
}
