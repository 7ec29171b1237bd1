//! The body of a request, and whose it is: that first.
//!
//! Of a body whose sender is not known at most [`PREFACE`] bytes are held. Most requests are smaller, and are read as a whole. In
//! a larger one the bot has to have said who it is by then: in these bytes, or by the token in the header. Only then is the rest
//! read, and only while it fits into what all such bodies together may take, and those of that bot ([`Room`]).
//!
//! There is no limit on the whole time: a slow line is no fault. There is one on making no progress.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::fields::Fields;
use super::{Login, State, Trouble, connection, let_in, log_in};
use crate::compute::compute;
use crate::http::places::Place;
use crate::prices::bot;
use crate::prices::bot::Account;

/// What is held of a body before it is known whose it is, in bytes; and the largest body of those requests that are small.
pub(super) const PREFACE: usize = 64 * 1024;
/// In this time a body has to bring [`LEAST`], or its end.
const WINDOW: Duration = Duration::from_secs(10);
/// How much that is, in bytes.
const LEAST: usize = 32 * 1024;
/// How long a request waits for others to make room.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
/// How long, and how much of it, in bytes, a body is heard out that nobody wants, so that its sender gets to read why.
const HEARING: Duration = Duration::from_secs(5);
const MOST_HEARD: usize = 16 << 20;
/// So many at a time, of all ports: more would keep others from being heard who have something to say.
static HEARERS: Semaphore = Semaphore::const_new(16);
/// Others come to their turn after so many bytes: with a body on each connection of a port, a health check waits for as many turns.
const TURN: usize = 32 * 1024;
/// What is smaller than this is parsed where it is; the rest beside the network's threads.
const PARSED_AT_ONCE: usize = 16 * 1024;
/// What room is measured in, in bytes.
const UNIT: usize = 1024;

/// What all bodies together may take whose senders are known, beyond what is held of any. Those of one bot take half of it at most, or
/// one largest body where that is more: however slowly it sends them, there is room for others.
pub(super) struct Room {
    units: Arc<Semaphore>,
    whole: usize,
    /// By the bots' keys. Of those alone that have a body on its way.
    shares: Mutex<HashMap<i64, Weak<Share>>>,
}

struct Share {
    units: Arc<Semaphore>,
    whole: usize,
}

/// Room that somebody has, until it is dropped.
pub(super) struct Taken {
    /// Goes before its share, which may not be forgotten before it is whole.
    own: OwnedSemaphorePermit,
    room: OwnedSemaphorePermit,
    _share: Arc<Share>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        let whole = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(whole)),
            whole,
            shares: Mutex::default(),
        }
    }

    /// What this bot may take, whose bodies have at most so many bytes each.
    fn share(&self, bot: i64, most: usize) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&bot).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let whole = (self.whole / 2).max(most.div_ceil(UNIT).min(self.whole));
        let share = Arc::new(Share {
            units: Arc::new(Semaphore::new(whole)),
            whole,
        });
        shares.insert(bot, Arc::downgrade(&share));
        share
    }

    /// Room for a body of so many bytes of this bot, whose bodies have at most `most`, as soon as there is some.
    async fn take(&self, bot: i64, bytes: usize, most: usize) -> Result<Taken, Trouble> {
        let share = self.share(bot, most);
        let units = bytes.div_ceil(UNIT).min(share.whole);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let taking = async {
            // Its own first: who waits for that keeps nobody else from the room.
            let own = Arc::clone(&share.units).acquire_many_owned(units).await?;
            let room = Arc::clone(&self.units).acquire_many_owned(units).await?;
            Ok::<_, AcquireError>((own, room))
        };
        match timeout(ROOM_PATIENCE, taking).await {
            Ok(Ok((own, room))) => Ok(Taken {
                own,
                room,
                _share: share,
            }),
            Ok(Err(_)) | Err(_) => Err(Trouble::no_room()),
        }
    }
}

impl Taken {
    /// Gives back what is beyond so many bytes.
    fn keep(&mut self, bytes: usize) {
        for permit in [&mut self.own, &mut self.room] {
            let unused = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
            drop(permit.split(unused));
        }
    }
}

/// A request whose body nobody has read.
pub(super) struct Sent {
    headers: HeaderMap,
    body: Body,
    place: Option<Arc<Place>>,
}

