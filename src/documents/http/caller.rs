//! Who a request comes from.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::State;
use super::cookie;
use super::trouble::Trouble;
use crate::documents::key::{Holder, Scope};
use crate::documents::scope::TenantId;
use crate::documents::session::Session;
use crate::documents::{key, session};
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
    let known = known(&parts.headers, state).await?;
    let (holder, session) = known.ok_or_else(Trouble::stranger)?;
    // A browser sends its cookie with whatever page has it send something.
    if session.is_some() {
        own_pages_only(&parts.method, &parts.headers)?;
    }
    Ok(holder)
}

/// Who comes with these headers: with a key, or else with a session. A key that does not work is not made good by a cookie.
pub(super) async fn known(
    headers: &HeaderMap,
    state: &State,
) -> Result<Option<(Holder, Option<Session>)>, Trouble> {
    if headers.contains_key(header::AUTHORIZATION) {
        let Some(key) = guard::bearer(headers).filter(|key| is_key(key)) else {
            return Ok(None);
        };
        let found = ask!(state, |conn| key::find(conn, key))?;
        return Ok(found.map(|holder| (holder, None)));
    }
    let now = session::now();
    let Some(session) = cookie::values(headers).find_map(|text| state.sessions.open(text, now))
    else {
        return Ok(None);
    };
    let found = ask!(state, |conn| session::holder(conn, &session))?;
    Ok(found.map(|holder| (holder, Some(session))))
}

/// Whether a text can be a key.
pub(super) fn is_key(text: &str) -> bool {
    text.starts_with(key::PREFIX) && text.len() <= LONGEST_KEY
}

/// Refuses what would change something and may come from a page that is not ours.
pub(super) fn own_pages_only(method: &Method, headers: &HeaderMap) -> Result<(), Trouble> {
    let is_reading = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match guard::foreign(headers).filter(|_| !is_reading) {
        None => Ok(()),
        Some(reason) => Err(Trouble::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            format!("the request is refused: {reason}"),
        )),
    }
}
