//! Files on their way in: bytes set aside, the draft written, and all of it given back when it comes to nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Extensions, HeaderMap, HeaderName, StatusCode, header};
use tokio::time::{Instant, sleep, timeout};
use url::form_urlencoded;

use super::State;
use super::body::Ended;
use super::multipart::{Bad, Multipart};
use super::trouble::Trouble;
use crate::documents::config::Documents;
use crate::documents::intake;
use crate::documents::intake::{Accepted, Aside, Draft, HEAD, Head, Whole, Wish};
use crate::documents::metrics;
use crate::documents::quota;
use crate::documents::quota::Refusal;
use crate::documents::scope::TenantId;
use crate::documents::tenant;
use crate::http::places::{Long, Place};

/// What is set aside at a time for a file whose length is not known, in bytes.
const STEP: u64 = 8 << 20;
/// How often a reservation is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// How often it is tried to give one back, each time after twice as long: as long as it takes to be swept.
const TRIES: u32 = 10;
/// How long an answer waits for that.
const MOMENT: Duration = Duration::from_secs(2);
/// Longest idempotency key, in bytes.
const LONGEST_KEY: usize = 200;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl From<Ended> for Trouble {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Broken => Self::invalid("the body broke off"),
            Ended::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                "next to nothing came for half a minute",
            ),
        }
    }
}

impl From<Bad> for Trouble {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Form(what) => Self::invalid(format!("the body is no multipart/form-data: {what}")),
            Bad::Ended(ended) => ended.into(),
        }
    }
}

/// Leave to take long, if there is room. For requests of which it is known whose they are.
pub(super) fn room(state: &State, extensions: &Extensions) -> Result<Long, Trouble> {
    extensions
        .get::<Arc<Place>>()
        .and_then(|place| place.long(&state.uploads))
        .ok_or_else(Trouble::busy)
}

/// Bytes of the body, as its header says.
pub(super) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// How the request wants its files taken.
pub(super) fn wish(headers: &HeaderMap, query: Option<&str>) -> Result<Wish, Trouble> {
    let key = match headers.get(IDEMPOTENCY_KEY) {
        None => None,
        Some(key) => {
            let text = key.to_str().ok().map(str::trim);
            let fits = text.filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
            Some(fits.map(str::to_owned).ok_or_else(|| {
                Trouble::invalid(format!(
                    "an Idempotency-Key has 1 to {LONGEST_KEY} characters of ASCII"
                ))
            })?)
        }
    };
    let mut allows_duplicate = false;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name == "duplicate" {
            allows_duplicate = duplicate(&value)?;
        }
    }
    Ok(Wish {
        name: String::new(),
        allows_duplicate,
        idempotency_key: key,
    })
}

/// What is said of duplicates.
pub(super) fn duplicate(value: &str) -> Result<bool, Trouble> {
    match value {
        "allow" => Ok(true),
        "" | "same" => Ok(false),
        _ => Err(Trouble::invalid("duplicate is allow or same")),
    }
}

pub(super) fn too_large(most: u64) -> Trouble {
    Trouble::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("a file may have {most} bytes"),
    )
}

pub(super) fn empty() -> Trouble {
    Trouble::new(StatusCode::BAD_REQUEST, "empty_file", "the file is empty")
}

/// The media type of a file that begins so, if it is one that is read here.
pub(super) fn media_type(head: &[u8], name: &str) -> Result<&'static str, Trouble> {
    match intake::kind_of(head, name) {
        Head::Of(mime) => Ok(mime),
        Head::Refused(what) => Err(Trouble::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_type",
            format!("this is {what}, which is not read here"),
        )),
    }
}

/// A file that is received, with what is set aside for it.
pub(super) struct Received {
    whole: Whole,
    name: String,
    mime: &'static str,
    reservation: String,
}

/// Who takes in files for a tenant.
pub(super) struct Receiver {
    state: State,
    tenant: TenantId,
    /// The largest file.
    most: u64,
}

impl Receiver {
    pub(super) fn new(state: &State, tenant: TenantId) -> Self {
        Self {
            most: state
                .shared
                .config
                .get()
                .section::<Documents>()
                .max_file_bytes,
            state: state.clone(),
            tenant,
        }
    }

    /// The document that this key stands for already.
    pub(super) async fn known(&self, key: &str) -> Result<Option<Accepted>, Trouble> {
        within!(&self.state, self.tenant, Refusal, |conn| {
            Ok(intake::find_by_key(conn, self.tenant, key).await?)
        })
    }

    /// Receives the data of a part, of which it is known, or not, how much it is.
    pub(super) async fn receive(
        &self,
        form: &mut Multipart,
        name: &str,
        expected: Option<u64>,
    ) -> Result<Received, Trouble> {
        // It may be a little less, where more fields follow.
        let expected = expected.map(|expected| expected.min(self.most));
        let (reservation, aside) = self.reserve(expected).await?;
        match self.fill(form, name, (&reservation, aside)).await {
            Ok((whole, mime)) => Ok(Received {
                whole,
                name: name.to_owned(),
                mime,
                reservation,
            }),
            Err(trouble) => {
                self.give_back(&reservation).await;
                Err(trouble)
            }
        }
    }

