//! Where pulls are served. Those that arrive while a claim is under way are answered by the next one together.
//!
//! The statement that claims jobs is started and committed in about the same time for ten jobs as for two; a claim for every
//! pull would leave the database with little else to do. So whoever comes while one is under way is served by the next; and bots that
//! were answered together will soon be back together, so that the next waits for as many, though hardly a millisecond. Every pull still gets its own jobs under a lease of its own, by the rules of its own bot.
//!
//! They are served where the connections live, not on the servers' threads: a claim is some round trips to the database, and each
//! would be handed from one runtime to the other and back. Measured: an eighth fewer pulls. What is done there for strangers is to look
//! their names up, [`CLAIMS`] times at once at most.
//!
//! What was claimed for a client that has gone in the meantime is taken back at once.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{error, warn};

use super::{Login, Trouble, let_in};
use crate::app::state::Shared;
use crate::prices::bot;
use crate::prices::bot::{Account, Among, Job, Pull, Pulled};
use crate::store::stage::Frontier;
use crate::telemetry::chain;

/// Claims under way at a time: while one is committed the next is run. Measured: three at a time hand out a tenth less.
const CLAIMS: usize = 2;
/// How long a claim waits until as many have come as the one before has answered. A bot by itself never waits. Measured: a quarter
/// more pulls with eight bots that come back at once.
const LINGER: Duration = Duration::from_micros(500);
/// Pulls that one claim answers at most: with the most jobs that each may ask for, it still takes a fraction of a second.
const MAX_PULLS: usize = 32;

/// What a pull asks for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) login: Login,
    /// At most this many jobs.
    pub(super) jobs: i64,
    /// Only of this domain and what is below it.
    pub(super) domain: Option<String>,
    /// Whether it counts against the bot's rate.
    pub(super) counts: bool,
}

/// Those who wait for their answers.
struct Line {
    waiting: mpsc::Receiver<Waiting>,
    /// So many came last time.
    expected: usize,
}

/// A pull that waits for its answer.
struct Waiting {
    ask: Ask,
    answer: oneshot::Sender<Served>,
}

/// What becomes of a pull.
#[derive(Debug)]
enum Served {
    /// It gets these jobs.
    Jobs {
        bot: i64,
        jobs: Vec<Job>,
    },
    Refused(Trouble),
    /// Its bot's row is locked by somebody else, which must not hold up the others: it is to wait by itself.
    Busy,
}

/// The desk. Its tasks end when it is dropped.
pub(crate) struct Desk {
    line: mpsc::Sender<Waiting>,
    shared: Arc<Shared>,
}

impl Desk {
    /// Opens it.
    pub(crate) fn open(shared: Arc<Shared>) -> Self {
        let (line, waiting) = mpsc::channel(MAX_PULLS * CLAIMS);
        let waiting = Arc::new(Mutex::new(Line {
            waiting,
            expected: 1,
        }));
        // They end with the desk; what one claims for several requests must not end with one of these.
        for _ in 0..CLAIMS {
            drop(
                shared
                    .home
                    .spawn(serve(Arc::clone(&waiting), Arc::clone(&shared))),
            );
        }
        Self { line, shared }
    }

    /// The jobs that this pull gets; none if none is due that its bot may have.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) async fn pull(&self, ask: &Ask) -> Result<Vec<Job>, Trouble> {
        let (answer, served) = oneshot::channel();
        let waiting = Waiting {
            ask: ask.clone(),
            answer,
        };
        let served = match self.line.send(waiting).await {
            Ok(()) => served.await.ok(),
            Err(_closed) => None,
        };
        match served {
            Some(Served::Jobs { jobs, .. }) => Ok(jobs),
            Some(Served::Refused(trouble)) => Err(trouble),
            Some(Served::Busy) => self.pull_alone(ask).await,
            None => Err(Trouble::unavailable()),
        }
    }

    /// Waits for the bot's row, and then claims for this pull only.
    async fn pull_alone(&self, ask: &Ask) -> Result<Vec<Job>, Trouble> {
        let mut conn = self
            .shared
            .pool
            .get()
            .await
            .map_err(|error| Trouble::database(&error))?;
        let pace = self.shared.config.get().fetch.per_host_delay;
        let frontier = self.shared.frontiers.get(&bot::STAGE);
        let served = conn
            .transaction(async |conn| {
                bot::hold(conn, &ask.login.bot_id).await?;
                let account = bot::find(conn, &ask.login.bot_id).await?;
                let Some(account) = let_in(&ask.login, account.as_ref()) else {
                    return Ok(Served::Refused(Trouble::stranger()));
                };
                let pulls = [ask.pull(account)];
                let among = ask.among(account, pace, &frontier);
                let pulled = bot::pull(conn, &pulls, &among).await?;
                let pulled = pulled.into_iter().next().unwrap_or(Pulled::Missing);
                Ok(Served::new(account.id, pulled))
            })
            .await
            .map_err(|error: diesel::result::Error| Trouble::database(&error))?;
        match served {
            Served::Jobs { jobs, .. } => Ok(jobs),
            Served::Refused(trouble) => Err(trouble),
            // Nobody else has it locked, and yet it is not to be had: it has just been switched off.
            Served::Busy => Err(Trouble::stranger()),
        }
    }
}

impl Ask {
    fn pull(&self, account: &Account) -> Pull {
        Pull {
            bot: account.id,
            jobs: self.jobs,
            counts: self.counts,
        }
    }

