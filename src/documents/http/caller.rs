//! Who a request comes from.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::State;
use super::trouble::Trouble;
use crate::db::PooledConnection;
use crate::documents::key;
use crate::documents::key::{Holder, Scope};
use crate::documents::scope::TenantId;
use crate::http::guard;

/// Longest key that is looked up.
const LONGEST_KEY: usize = 200;

/// The tenant that a request is served for, who may at least read.
#[derive(Clone, Copy, Debug)]
pub(in crate::documents) struct Reader(pub(in crate::documents) TenantId);

/// The tenant that a request is served for, who may change things.
#[derive(Clone, Copy, Debug)]
pub(in crate::documents) struct Writer(pub(in crate::documents) TenantId);

impl FromRequestParts<State> for Reader {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Trouble> {
        Ok(Self(holder(parts, state).await?.tenant))
    }
}

impl FromRequestParts<State> for Writer {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Trouble> {
        let holder = holder(parts, state).await?;
        if holder.scope < Scope::Write {
            return Err(Trouble::read_only());
        }
        Ok(Self(holder.tenant))
    }
}

/// Whether whoever sent this request may still read, and whose they are: for answers that take long.
pub(super) async fn still_reads(parts: &mut Parts, state: &State) -> Result<TenantId, Trouble> {
    Reader::from_request_parts(parts, state)
        .await
        .map(|Reader(tenant)| tenant)
}

async fn holder(parts: &Parts, state: &State) -> Result<Holder, Trouble> {
    let key = guard::bearer(&parts.headers)
        .filter(|key| key.starts_with(key::PREFIX) && key.len() <= LONGEST_KEY)
        .ok_or_else(Trouble::stranger)?;
    let mut conn = connection(state).await?;
    key::find(&mut conn, key)
        .await?
        .ok_or_else(Trouble::stranger)
}

/// A connection of the pool.
pub(in crate::documents) async fn connection(state: &State) -> Result<PooledConnection, Trouble> {
    let conn = state.shared.pool.get().await;
    conn.map_err(|error| Trouble::database(&error))
}
