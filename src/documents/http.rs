//! What is served of documents: the tenants' API.
//!
//! All of it is under the tenants' own rights, for which no admin token is needed or enough: an API key as `Authorization: Bearer`,
//! or the cookie of a session (`session`). A
//! good answer has the form that the front ends of the service before it know; every refusal is
//! `{"success": false, "error": TEXT, "code": CODE}`. Nothing is answered from which one could learn what other tenants have: an
//! id that is somebody else's is an id that nobody has.

mod caller;
mod cookie;
mod page;
mod session;
mod trouble;

use std::sync::Arc;

use axum::Router;

use crate::app::state::Shared;
use crate::documents::blob::Blobs;
use crate::documents::config::Documents;
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
}

impl State {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let config = shared.config.get();
        let section = config.section::<Documents>();
        Self {
            shared: Arc::clone(shared),
            blobs: storage::of(&config),
            sessions: Arc::new(Sessions::new(&section.session_secret)),
            providers: identity::providers(section).into(),
        }
    }
}

/// All routes.
pub(super) fn routes(shared: &Arc<Shared>) -> Routes {
    let state = State::new(shared);
    Routes {
        outsiders: page::routes().merge(session::routes()).with_state(state),
        ..Routes::default()
    }
}