    fn among<'a>(
        &'a self,
        account: &'a Account,
        pace: Duration,
        frontier: &'a Frontier,
    ) -> Among<'a> {
        Among {
            domain: self.domain.as_deref(),
            sites: &account.allowed_domains,
            pace,
            frontier,
        }
    }
}

impl Served {
    fn new(bot: i64, pulled: Pulled) -> Self {
        match pulled {
            Pulled::Jobs(jobs) => Self::Jobs { bot, jobs },
            Pulled::TooOften(wait) => Self::Refused(Trouble::too_often(wait)),
            Pulled::Missing => Self::Busy,
        }
    }
}

impl Line {
    /// Those who are to be served next, at least one; none when there is no desk any more.
    async fn next(&mut self) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        self.waiting.recv_many(&mut waiting, MAX_PULLS).await;
        if waiting.len() < self.expected {
            let expected = self.expected;
            // When the time is up, who has come by then is served all the same.
            let more = async {
                while !waiting.is_empty() && waiting.len() < expected {
                    let room = MAX_PULLS - waiting.len();
                    if self.waiting.recv_many(&mut waiting, room).await == 0 {
                        break;
                    }
                }
            };
            drop(tokio::time::timeout(LINGER, more).await);
        }
        self.expected = waiting.len();
        waiting
    }
}

/// Serves those who stand in line, until there is no desk any more.
async fn serve(line: Arc<Mutex<Line>>, shared: Arc<Shared>) {
    loop {
        let mut waiting = line.lock().await.next().await;
        if waiting.is_empty() {
            return;
        }
        waiting.retain(|own| !own.answer.is_closed());
        // A mistake in here costs its own batch an answer, not everybody theirs.
        let served = serve_together(&shared, waiting);
        if AssertUnwindSafe(served).catch_unwind().await.is_err() {
            error!("a hand-out of jobs panicked");
        }
    }
}

async fn serve_together(shared: &Shared, waiting: Vec<Waiting>) {
    if waiting.is_empty() {
        return;
    }
    let mut conn = match shared.pool.get().await {
        Ok(conn) => conn,
        Err(error) => return refuse_all(waiting, &Trouble::database(&error)),
    };
    let names: Vec<&str> = waiting
        .iter()
        .map(|own| own.ask.login.bot_id.as_str())
        .collect();
    let accounts = match bot::find_all(&mut conn, &names).await {
        Ok(accounts) => accounts,
        Err(error) => return refuse_all(waiting, &Trouble::database(&error)),
    };
    let pace = shared.config.get().fetch.per_host_delay;
    let asks: Vec<&Ask> = waiting.iter().map(|own| &own.ask).collect();
    let frontier = shared.frontiers.get(&bot::STAGE);
    let served = claim(&mut conn, pace, &frontier, &asks, &accounts).await;
    for (own, served) in waiting.into_iter().zip(served) {
        if let Err(Served::Jobs { bot, jobs }) = own.answer.send(served)
            && !jobs.is_empty()
            && let Err(error) = bot::take_back(&mut conn, bot, &jobs).await
        {
            warn!(error = %chain(&error), "jobs for a client that has gone stay its bot's until their time is up");
        }
    }
}

fn refuse_all(waiting: Vec<Waiting>, trouble: &Trouble) {
    for own in waiting {
        // Who has gone needs no answer.
        drop(own.answer.send(Served::Refused(trouble.clone())));
    }
}

/// Which jobs a pull may have: its domain, and the sites of its bot.
type Choice<'a> = (Option<&'a str>, &'a [String]);

/// Claims for all of these pulls, with one statement for all whose bots may have the same jobs. What becomes of each, in their
/// order.
async fn claim(
    conn: &mut AsyncPgConnection,
    pace: Duration,
    frontier: &Frontier,
    asks: &[&Ask],
    accounts: &[Account],
) -> Vec<Served> {
    let accounts: BTreeMap<&str, &Account> = accounts
        .iter()
        .map(|account| (account.bot_id.as_str(), account))
        .collect();
    let stranger = || Served::Refused(Trouble::stranger());
    let mut served: Vec<Served> = asks.iter().map(|_| stranger()).collect();
    let mut alike: BTreeMap<Choice<'_>, Vec<(usize, &Account)>> = BTreeMap::new();
    for (place, ask) in asks.iter().enumerate() {
        let account = accounts.get(ask.login.bot_id.as_str()).copied();
        if let Some(account) = let_in(&ask.login, account) {
            let choice = (ask.domain.as_deref(), account.allowed_domains.as_slice());
            alike.entry(choice).or_default().push((place, account));
        }
    }
    for ((domain, sites), members) in alike {
        let among = Among {
            domain,
            sites,
            pace,
            frontier,
        };
        let pulls: Vec<Pull> = members
            .iter()
            .map(|(place, account)| asks[*place].pull(account))
            .collect();
        match bot::pull(conn, &pulls, &among).await {
            Ok(pulled) => {
                for ((place, account), pulled) in members.into_iter().zip(pulled) {
                    served[place] = Served::new(account.id, pulled);
                }
            }
            Err(error) => {
                let trouble = Trouble::database(&error);
                for (place, _) in members {
                    served[place] = Served::Refused(trouble.clone());
                }
            }
        }
    }
    served
}