    /// Sets bytes aside: what will come, or a first step of it.
    async fn reserve(&self, expected: Option<u64>) -> Result<(String, u64), Trouble> {
        let first = expected.unwrap_or_else(|| STEP.min(self.most));
        let bytes = signed(first)?;
        within!(&self.state, self.tenant, Refusal, |conn| {
            match quota::reserve(conn, self.tenant, bytes).await {
                // It may be less than a step.
                Err(Refusal::Quota { .. }) if expected.is_none() => {
                    let id = quota::reserve(conn, self.tenant, 0).await?;
                    Ok((id, 0))
                }
                reserved => Ok((reserved?, first)),
            }
        })
    }

    async fn fill(
        &self,
        form: &mut Multipart,
        name: &str,
        (reservation, mut aside): (&str, u64),
    ) -> Result<(Whole, &'static str), Trouble> {
        let mut draft = Draft::new(&*self.state.blobs)
            .await
            .map_err(|error| Trouble::storage(&error))?;
        let (mut mime, mut renewed_at) = (None, Instant::now());
        while let Some(bytes) = form.data().await? {
            let will_be = draft.bytes() + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if will_be > self.most {
                return Err(too_large(self.most));
            }
            if will_be > aside {
                aside += self
                    .grow(reservation, will_be - aside, self.most - aside)
                    .await?;
                renewed_at = Instant::now();
            } else if renewed_at.elapsed() >= RENEW_EVERY {
                self.set_aside(reservation, 0).await?;
                renewed_at = Instant::now();
            }
            draft
                .write(bytes)
                .await
                .map_err(|error| Trouble::storage(&error))?;
            if mime.is_none() && draft.head().len() >= HEAD {
                mime = Some(media_type(draft.head(), name)?);
            }
        }
        if draft.bytes() == 0 {
            return Err(empty());
        }
        let mime = match mime {
            Some(mime) => mime,
            None => media_type(draft.head(), name)?,
        };
        let whole = draft
            .finish()
            .await
            .map_err(|error| Trouble::storage(&error))?;
        Ok((whole, mime))
    }

    /// Sets more aside: a step, or as much as is needed where there is no room for one. Tells how much.
    async fn grow(&self, reservation: &str, needed: u64, most: u64) -> Result<u64, Trouble> {
        let step = STEP.max(needed).min(most);
        match self.set_aside(reservation, step).await {
            Err(trouble) if trouble.told().1 == "quota_exceeded" && needed < step => {
                self.set_aside(reservation, needed).await?;
                Ok(needed)
            }
            grown => grown.map(|()| step),
        }
    }

    async fn set_aside(&self, reservation: &str, bytes: u64) -> Result<(), Trouble> {
        let bytes = signed(bytes)?;
        within!(&self.state, self.tenant, Refusal, |conn| {
            quota::grow(conn, self.tenant, reservation, bytes).await
        })
    }

    /// Makes it a document.
    pub(super) async fn settle(&self, received: Received, wish: Wish) -> Result<Accepted, Trouble> {
        let reservation = received.reservation.clone();
        let settled = self.settled(received, wish).await;
        if settled.is_err() {
            self.give_back(&reservation).await;
        }
        settled
    }

    async fn settled(&self, received: Received, wish: Wish) -> Result<Accepted, Trouble> {
        let uid = ask!(&self.state, |conn| tenant::uid(conn, self.tenant))?;
        let blobs = &*self.state.blobs;
        let kept = intake::keep(blobs, &uid, received.whole, received.mime).await?;
        let wish = Wish {
            name: received.name,
            ..wish
        };
        let aside = Aside::Reservation(received.reservation);
        let accepted = ask!(&self.state, |conn| {
            intake::settle(conn, blobs, self.tenant, &uid, &kept, &wish, &aside)
        })?;
        metrics::received(accepted.is_duplicate);
        Ok(accepted)
    }

    /// Of a file that is wanted no more.
    pub(super) async fn drop(&self, received: Received) {
        received.whole.discard();
        self.give_back(&received.reservation).await;
    }

    /// Gives back what was set aside, and waits for it a moment: who is answered is to find it done.
    async fn give_back(&self, reservation: &str) {
        let giving = given_back(self.state.clone(), self.tenant, reservation.to_owned());
        drop(timeout(MOMENT, self.state.receiving.spawn(giving)).await);
    }
}

/// Gives back what was set aside, also when the database answers again only after a while. Should that outlive this process, the sweeper
/// does, as nobody renews it.
async fn given_back(state: State, tenant: TenantId, reservation: String) {
    for attempt in 0..TRIES {
        let refunded = within!(&state, tenant, Refusal, |conn| {
            match quota::refund(conn, tenant, &reservation).await {
                // By the transaction whose answer was lost, or the sweeper.
                Err(Refusal::Lapsed) => Ok(()),
                refunded => refunded,
            }
        });
        if refunded.is_ok() {
            return;
        }
        sleep(Duration::from_secs(1 << attempt)).await;
    }
}

/// Bytes as the database counts them.
pub(super) fn signed(bytes: u64) -> Result<i64, Trouble> {
    i64::try_from(bytes).map_err(|_huge| too_large(i64::MAX.unsigned_abs()))
}
