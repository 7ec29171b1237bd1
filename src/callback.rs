//! Answers that come later, by a request of their own: who waits for them, and how they get there.
//!
//! Each hand-out whose answer may come later is written down (`callback`) before anybody hears of it, under a [`token`]. The answer may
//! reach any process ([`Callbacks::answer`]): it is kept in that row, and the node that waits is told by NOTIFY. Where no
//! notification arrives, it looks each second while it waits for something. Once nobody waits any more the row is gone, and the token worth nothing;
//! an answered one stays for a while, by its digest alone, so that a repeat is known as one.
//!
//! An answer that is taken in the moment in which its node dies is lost with it: the row is worked again, as after any such death.

pub mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Double, SmallInt, Text};
use diesel::{OptionalExtension as _, QueryableByName};
use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::{Member, Service};
use rand::rand_core::OsError;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, OnceCell, oneshot};
use tokio::time::{Instant, timeout};

use self::token::{Id, Signer};
use crate::db::statement::{seconds, statement};
use crate::db::{DbError, Pool, PooledConnection};
use crate::secret::Secret;

/// The most bytes that an answer may have.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// How often is looked for answers while some are waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often what is over is taken away.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// So many answers are collected at a time: memory holds them all.
const COLLECTED_AT_ONCE: i64 = 16;

/// Why nothing can be waited for, or no answer taken in.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The database is not to be had.
    #[error("callbacks cannot be kept")]
    Database(#[source] DbError),
    /// There is no token without them.
    #[error("the system has no random bytes")]
    Random(#[source] OsError),
}

impl From<diesel::result::Error> for CallbackError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(DbError::Query(error))
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken to who waits for it.
    Taken,
    /// It had been taken before, to the letter.
    Repeated,
    /// Another one had been taken before.
    Another,
    /// Nobody waits any more.
    Over,
}

/// Whose answer may come later.
#[derive(Clone, Debug)]
pub struct HandOut {
    /// The key of the row, for people.
    pub item: String,
    pub attempt: i16,
    /// For how long it is waited for.
    pub lasts: Duration,
}

/// Those for whom this process waits, and the way to the others. Shared by its clones.
#[derive(Clone)]
pub struct Callbacks {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    node: i64,
    signer: OnceCell<Signer>,
    waits: Mutex<Waits>,
    /// Answers may have come, or somebody has stopped waiting.
    bell: Notify,
}

#[derive(Default)]
struct Waits {
    by_id: HashMap<Id, oneshot::Sender<String>>,
    /// Those for whom nobody waits any more, to be written down.
    ended: Vec<Id>,
}

impl Inner {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        // Whole between any two statements.
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is waited for. Dropped, it is not waited for any more.
pub struct Expected {
    inner: Arc<Inner>,
    id: Id,
    /// What the one who is to answer has to know.
    pub token: String,
    answer: oneshot::Receiver<String>,
}

impl Expected {
    /// The answer, if it comes in time.
    pub async fn by(mut self, deadline: Instant) -> Option<String> {
        let answer = tokio::time::timeout_at(deadline, &mut self.answer).await;
        answer.ok().and_then(Result::ok)
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut waits = self.inner.waits();
        let was_waited_for = waits.by_id.remove(&self.id).is_some();
        if was_waited_for {
            waits.ended.push(self.id.clone());
            drop(waits);
            self.inner.bell.notify_one();
        }
    }
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    key: String,
}

#[derive(QueryableByName)]
struct Judged {
    #[diesel(sql_type = Text)]
    verdict: String,
}

#[derive(QueryableByName)]
struct Came {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    answer: String,
}

impl Callbacks {
    /// For this node. The database is asked when there is something to wait for.
    #[must_use]
    pub fn new(pool: Pool, node: i64) -> Self {
        Self {
            inner: Arc::new(Inner {
                pool,
                node,
                signer: OnceCell::new(),
                waits: Mutex::default(),
                bell: Notify::new(),
            }),
        }
    }

    async fn connection(&self) -> Result<PooledConnection, CallbackError> {
        let connection = self.inner.pool.get().await;
        connection.map_err(|error| CallbackError::Database(DbError::Pool(error)))
    }

    /// What signs, the same for all nodes: made by the first that needs it.
    async fn signer(&self) -> Result<&Signer, CallbackError> {
        let make = async || {
            let mut conn = self.connection().await?;
            let read = "SELECT key FROM callback_key WHERE id = 1";
            if let Some(found) = statement(read)
                .get_result::<Key>(&mut conn)
                .await
                .optional()?
            {
                return Ok(Signer::new(Secret::new(&found.key)));
            }
            let new = Secret::random("").map_err(CallbackError::Random)?;
            statement(
                "INSERT INTO callback_key (id, key) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
            )
            .bind::<Text, _>(new.expose())
            .execute(&mut conn)
            .await?;
            // Ours, or that of whoever was faster.
            let kept: Key = statement(read).get_result(&mut conn).await?;
            Ok(Signer::new(Secret::new(&kept.key)))
        };
        self.inner.signer.get_or_try_init(make).await
    }