impl<S: Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self {
            place: parts.extensions.get::<Arc<Place>>().cloned(),
            headers: parts.headers,
            body,
        })
    }
}

/// A body that is there, and the headers that came with it.
pub(super) struct Whole {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

/// A body that is there, of a bot that is let in.
pub(super) struct Admitted {
    pub(super) account: Account,
    bytes: Vec<u8>,
    /// Kept as long as what is made of the body.
    room: Option<Taken>,
}

impl Admitted {
    /// Makes something of the fields: beside the network's threads, if that may take a while. What it makes takes the room that its
    /// body had, until the second is dropped.
    pub(super) async fn make<T: Send + 'static>(
        self,
        make: impl FnOnce(&Fields<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<(T, Option<Taken>), Trouble> {
        let bytes = self.bytes;
        let is_small = bytes.len() <= PARSED_AT_ONCE;
        let make = move || make(&Fields::parse(&bytes)?);
        let made = if is_small {
            make()
        } else {
            compute(make).await
        };
        Ok((made?, self.room))
    }
}

impl Sent {
    /// All of a body that is small; whose it is, is not looked at.
    pub(super) async fn whole(self) -> Result<Whole, Trouble> {
        let mut reading = Reading::new(self, PREFACE);
        match reading.until(usize::MAX).await {
            Ok(()) => {
                reading.our_turn();
                Ok(Whole {
                    headers: reading.headers,
                    bytes: reading.bytes,
                })
            }
            Err(trouble) => Err(reading.refused(trouble).await),
        }
    }

    /// All of a body of at most so many bytes, if it comes from a bot that is let in.
    pub(super) async fn admitted(self, state: &State, most: usize) -> Result<Admitted, Trouble> {
        let mut reading = Reading::new(self, most);
        match reading.admit(state).await {
            Ok(admitted) => Ok(admitted),
            Err(trouble) => Err(reading.refused(trouble).await),
        }
    }
}

/// Who sends a large body.
enum Sender {
    Known(Account),
    /// One of those with the token in the header: the name comes later.
    OneOf(Vec<Account>),
}

impl Sender {
    /// By which its share is found. Bots with one token, which name themselves late, have one share.
    fn key(&self) -> i64 {
        match self {
            Self::Known(account) => account.id,
            Self::OneOf(accounts) => accounts.first().map_or(0, |account| account.id),
        }
    }
}

/// A body on its way.
struct Reading {
    headers: HeaderMap,
    stream: BodyDataStream,
    place: Option<Arc<Place>>,
    most: usize,
    /// As the header says; `None` where it does not.
    declared: Option<usize>,
    bytes: Vec<u8>,
    is_whole: bool,
    has_begun: bool,
    window_ends: Instant,
    in_window: usize,
}

impl Reading {
    fn new(sent: Sent, most: usize) -> Self {
        let declared = sent
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        Self {
            headers: sent.headers,
            stream: sent.body.into_data_stream(),
            place: sent.place,
            most,
            declared,
            bytes: Vec::new(),
            is_whole: false,
            has_begun: false,
            window_ends: Instant::now() + WINDOW,
            in_window: 0,
        }
    }

    fn our_turn(&self) {
        if let Some(place) = &self.place {
            place.our_turn();
        }
    }

    fn clients_turn(&self) {
        if let Some(place) = &self.place {
            place.clients_turn();
        }
    }

    async fn admit(&mut self, state: &State) -> Result<Admitted, Trouble> {
        self.until(PREFACE).await?;
        if self.is_whole {
            self.our_turn();
            let login = Login::of(&Fields::parse(&self.bytes)?, &self.headers)?;
            let account = log_in(state, &login).await?;
            return Ok(self.done(account, None));
        }
        let sender = self.sender(state).await?;
        // It is known: nobody takes its place because it is slow.
        self.our_turn();
        let bytes = self.declared.unwrap_or(self.most);
        let mut room = state.room.take(sender.key(), bytes, self.most).await?;
        if let Some(declared) = self.declared {
            self.bytes
                .reserve_exact(declared.saturating_sub(self.bytes.len()));
        }
        // It had to wait for room itself.
        self.window_ends = Instant::now() + WINDOW;
        self.until(usize::MAX).await?;
        room.keep(self.bytes.len());
        let account = match sender {
            Sender::Known(account) => account,
            Sender::OneOf(accounts) => self.named(accounts).await?,
        };
        Ok(self.done(account, Some(room)))
    }

