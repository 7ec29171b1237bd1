//! `kill -9` in each phase of a document: while it is received, while it waits, while it is read, while what was read is settled.
//!
//! That a kill falls into its phase is not left to chance: the process is stopped (SIGSTOP), it is looked at from outside what it has in hand,
//! and it is killed as it stands, or let go on and stopped again. Where a phase is a moment within a transaction, a trigger of ours
//! makes that process wait there. What came of it is read from what the client was answered, from the journal that readers write, and
//! from the files. `GLEANER_TEST_KILLS` says how often each; without it, a few times.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _, stream};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Body;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::support::account::{Account, form, head, tail};
use crate::support::database::TestDatabase;
use crate::support::load::others_load;
use crate::support::process::{ConfigFile, PROGRAM, Process, run_to_end};
use crate::support::readers;
use crate::support::wait::{wait_until, wait_until_by};
use crate::support::{alone, let_pass, seed};

/// How often a process is killed in each phase, unless `GLEANER_TEST_KILLS` says.
const KILLS: usize = 4;
/// What was in the hands of a dead process is at work again within this, at the default lease.
const RESCUE: Duration = Duration::from_secs(15);
/// So many documents are sent one soon after the other, and if that does not bring the moment about, as many again.
const FED: usize = 5;
const FEED_EVERY: Duration = Duration::from_millis(40);
const FEED_AGAIN: Duration = Duration::from_secs(2);
/// Rounds whose documents wait for somebody at most, before the next process is killed: what is measured is not how long a queue is.
const OPEN: usize = 2;
/// How often it is looked whether the moment has come.
const LOOK: Duration = Duration::from_millis(5);
/// More than is gathered before the disk sees any of a file, and as much as takes a while to be read.
const LARGE: usize = 300_000;
const SMALL: usize = 4_000;
/// An age at which the sweeper takes what nobody owns.
const AGED: Duration = Duration::from_secs(2 * 3_600);

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A part of a file has come, and lies on the disk.
    Arriving,
    /// All of it has come; its row is about to be written.
    Accepting,
    /// That is about to be committed, and will be, with nobody to answer for it.
    Accepted,
    /// It has been answered for, and nobody has begun to read it.
    Waiting,
    /// It is about to be claimed, and will be, by a process that is dead.
    Claiming,
    /// A child reads it.
    Reading,
    /// What was read is being stored.
    Storing,
    /// That is about to be committed, and will be.
    Stored,
}

impl Moment {
    /// The lock that makes it, if it is one within a transaction.
    fn gate(self) -> Option<i32> {
        match self {
            Self::Accepting => Some(1),
            Self::Accepted => Some(2),
            Self::Claiming => Some(3),
            Self::Storing => Some(4),
            Self::Stored => Some(5),
            Self::Arriving | Self::Waiting | Self::Reading => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Arriving | Self::Reading => LARGE,
            _ => SMALL,
        }
    }
}

/// Documents that are not done.
const LEFT: &str =
    "SELECT count(*) FROM documents WHERE status <> 'ready' OR process_lease IS NOT NULL";

