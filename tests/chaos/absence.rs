//! The database is away, for all or for one process alone, and every process lives: no row is charged for that.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio_postgres::Client;

use crate::support::database::TestDatabase;
use crate::support::held::{held, is_page, wait_asked};
use crate::support::journal::{Entry, Journal};
use crate::support::line::{Line, State};
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_pages, assert_each_once, texts, wait_all_done};
use crate::support::wait::{wait_until, wait_until_by};
use crate::support::{alone, let_pass};

/// Shorter than the defaults, so that the tests are; the proportions are the same.
const LEASES: &str = "[engine]\nlease = \"3s\"\nheartbeat = \"900ms\"\nfence_margin = \"600ms\"\n";
const LEASE: Duration = Duration::from_secs(3);
const PAGES: usize = 30;

/// Where a process finds the database.
#[derive(Clone, Copy, Debug)]
struct Ways<'a> {
    url: &'a str,
    /// Empty for the same.
    direct_url: &'a str,
}

/// The configuration of a process whose pages have so many attempts; `curation` is more about them.
fn config(
    name: &str,
    ways: Ways<'_>,
    journal: &Journal,
    attempts: u32,
    curation: &str,
) -> ConfigFile {
    let config = ConfigFile::with(name, ways.url, journal.address, LEASES);
    let direct = format!("direct_url = \"{}\"\n[http]", ways.direct_url);
    let pages = format!("[workflows.page-curation]\nmax_attempts = {attempts}\n{curation}");
    let text = config
        .text()
        .replace("[http]", &direct)
        .replace("[workflows.page-curation]\nmax_attempts = 15\n", &pages);
    config.write(&text);
    config
}

/// One way for everything.
fn one_way(url: &str) -> Ways<'_> {
    Ways {
        url,
        direct_url: "",
    }
}

fn is_of(entry: &Entry, process: &str) -> bool {
    is_page(entry) && entry.agent.starts_with(process)
}

/// Every row of the pages that is not as it should be: done, at its first attempt.
async fn charged(client: &Client) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', id, curation_status, curation_attempts, curation_error) FROM page \
               WHERE curation_status IS DISTINCT FROM 'Completed' OR curation_attempts <> 1 ORDER BY id";
    texts(client, sql).await
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_of_the_database_charge_no_row_however_many() {
    const OUTAGES: usize = 4;
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let line = Line::to(database.url()).await;
    let file = config(
        "bereft",
        one_way(&line.url(database.url())),
        &journal,
        2,
        "",
    );
    let mut process = Process::start(&file).await;
    add_pages(&client, 1, 30).await;
    for outage in 1..=OUTAGES {
        wait_asked(&journal, PAGES * outage).await;
        line.set(State::Cut);
        let_pass(LEASE + Duration::from_secs(1)).await;
        line.set(State::Whole);
    }
    wait_asked(&journal, PAGES * (OUTAGES + 1)).await;
    journal.open();
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_eq!(charged(&client).await, Vec::<String>::new());
    assert_each_once(&client).await;
    // Each outage stops what runs; nothing is asked for besides.
    assert_eq!(journal.count(is_page), PAGES * (OUTAGES + 1));
    process.wait_ready(Duration::from_secs(10)).await;
    assert!(process.is_running());
}

/// The other process finds the leases of the one that is cut off ended, and may not work its pages: it quarantines them, for it
/// must take their worker for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_quarantined_by_another_process_are_given_back_by_a_worker_that_lives() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let line = Line::to(database.url()).await;
    let url = line.url(database.url());
    let file = config("apart", one_way(&url), &journal, 1, "");
    let process = Process::start(&file).await;
    add_pages(&client, 1, 30).await;
    wait_asked(&journal, PAGES).await;
    let off = "enabled = false\n";
    let watcher = config("watcher", one_way(database.url()), &journal, 1, off);
    let _watcher = Process::start(&watcher).await;

    line.set(State::Silent);
    let quarantined = "SELECT count(*) FROM page WHERE curation_status = 'Error'";
    wait_until("the other has given them up", async || {
        number(&client, quarantined).await == 30
    })
    .await;
    // Somebody has a look at three of them meanwhile: what people did stays.
    client
        .batch_execute(
            "UPDATE page SET curation_status = 'Cancelled' WHERE id = 1;
             UPDATE page SET curation_status = 'Completed' WHERE id = 2;
             UPDATE page SET curation_status = NULL WHERE id = 3",
        )
        .await
        .unwrap();
    line.set(State::Whole);
    wait_asked(&journal, 2 * PAGES - 3).await;
    journal.open();
    wait_all_done(&client, Duration::from_secs(30)).await;
    let done = "SELECT count(*) FROM page WHERE curation_status = 'Completed' AND curation_attempts = 1 AND curation_error IS NULL AND id > 3";
    assert_eq!(number(&client, done).await, 27);
    assert_eq!(
        texts(
            &client,
            "SELECT coalesce(curation_status, '-') FROM page WHERE id <= 3 ORDER BY id"
        )
        .await,
        ["Cancelled", "Completed", "-"]
    );
    process.wait_ready(Duration::from_secs(10)).await;
}

