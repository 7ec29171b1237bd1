//! What is served of documents: the tenants' API.
//!
//! All of it is under the tenants' own rights, for which no admin token is needed or enough: an API key as `Authorization: Bearer`. A
//! good answer has the form that the front ends of the service before it know; every refusal is
//! `{"success": false, "error": TEXT, "code": CODE}`. Nothing is answered from which one could learn what other tenants have: an
//! id that is somebody else's is an id that nobody has.

mod caller;
mod trouble;

use std::sync::Arc;

use axum::Router;

use crate::app::state::Shared;
use crate::documents::blob::Blobs;
use crate::documents::storage;
use crate::http::Routes;

/// What the handlers see.
#[derive(Clone)]
pub(super) struct State {
    pub(super) shared: Arc<Shared>,
    /// Where the files are.
    pub(super) blobs: Arc<dyn Blobs>,
}

impl State {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            blobs: storage::of(&shared.config.get()),
        }
    }
}

/// All routes.
pub(super) fn routes(shared: &Arc<Shared>) -> Routes {
    let state = State::new(shared);
    Routes {
        outsiders: Router::new().with_state(state),
        ..Routes::default()
    }
}