/// Where a process waits for as long as somebody holds that lock in its name: 1 for the one that is killed, 2 for the other.
const GATES: &str = "
    CREATE FUNCTION chaos_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::integer, coalesce(nullif(current_setting('chaos.process', true), ''), '0')::integer);
        RETURN NEW;
    END $$;
    CREATE TRIGGER chaos_1 BEFORE INSERT ON documents FOR EACH ROW EXECUTE FUNCTION chaos_gate(1);
    CREATE CONSTRAINT TRIGGER chaos_2 AFTER INSERT ON documents DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION chaos_gate(2);
    CREATE TRIGGER chaos_3 BEFORE UPDATE ON documents FOR EACH ROW
        WHEN (OLD.process_status = 'Queued' AND NEW.process_status = 'Processing') EXECUTE FUNCTION chaos_gate(3);
    CREATE TRIGGER chaos_4 BEFORE INSERT ON chunk FOR EACH ROW EXECUTE FUNCTION chaos_gate(4);
    CREATE CONSTRAINT TRIGGER chaos_5 AFTER UPDATE ON documents DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (OLD.process_status = 'Processing' AND NEW.process_status = 'Completed') EXECUTE FUNCTION chaos_gate(5);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_receiving() {
    kills_at(&[Moment::Arriving, Moment::Accepting, Moment::Accepted]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_queued() {
    kills_at(&[Moment::Waiting, Moment::Claiming]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_parsing() {
    kills_at(&[Moment::Reading]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_settling() {
    kills_at(&[Moment::Storing, Moment::Stored]).await;
}

/// Kills one of two processes again and again, in these moments by turns: nothing is lost or doubled, accounts are exact, and all of it
/// is at work again in time.
async fn kills_at(moments: &[Moment]) {
    let _alone = alone().await;
    let busy = others_load();
    let mut world = World::new().await;
    let mut victim = Process::start(&world.first).await;
    let other = Process::start(&world.second).await;
    let (mut watches, mut worst) = (JoinSet::new(), Duration::ZERO);
    let kills = kills();
    for kill in 0..kills {
        let moment = moments[kill % moments.len()];
        while watches.len() >= OPEN {
            worst = worst.max(world.take(&mut watches).await);
        }
        let (sent, seen) = world.strike(moment, victim, &other).await;
        println!("kill {} of {kills}: {moment:?}, {seen} in it", kill + 1);
        let watch = Watch {
            account: world.account.clone(),
            begun: begun(&world.journal()).len(),
            journal: world.journal(),
            at: at(&other),
            killed: Instant::now(),
        };
        watches.spawn(watch.until_at_work(sent));
        victim = Process::start(&world.first).await;
    }
    while !watches.is_empty() {
        worst = worst.max(world.take(&mut watches).await);
    }
    let documents = world.sent.len();
    println!("{kills} kills, {documents} documents: at work again after {worst:.1?} at worst");
    wait_until_by("all documents are ready", RESCUE * 12, async || {
        world.database.count(LEFT).await == 0
    })
    .await;
    world.assert_all_done(&other).await;
    victim.kill().await;
    other.kill().await;
    world.assert_swept().await;
    let limit = RESCUE.mul_f64(busy.max(others_load()));
    assert!(worst <= limit, "{worst:?}, more than {limit:?}");
}

#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn kills() -> usize {
    let asked = std::env::var("GLEANER_TEST_KILLS").ok();
    asked
        .and_then(|number| number.parse().ok())
        .unwrap_or(KILLS)
}

fn at(process: &Process) -> String {
    format!("http://{}", process.address())
}

/// A file that was sent, and the document's id, once the client was told.
#[derive(Clone)]
struct Sent {
    name: String,
    text: Bytes,
    /// As files and readers call it.
    sha256: String,
    uid: Option<String>,
}

fn sha256(bytes: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is sent to one process until it is killed.
#[derive(Default)]
struct Round {
    sent: Vec<Sent>,
    answers: JoinSet<(usize, Option<(u16, Value)>)>,
    /// Each lets the last part of a file go that is to be caught on its way. Dropped, the connection breaks.
    kept_back: Vec<oneshot::Sender<()>>,
    fed: Option<Instant>,
}

impl Round {
    /// Sends a further file, if it is time.
    fn feed(&mut self, moment: Moment, account: &Account, to: &Process, line: &str) {
        let pause = if self.sent.len().is_multiple_of(FED) {
            FEED_AGAIN
        } else {
            FEED_EVERY
        };
        if self.fed.is_some_and(|fed| fed.elapsed() < pause) {
            return;
        }
        self.fed = Some(Instant::now());
        let text = Bytes::from(line.repeat(moment.bytes() / line.len()));
        let (name, number) = (format!("{line:.20}.txt"), self.sent.len());
        let end = if moment == Moment::Arriving {
            let (last, gate) = oneshot::channel();
            self.kept_back.push(last);
            gate.map_ok(|()| tail()).boxed()
        } else {
            ready(Ok(tail())).boxed()
        };
        let start = stream::iter([head(&name), text.clone()].map(Ok));
        let body = Body::wrap_stream(start.chain(stream::once(end)));
        let (account, at, key) = (account.clone(), at(to), name.clone());
        self.answers
            .spawn(async move { (number, account.upload(&at, &key, body).await) });
        self.sent.push(Sent {
            name,
            sha256: sha256(&text),
            text,
            uid: None,
        });
    }

    /// Takes note of what was answered.
    fn answered(&mut self, (number, answer): (usize, Option<(u16, Value)>)) {
        self.sent[number].uid = answer.map(|(status, answer)| {
            assert_eq!(status, 201, "{answer}");
            id(&answer)
        });
    }

    fn look(&mut self) {
        while let Some(ended) = self.answers.try_join_next() {
            self.answered(ended.unwrap());
        }
    }

    /// What was sent, when nothing more is answered.
    async fn end(mut self) -> Vec<Sent> {
        self.kept_back.clear();
        while let Some(ended) = self.answers.join_next().await {
            self.answered(ended.unwrap());
        }
        self.sent
    }
}

/// A tenant, the processes' configurations, and all that was sent.
struct World {
    folder: TempDir,
    database: TestDatabase,
    /// Holds locks, and looks who waits for them.
    session: Client,
    account: Account,
    /// The program that reads documents.
    reader: String,
    first: ConfigFile,
    second: ConfigFile,
    chance: StdRng,
    sent: Vec<Sent>,
}

impl World {
    async fn new() -> Self {
        let chance = StdRng::seed_from_u64(seed());
        let folder = tempfile::Builder::new()
            .prefix("gleaner-chaos-")
            .tempdir_in("/tmp")
            .unwrap();
        let database = TestDatabase::new().await;
        database.run(GATES).await;
        let account = Account::create(&database, "a", 1 << 40).await;
        database.run("UPDATE tenant SET max_running = 1000").await;
        // It notes whose it is, its number and its file, and takes its time, so that others wait.
        let before = format!(
            "echo \"$PPID $$ $(/bin/readlink /proc/$$/fd/0)\" >> {}/journal\n/bin/sleep 0.3",
            folder.path().display()
        );
        let reader = readers::script(folder.path(), &before);
        let config = |name: &str, number: usize| {
            let url = format!("{}?options=-c%20chaos.process%3D{number}", database.url());
            let more = format!(
                "[documents]\nstorage = \"{}/files\"\n[workflows.document-processing.options]\nreader = \"{reader}\"\n",
                folder.path().display()
            );
            let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
            ConfigFile::with(name, &url, nowhere, &more)
        };
        Self {
            first: config("first", 1),
            second: config("second", 2),
            session: database.client().await,
            folder,
            database,
            account,
            reader,
            chance,
            sent: Vec::new(),
        }
    }

    /// Waits for the end of a watch; how long that was.
    async fn take(&mut self, watches: &mut JoinSet<(Vec<Sent>, Duration)>) -> Duration {
        let (sent, waited) = watches.join_next().await.unwrap().unwrap();
        self.sent.extend(sent);
        waited
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Sends the victim files until it is in this moment, and kills it there; what was sent, and how much was seen in that moment.
    async fn strike(
        &mut self,
        moment: Moment,
        victim: Process,
        other: &Process,
    ) -> (Vec<Sent>, usize) {
        self.gate(moment, "pg_advisory_lock").await;
        let mut round = Round::default();
        let drafts = written_drafts(&self.files());
        let deadline = Instant::now() + RESCUE * 4;
        let seen = loop {
            assert!(
                Instant::now() < deadline,
                "{moment:?} never comes:\n{}",
                victim.log_text()
            );
            let line = format!(
                "{:020} and the lock keeper writes down each ship that comes through. ",
                self.chance.random::<u64>()
            );
            round.feed(moment, &self.account, &victim, &line);
            round.look();
            if self.seen(moment, &round, &victim, other, &drafts).await > 0 {
                victim.signal(Signal::SIGSTOP);
                wait_until("it stands still", async || {
                    state_of(victim.pid()) == Some('T')
                })
                .await;
                // What is seen now is so when it dies.
                round.look();
                let seen = self.seen(moment, &round, &victim, other, &drafts).await;
                if seen > 0 {
                    break seen;
                }
                victim.signal(Signal::SIGCONT);
            }
            let_pass(LOOK).await;
        };
        victim.kill().await;
        self.gate(moment, "pg_advisory_unlock").await;
        (round.end().await, seen)
    }

    /// Takes or gives back the lock that makes the moment.
    async fn gate(&self, moment: Moment, how: &str) {
        if let Some(gate) = moment.gate() {
            let sql = format!("SELECT {how}({gate}, 1)");
            self.session.query_one(&sql, &[]).await.unwrap();
        }
    }

    /// How much is in this moment, as it is seen from outside.
    async fn seen(
        &self,
        moment: Moment,
        round: &Round,
        victim: &Process,
        other: &Process,
        drafts: &BTreeSet<PathBuf>,
    ) -> usize {
        if let Some(gate) = moment.gate() {
            return self.waiting_at(gate).await;
        }
        match moment {
            Moment::Arriving => written_drafts(&self.files()).difference(drafts).count(),
            Moment::Reading => {
                let begun = begun(&self.journal());
                let own = begun.iter().filter(|one| one.parent == victim.pid());
                own.filter(|one| one.reads()).count()
            }
            _ => {
                let begun = begun(&self.journal());
                let mut waiting = 0;
                for sent in &round.sent {
                    let is_begun = begun.iter().any(|one| one.sha256 == sent.sha256);
                    if let Some(uid) = sent.uid.as_ref().filter(|_| !is_begun) {
                        let status = self.status(&at(other), uid).await;
                        waiting += usize::from(status == "queued");
                    }
                }
                waiting
            }
        }
    }

    /// Sessions of the victim that wait for this lock.
    async fn waiting_at(&self, gate: i32) -> usize {
        let sql = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = {gate} AND objid = 1 \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        let count: i64 = self.session.query_one(&sql, &[]).await.unwrap().get(0);
        usize::try_from(count).unwrap()
    }

    async fn status(&self, at: &str, uid: &str) -> String {
        let path = format!("/api/documents/{uid}/status");
        let told = self.account.get(at, &path).await;
        told["status"].as_str().unwrap().to_owned()
    }

    /// Each that was sent is one document, ready, with its own text, read to its end once; and the account is that, to the byte.
    async fn assert_all_done(&self, process: &Process) {
        let at = at(process);
        let mut told = BTreeMap::new();
        let mut path = "/api/documents?limit=100".to_owned();
        loop {
            let list = self.account.get(&at, &path).await;
            for document in list["documents"].as_array().unwrap() {
                let name = document["filename"].as_str().unwrap().to_owned();
                let twice = told.insert(name.clone(), id(document));
                assert_eq!(twice, None, "{name} is two documents");
            }
            let Some(cursor) = list["next_cursor"].as_str() else {
                break;
            };
            path = format!("/api/documents?limit=100&cursor={cursor}");
        }
        assert_eq!(told.len(), self.sent.len());
        for sent in &self.sent {
            let uid = sent.uid.as_ref().unwrap();
            assert_eq!(told.get(&sent.name), Some(uid), "{}", sent.name);
            assert_eq!(self.status(&at, uid).await, "ready", "{}", sent.name);
            // Long texts are several pages.
            let text = self.account.text(&at, uid).await;
            let sent_text = str::from_utf8(&sent.text).unwrap();
            assert!(
                text.split_whitespace().eq(sent_text.split_whitespace()),
                "{}",
                sent.name
            );
        }
        let doubled = "SELECT count(*) FROM (SELECT FROM attempt WHERE stage = 'documents/process' AND outcome = 'completed' \
                       GROUP BY item_id HAVING count(*) > 1) AS twice";
        assert_eq!(self.database.count(doubled).await, 0);
        let usage = self.account.get(&at, "/api/user/stats").await;
        let bytes: usize = self.sent.iter().map(|sent| sent.text.len()).sum();
        assert_eq!(usage["used_bytes"], bytes, "{usage}");
        wait_until_by("no reader is left", RESCUE, async || {
            readers::count(&self.reader) == 0
        })
        .await;
    }

    /// What dead processes left is nobody's: once it is old enough nothing is set aside, and there is no file but those that were sent.
    async fn assert_swept(&self) {
        self.database
            .run("UPDATE reservation SET expires_at = now() - interval '1 second'")
            .await;
        for draft in drafts(&self.files()) {
            let file = std::fs::File::open(draft).unwrap();
            file.set_modified(SystemTime::now() - AGED).unwrap();
        }
        let config = self.second.path();
        let arguments = ["documents", "sweep", "--config", config.to_str().unwrap()];
        let (status, said) = run_to_end(&arguments, RESCUE).await;
        assert!(status.success(), "{said}");
        let set_aside = "SELECT sum(reserved_bytes)::bigint FROM tenant";
        assert_eq!(self.database.count(set_aside).await, 0);
        assert_eq!(drafts(&self.files()), Vec::<PathBuf>::new());
        let there: BTreeSet<String> = files_below(&self.files())
            .iter()
            .map(|path| {
                let hex = sha256(&std::fs::read(path).unwrap());
                assert_eq!(path.file_name().unwrap().to_str(), Some(hex.as_str()));
                hex
            })
            .collect();
        let sent: BTreeSet<String> = self.sent.iter().map(|sent| sent.sha256.clone()).collect();
        assert_eq!(there, sent);
    }
}

/// Waits for what a dead process had in hand.
struct Watch {
    account: Account,
    journal: PathBuf,
    /// Lines of the journal when it died.
    begun: usize,
    /// A process that goes on.
    at: String,
    killed: Instant,
}

impl Watch {
    /// Sends again what was not answered for, and waits until each is being read anew, or ready; what was sent, with all ids, and how long
    /// that took.
    async fn until_at_work(self, mut sent: Vec<Sent>) -> (Vec<Sent>, Duration) {
        for one in &mut sent {
            if one.uid.is_none() {
                let body = form(&one.name, std::iter::once(one.text.clone()));
                let answer = self.account.upload(&self.at, &one.name, body).await;
                let (status, answer) = answer.unwrap();
                assert!(matches!(status, 200 | 201), "{status}: {answer}");
                one.uid = Some(id(&answer));
            }
            let path = format!("/api/documents/{}/status", one.uid.as_ref().unwrap());
            while !begun(&self.journal)
                .iter()
                .skip(self.begun)
                .any(|begun| begun.sha256 == one.sha256)
            {
                if self.account.get(&self.at, &path).await["status"] == "ready" {
                    break;
                }
                let waited = self.killed.elapsed();
                assert!(waited < RESCUE * 8, "{} is left lying", one.name);
                let_pass(Duration::from_millis(100)).await;
            }
        }
        (sent, self.killed.elapsed())
    }
}

fn id(answer: &Value) -> String {
    answer["document_id"].as_str().unwrap().to_owned()
}

/// A reader that was started.
struct Begun {
    parent: i32,
    pid: i32,
    /// The file that it was given.
    sha256: String,
}

impl Begun {
    /// Whether it is at work: not the script any more, and not gone.
    fn reads(&self) -> bool {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.pid));
        program.is_ok_and(|program| program == Path::new(PROGRAM))
            && state_of(self.pid).is_some_and(|state| state != 'Z')
    }
}

fn begun(journal: &Path) -> Vec<Begun> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let [parent, pid, file] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        Begun {
            parent: parent.parse().unwrap(),
            pid: pid.parse().unwrap(),
            sha256: file.rsplit('/').next().unwrap().to_owned(),
        }
    });
    lines.collect()
}

/// The state of a process, as the kernel tells it; `None` if there is none.
fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.trim_start().chars().next()
}

/// Files on their way in.
fn drafts(files: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(files.join(".drafts")) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Those of which some is on the disk.
fn written_drafts(files: &Path) -> BTreeSet<PathBuf> {
    let is_written = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    drafts(files).into_iter().filter(is_written).collect()
}

/// Files that are kept.
fn files_below(files: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let tenants = entries(files)
        .into_iter()
        .filter(|path| !path.ends_with(".drafts"));
    let shelves = tenants.flat_map(|tenant| entries(&tenant));
    shelves.flat_map(|shelf| entries(&shelf)).collect()
}