/// It had said that it stops while there was somebody to hear it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_process_that_loses_the_database_while_it_drains_are_not_charged() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let line = Line::to(database.url()).await;
    let file = config(
        "polite",
        one_way(&line.url(database.url())),
        &journal,
        1,
        "",
    );
    let text = file
        .text()
        .replace("[engine]\n", "[engine]\ndrain_timeout = \"3s\"\n");
    file.write(&text);
    let mut process = Process::start(&file).await;
    add_pages(&client, 1, 30).await;
    wait_asked(&journal, PAGES).await;
    process.signal(Signal::SIGTERM);
    let stopping = "SELECT count(*) FROM node WHERE stopping_at IS NOT NULL";
    wait_until("it has said so", async || {
        number(&client, stopping).await == 1
    })
    .await;
    line.set(State::Cut);
    let status = process.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(0), "{}", process.log_text());
    let held = "SELECT count(*) FROM page WHERE curation_status = 'Processing'";
    assert_eq!(
        number(&client, held).await,
        30,
        "it could not hand them back"
    );
    journal.open();
    let next = config("next", one_way(database.url()), &journal, 1, "");
    let _next = Process::start(&next).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_eq!(charged(&client).await, Vec::<String>::new());
    assert_each_once(&client).await;
}

/// Nobody hears that it stops: the next process of the same machine has to say so. Once it is the first to see the rows again; once another
/// has taken their worker for dead and given them up meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_process_that_is_told_to_stop_without_its_database_are_not_charged() {
    for is_watched in [false, true] {
        let _alone = alone().await;
        let (journal, database, client) = held().await;
        let line = Line::to(database.url()).await;
        let machine = tempfile::tempdir().unwrap();
        let at_home = |file: &ConfigFile| {
            let data_dir = machine.path().display();
            let text = file
                .text()
                .replace("[engine]\n", "[engine]\ndrain_timeout = \"1s\"\n");
            file.write(&format!("{text}[embedded]\ndata_dir = \"{data_dir}\"\n"));
        };
        let cut_off = config(
            "unheard",
            one_way(&line.url(database.url())),
            &journal,
            1,
            "",
        );
        at_home(&cut_off);
        let mut process = Process::start(&cut_off).await;
        add_pages(&client, 1, 30).await;
        wait_asked(&journal, PAGES).await;
        line.set(State::Silent);
        process.signal(Signal::SIGTERM);
        let status = process.ended(Duration::from_secs(20)).await;
        assert_eq!(status.code(), Some(0), "{}", process.log_text());
        let unheard = "SELECT count(*) FROM node WHERE stopping_at IS NULL";
        assert_eq!(number(&client, unheard).await, 1, "nobody heard it");
        if is_watched {
            let off = "enabled = false\n";
            let watcher = config("watcher", one_way(database.url()), &journal, 1, off);
            let _watcher = Process::start(&watcher).await;
            let quarantined = "SELECT count(*) FROM page WHERE curation_status = 'Error'";
            wait_until("another has given them up", async || {
                number(&client, quarantined).await == 30
            })
            .await;
        }
        journal.open();
        let next = config("next", one_way(database.url()), &journal, 1, "");
        at_home(&next);
        let _next = Process::start(&next).await;
        wait_all_done(&client, Duration::from_secs(30)).await;
        assert_eq!(charged(&client).await, Vec::<String>::new());
        assert_each_once(&client).await;
        let words = machine.path().join("last-words");
        assert_eq!(words.read_dir().unwrap().count(), 0, "it was passed on");
    }
}