    /// From now on answers are waited for, in the order in which they are asked for.
    ///
    /// # Errors
    /// [`CallbackError`]; then none is.
    pub async fn expect(
        &self,
        workflow: &str,
        hand_outs: &[HandOut],
    ) -> Result<Vec<Expected>, CallbackError> {
        let signer = self.signer().await?;
        let mut expected = Vec::with_capacity(hand_outs.len());
        for hand_out in hand_outs {
            let made = signer.token(self.inner.node, hand_out.lasts);
            let (id, token) = made.map_err(CallbackError::Random)?;
            let (sender, answer) = oneshot::channel();
            self.inner.waits().by_id.insert(id.clone(), sender);
            expected.push(Expected {
                inner: Arc::clone(&self.inner),
                id,
                token,
                answer,
            });
        }
        let ids: Vec<&str> = expected.iter().map(|one| one.id.0.as_str()).collect();
        let items: Vec<&str> = hand_outs.iter().map(|one| one.item.as_str()).collect();
        let attempts: Vec<i16> = hand_outs.iter().map(|one| one.attempt).collect();
        let spans: Vec<f64> = hand_outs.iter().map(|one| seconds(one.lasts)).collect();
        let mut conn = self.connection().await?;
        statement(include_str!("callback/expect.sql"))
            .bind::<Array<Text>, _>(ids)
            .bind::<BigInt, _>(self.inner.node)
            .bind::<Text, _>(workflow)
            .bind::<Array<Text>, _>(items)
            .bind::<Array<SmallInt>, _>(attempts)
            .bind::<Array<Double>, _>(spans)
            .execute(&mut conn)
            .await?;
        // It may be asleep for long while nobody waits.
        self.inner.bell.notify_one();
        Ok(expected)
    }

    /// The id of a token that is ours, of whichever node.
    ///
    /// # Errors
    /// [`CallbackError`] where it cannot be told.
    pub async fn recognise(&self, token: &str) -> Result<Option<Id>, CallbackError> {
        Ok(self.signer().await?.id(token))
    }

    /// Takes an answer in, of at most [`MAX_ANSWER_BYTES`], for whichever node waits for it.
    ///
    /// # Errors
    /// [`CallbackError`]; then it is to come again.
    pub async fn answer(&self, id: &Id, answer: &str) -> Result<Verdict, CallbackError> {
        let digest: String = Sha256::digest(answer)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut conn = self.connection().await?;
        let judged = statement(include_str!("callback/answer.sql"))
            .bind::<Text, _>(&id.0)
            .bind::<Text, _>(answer)
            .bind::<Text, _>(digest)
            .get_result::<Judged>(&mut conn)
            .await
            .optional()?;
        Ok(match judged.as_ref().map(|row| row.verdict.as_str()) {
            Some("taken") => Verdict::Taken,
            Some("repeated") => Verdict::Repeated,
            Some("another") => Verdict::Another,
            _ => Verdict::Over,
        })
    }

    /// An answer has come for this node (its number, as notified).
    pub fn heard(&self, node: &str) {
        if node.parse() == Ok(self.inner.node) {
            self.inner.bell.notify_one();
        }
    }

    /// Brings answers to who waits for them, and writes down who does not any more: a member of the tree.
    #[must_use]
    pub fn member(&self) -> Member {
        Member::service("callbacks", Arc::new(self.clone()))
    }

    async fn collect(&self) -> Result<(), CallbackError> {
        loop {
            let mut conn = self.connection().await?;
            let came: Vec<Came> = statement(include_str!("callback/collect.sql"))
                .bind::<BigInt, _>(self.inner.node)
                .bind::<BigInt, _>(COLLECTED_AT_ONCE)
                .load(&mut conn)
                .await?;
            let is_all = i64::try_from(came.len()).is_ok_and(|found| found < COLLECTED_AT_ONCE);
            let mut waits = self.inner.waits();
            for Came { id, answer } in came {
                if let Some(waiting) = waits.by_id.remove(&Id(id)) {
                    // Whoever has gone meanwhile is nobody's loss: the row is worked again.
                    drop(waiting.send(answer));
                }
            }
            if is_all {
                return Ok(());
            }
        }
    }

    async fn forget(&self) -> Result<(), CallbackError> {
        let ended = std::mem::take(&mut self.inner.waits().ended);
        if ended.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = ended.iter().map(|id| id.0.as_str()).collect();
        let forgotten = async {
            let mut conn = self.connection().await?;
            statement(include_str!("callback/forget.sql"))
                .bind::<Array<Text>, _>(ids)
                .execute(&mut conn)
                .await?;
            Ok(())
        };
        let forgotten = forgotten.await;
        if forgotten.is_err() {
            self.inner.waits().ended.extend(ended);
        }
        forgotten
    }

    async fn keep(&self) -> Result<(), CallbackError> {
        let mut prune_at = Instant::now();
        loop {
            self.forget().await?;
            let is_waiting = !self.inner.waits().by_id.is_empty();
            if is_waiting {
                self.collect().await?;
            }
            if Instant::now() >= prune_at {
                let mut conn = self.connection().await?;
                statement(include_str!("callback/prune.sql"))
                    .execute(&mut conn)
                    .await?;
                prune_at = Instant::now() + PRUNE_INTERVAL;
            }
            let pause = if is_waiting {
                LOOK_INTERVAL
            } else {
                PRUNE_INTERVAL
            };
            // Rung, or it is time.
            drop(timeout(pause, self.inner.bell.notified()).await);
        }
    }
}

impl Service for Callbacks {
    fn run(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.keep().await.map_err(PortError::unavailable) })
    }
}