    fn done(&mut self, account: Account, room: Option<Taken>) -> Admitted {
        Admitted {
            account,
            bytes: std::mem::take(&mut self.bytes),
            room,
        }
    }

    /// Who it is, by the bytes that are there and by the headers. (Not `&self`: a body may not be seen by two threads at once.)
    async fn sender(&mut self, state: &State) -> Result<Sender, Trouble> {
        let (bot_id, api_token) = Fields::login_at_the_start(&self.bytes);
        let login = Login::new(bot_id, api_token, &self.headers);
        if let Some(login) = login {
            return log_in(state, &login).await.map(Sender::Known);
        }
        let Some(token_hash) = Login::token_of(&self.headers) else {
            return Err(Trouble::invalid(format!(
                "bot_id and api_token: in a body of more than {PREFACE} bytes they have to stand within the first {PREFACE}; \
                 or send the token in the header Authorization: Bearer"
            )));
        };
        let accounts = {
            let _turn = state.logins.acquire().await;
            let mut conn = connection(state).await?;
            bot::find_by_token(&mut conn, &token_hash)
                .await
                .map_err(|error| Trouble::database(&error))?
        };
        if accounts.iter().any(|account| account.enabled) {
            Ok(Sender::OneOf(accounts))
        } else {
            Err(Trouble::stranger())
        }
    }

    /// The one of these that the whole body names.
    async fn named(&mut self, accounts: Vec<Account>) -> Result<Account, Trouble> {
        let (bytes, headers) = (std::mem::take(&mut self.bytes), self.headers.clone());
        let (bytes, login) = compute(move || {
            let login = Fields::parse(&bytes).and_then(|fields| Login::of(&fields, &headers));
            (bytes, login)
        })
        .await;
        self.bytes = bytes;
        let login = login?;
        let mut accounts = accounts.into_iter();
        let account = accounts.find(|account| account.bot_id == login.bot_id);
        let_in(&login, account.as_ref())
            .cloned()
            .ok_or_else(Trouble::stranger)
    }

    /// Reads until more than so many bytes are there, or all.
    async fn until(&mut self, enough: usize) -> Result<(), Trouble> {
        if self.declared.is_some_and(|declared| declared > self.most) {
            return Err(Trouble::too_large(self.most));
        }
        self.has_begun = true;
        let mut read = 0;
        if self.bytes.is_empty() {
            self.clients_turn();
        }
        while !self.is_whole && self.bytes.len() <= enough {
            match timeout_at(self.window_ends, self.stream.next()).await {
                Ok(Some(Ok(chunk))) => {
                    if self.bytes.len() + chunk.len() > self.most {
                        return Err(Trouble::too_large(self.most));
                    }
                    self.bytes.extend_from_slice(&chunk);
                    self.in_window += chunk.len();
                    read += chunk.len();
                }
                Ok(Some(Err(_broken))) => {
                    return Err(Trouble::invalid("the body cannot be read"));
                }
                Ok(None) => self.is_whole = true,
                Err(_elapsed) if self.in_window >= LEAST => {
                    self.window_ends = Instant::now() + WINDOW;
                    self.in_window = 0;
                }
                Err(_elapsed) => return Err(Trouble::too_slow()),
            }
            if read >= TURN {
                read = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Hears the rest out without keeping any of it: a connection that is closed before would be reset, and its client never see why.
    async fn refused(mut self, trouble: Trouble) -> Trouble {
        self.bytes = Vec::new();
        let is_hopeless = trouble.status == StatusCode::REQUEST_TIMEOUT
            || self.declared.is_some_and(|declared| declared > MOST_HEARD)
            // It waits for a word from us before it sends any.
            || (!self.has_begun && self.headers.contains_key(header::EXPECT));
        if self.is_whole || is_hopeless {
            return trouble;
        }
        self.clients_turn();
        let hearing = async {
            let _hearer = HEARERS.acquire().await;
            let (mut heard, mut turn) = (0, 0);
            while let Some(Ok(chunk)) = self.stream.next().await {
                heard += chunk.len();
                turn += chunk.len();
                if heard > MOST_HEARD {
                    break;
                }
                if turn >= TURN {
                    turn = 0;
                    tokio::task::yield_now().await;
                }
            }
        };
        drop(timeout(HEARING, hearing).await);
        self.our_turn();
        trouble
    }
}