/// The other process takes the pages over: none is worked by both at once, and the one that is cut off writes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_another_process_took_over_stay_its_own() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let line = Line::to(database.url()).await;
    let file = config("apart", one_way(&line.url(database.url())), &journal, 2, "");
    let process = Process::start(&file).await;
    add_pages(&client, 1, 30).await;
    wait_asked(&journal, PAGES).await;
    let other_file = config("other", one_way(database.url()), &journal, 2, "");
    let other = Process::start(&other_file).await;
    line.set(State::Cut);
    wait_until("the other has them", async || {
        journal.count(|entry| is_of(entry, "other")) == PAGES
    })
    .await;
    line.set(State::Whole);
    let excused = "SELECT count(*) FROM attempt WHERE outcome = 'excused' AND attempt = 1";
    wait_until("the first has said that it lives", async || {
        number(&client, excused).await == 30
    })
    .await;
    // Now the other dies at the last attempt that the rows have. One of its two has been excused.
    other.kill().await;
    wait_until_by(
        "the first has them again",
        Duration::from_secs(20),
        async || journal.count(|entry| is_of(entry, "apart")) == 2 * PAGES,
    )
    .await;
    journal.open();
    wait_all_done(&client, Duration::from_secs(30)).await;
    let done =
        "SELECT count(*) FROM page WHERE curation_status = 'Completed' AND curation_attempts = 3";
    assert_eq!(number(&client, done).await, 30);
    assert_each_once_but_for_deaths(&client).await;
    process.wait_ready(Duration::from_secs(10)).await;
}

/// As [`assert_each_once`]; of the deaths, `rescued` and `excused` stand in the history beside each other.
async fn assert_each_once_but_for_deaths(client: &Client) {
    let outcomes = "SELECT DISTINCT outcome || ' at ' || attempt FROM attempt WHERE stage = 'page/curation' ORDER BY 1";
    assert_eq!(
        texts(client, outcomes).await,
        ["completed at 3", "excused at 1", "rescued at 2"]
    );
    assert_each_once(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_direct_way_the_heartbeat_takes_the_other() {
    for fault in [State::Cut, State::Silent] {
        let _alone = alone().await;
        let journal = Journal::sites(Duration::ZERO).await;
        journal.hold(is_page);
        let database = TestDatabase::new().await;
        let client = database.client().await;
        let line = Line::to(database.url()).await;
        let ways = Ways {
            url: database.url(),
            direct_url: &line.url(database.url()),
        };
        let file = config("detour", ways, &journal, 2, "");
        let process = Process::start(&file).await;
        assert!(line.made() > 0, "it has not gone the direct way");
        add_pages(&client, 1, 30).await;
        wait_asked(&journal, PAGES).await;
        let cut_at = Instant::now();
        line.set(fault);
        let_pass(LEASE * 4).await;
        let asked = journal.count(is_page);
        println!(
            "{fault:?} for {:.1?}: {asked} requests for {PAGES} pages",
            cut_at.elapsed()
        );
        assert_eq!(asked, PAGES, "{fault:?}");
        journal.open();
        wait_all_done(&client, Duration::from_secs(30)).await;
        assert_eq!(charged(&client).await, Vec::<String>::new(), "{fault:?}");
        assert_each_once(&client).await;
        assert_eq!(process.log_count("lease lost"), 0, "{}", process.log_text());
    }
}

/// A page that kills its process each time it is worked still ends as an error, and names why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_worker_dies_is_charged_as_before() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    add_pages(&client, 1, 1).await;
    for death in 1..=2 {
        let file = config(
            &format!("mortal-{death}"),
            one_way(database.url()),
            &journal,
            2,
            "",
        );
        let process = Process::start(&file).await;
        wait_asked(&journal, death).await;
        process.kill().await;
    }
    let file = config("last", one_way(database.url()), &journal, 2, "");
    let _last = Process::start(&file).await;
    let state =
        "SELECT concat_ws(' ', curation_status, curation_attempts, curation_error) FROM page";
    wait_until("it is quarantined", async || {
        texts(&client, state).await
            == ["Error 2 quarantined: its worker died at attempt 2, the last"]
    })
    .await;
    assert_eq!(journal.count(is_page), 2);
}
