//! How often several processes come together, with real Redis servers that are flushed, hung, killed and started again.

use std::num::NonZeroUsize;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use gleaner::areas;
use gleaner::config::Sources;
use gleaner::redis::{Redis, Timetables};
use gleaner::secret::Secret;
use gleaner::web::fetch::{
    Ask, Client, Config, FetchError, Pace, RequestOptions, SharedPace, Turn,
};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{OK, client, millis, url};
use crate::support::nasty::{Nasty, response, send};
use crate::support::{PATIENCE, TestDatabase, TestRedis, wait_until, wait_until_by};

/// Between two requests to one host, in all these tests.
const DELAY: Duration = Duration::from_millis(40);

/// What Redis is given to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The connection of one process.
async fn connect(server: &TestRedis) -> Redis {
    connect_to(&server.url()).await
}

async fn connect_to(url: &str) -> Redis {
    let mut config = areas::load(&Sources::default()).unwrap().redis;
    config.url = Secret::new(url);
    // Longer than a busy machine may keep it waiting.
    config.timeout = TIMEOUT;
    let redis = Redis::connect(&config).await.unwrap();
    wait_until("Redis answers", async || redis.probe().await).await;
    redis
}

/// The way out of one process, wired as the application does it.
async fn process(server: &TestRedis, change: impl FnOnce(&mut Config)) -> (Client, Redis) {
    let redis = connect(server).await;
    let client = client(|config| {
        config.per_host_delay = DELAY;
        config.per_host_concurrency = NonZeroUsize::new(2).unwrap();
        config.max_wait = PATIENCE;
        change(config);
    });
    client.share_pace(Box::new(Timetables::new(redis.clone())));
    (client, redis)
}

/// So many requests by each of the processes, as fast as they may; all of them succeed.
async fn visit(server: &Nasty, processes: [&Client; 2], each: usize) {
    let page = server.url("/");
    let requests = processes.map(|client| join_all((0..each).map(|_| client.get(&page))));
    for answer in join_all(requests).await.concat() {
        answer.unwrap();
    }
}

/// Whether the requests came no faster than one process alone would come. What it saves by counting on the delays of others
/// is half; a tenth is left to the scheduler of a busy machine.
fn assert_rate(starts: &[Instant]) {
    let whole = *starts.last().unwrap() - starts[0];
    let delays = u32::try_from(starts.len() - 1).unwrap();
    assert!(whole >= DELAY * delays * 9 / 10, "{delays} in {whole:?}");
}

/// When the requests came.
fn starts(server: &Nasty) -> Vec<Instant> {
    let mut starts: Vec<Instant> = server.seen().iter().map(|request| request.at).collect();
    starts.sort();
    starts
}

/// A host that takes its time over each request, and the most requests that it had at once.
async fn slow_host() -> (Nasty, Arc<AtomicUsize>) {
    let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&most);
    let server = Nasty::start(move |_, mut stream| {
        let (in_flight, most) = (Arc::clone(&in_flight), Arc::clone(&most));
        async move {
            let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::time::interval_at(Instant::now() + millis(70), millis(70))
                .tick()
                .await;
            in_flight.fetch_sub(1, Ordering::SeqCst);
            send(&mut stream, &response(OK, &[], b"x")).await;
        }
    })
    .await;
    (server, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_together_come_no_oftener_than_one() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let (one, _) = process(&redis, |_| ()).await;
    let (other, _) = process(&redis, |_| ()).await;
    let (server, most) = slow_host().await;
    visit(&server, [&one, &other], 15).await;
    assert_rate(&starts(&server));
    assert_eq!(most.load(Ordering::SeqCst), 2);
    wait_until("every place is given back", async || {
        redis.run("KEYS *places*").await.is_empty()
    })
    .await;
    let host = server.address.ip();
    let ttl = redis.count(&format!("PTTL crawl:pace:host:{host}")).await;
    assert!((1..=61_000).contains(&ttl), "{ttl}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_makes_nobody_come_early() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let (one, _) = process(&redis, |_| ()).await;
    let (other, _) = process(&redis, |_| ()).await;
    let (server, _) = slow_host().await;
    let flush = async {
        for seen in [8, 16, 24] {
            wait_until("it is well under way", async || server.seen().len() >= seen).await;
            redis.run("FLUSHALL").await;
        }
    };
    join(visit(&server, [&one, &other], 15), flush).await;
    assert_rate(&starts(&server));
}

/// What the script answers, one process and one step at a time.
#[tokio::test(flavor = "multi_thread")]
async fn turns_are_given_one_by_one() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let (one, other) = (
        Timetables::new(connect(&redis).await),
        Timetables::new(connect(&redis).await),
    );
    let long = Duration::from_secs(60);
    let ask = |pace| Ask {
        host: "a".to_owned(),
        pace,
        places: 2,
        lease: long,
    };
    let request = |spacing| ask(Pace::Request { spacing });
    let redirect = |delay| {
        ask(Pace::Redirect {
            delay,
            spacing: long,
        })
    };
    let wait = async |table: &Timetables, ask| match table.turn(ask).await.unwrap() {
        Turn::In(wait) => wait,
        turn => panic!("{turn:?}"),
    };
    // Nothing is known: somebody may have been there a moment ago.
    let first = wait(&one, request(long)).await;
    assert!(first <= long && first > long / 2, "{first:?}");
    let place = match one.turn(request(Duration::ZERO)).await.unwrap() {
        Turn::Now(place) => place,
        turn => panic!("{turn:?}"),
    };
    // A hop of the same visit keeps the plain delay, whatever is free after it.
    let hop = match moments_later(&one, redirect(Duration::ZERO)).await {
        Turn::Now(place) => place,
        turn => panic!("{turn:?}"),
    };
    let next = wait(&other, request(Duration::ZERO)).await;
    assert!(next <= long + millis(1) && next > long / 2, "{next:?}");
    // Both places are taken; one of them comes back.
    let turn = moments_later(&other, redirect(Duration::ZERO)).await;
    assert!(matches!(turn, Turn::Full), "{turn:?}");
    drop(place);
    drop(wait_until_turn(&other, redirect(Duration::ZERO)).await);
    drop(hop);
    // A rest comes before everything, and only gets longer.
    for seconds in [90, 30] {
        let rest = Duration::from_secs(seconds);
        one.rest("a".to_owned(), rest).await.unwrap();
    }
    let rest = wait(&other, redirect(Duration::ZERO)).await;
    assert!(rest > Duration::from_secs(45), "{rest:?}");
    let known = other.resting("a".to_owned()).await.unwrap();
    assert!(
        known > Duration::from_secs(45) && known <= rest,
        "{known:?}"
    );
    let elsewhere = other.resting("b".to_owned()).await.unwrap();
    assert!(elsewhere.is_zero());
    // After a flush again nothing is known.
    redis.run("FLUSHALL").await;
    let again = wait(&other, request(long)).await;
    assert!(again <= long && again > long / 2, "{again:?}");
}

/// A clock that was set back, or another server's after a failover, stops nobody for longer than a delay.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_stops_nobody() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let table = Timetables::new(connect(&redis).await);
    let seconds: i64 = redis
        .run("TIME")
        .await
        .split_once('\n')
        .unwrap()
        .0
        .parse()
        .unwrap();
    let (ahead, free) = ((seconds + 3_600) * 1_000, (seconds + 3_600) * 1_000 + 30);
    redis
        .run(&format!("HSET crawl:pace:host:a last {ahead} next {free}"))
        .await;
    redis.run(&format!("SET crawl:pace:since {ahead}")).await;
    for host in ["a", "b"] {
        let ask = Ask {
            host: host.to_owned(),
            pace: Pace::Request { spacing: DELAY },
            places: 2,
            lease: DELAY,
        };
        drop(wait_until_turn(&table, ask).await);
    }
}

/// The answer once the millisecond of the last start is over.
async fn moments_later(table: &Timetables, ask: Ask) -> Turn {
    loop {
        match table.turn(ask.clone()).await.unwrap() {
            Turn::In(wait) if wait <= millis(1) => {}
            turn => return turn,
        }
    }
}

async fn wait_until_turn(table: &Timetables, ask: Ask) -> Box<dyn gleaner::web::fetch::Place> {
    let mut place = None;
    wait_until("it is its turn", async || {
        if let Turn::Now(own) = table.turn(ask.clone()).await.unwrap() {
            place = Some(own);
        }
        place.is_some()
    })
    .await;
    place.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_holds_nobody_up_and_ends() {
    let Some(mut redis) = TestRedis::start().await else {
        return;
    };
    let (one, one_redis) = process(&redis, |_| ()).await;
    let (other, other_redis) = process(&redis, |_| ()).await;
    let (server, _) = slow_host().await;
    let page = server.url("/");
    redis.hang();
    let (answer, other_answer) = join(one.get(&page), other.get(&page)).await;
    assert!(answer.is_ok() && other_answer.is_ok());
    assert!(!one_redis.is_up() && !other_redis.is_up());
    // Nobody asks it any more: each question would take its whole timeout.
    let started = Instant::now();
    visit(&server, [&one, &other], 10).await;
    assert!(started.elapsed() < TIMEOUT * 3, "{:?}", started.elapsed());
    redis.kill().await;
    redis.start_again().await;
    for redis in [&one_redis, &other_redis] {
        wait_until("it answers again", async || redis.probe().await).await;
    }
    let before = server.seen().len();
    visit(&server, [&one, &other], 10).await;
    assert_rate(&starts(&server)[before..]);
}

/// A server that lets us have the queue and nothing else is not away: the queue goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_no_outage() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let server = Nasty::fixed(response(OK, &[], b"x")).await;
    for (user, rights) in [
        ("keys", "~crawl:auto_record:* +@all"),
        ("commands", "~* +@all -hset"),
    ] {
        let rule = format!("ACL SETUSER {user} on >secret &* {rights}");
        assert_eq!(redis.run(&rule).await, "OK");
        let own = connect_to(&format!("redis://{user}:secret@{}", redis.address())).await;
        let client = client(|_| ());
        client.share_pace(Box::new(Timetables::new(own.clone())));
        client.get(&server.url("/")).await.unwrap();
        assert!(own.is_up(), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl_delays_and_rests_hold_for_all() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let server = Nasty::start(|request, mut stream| async move {
        let answer = match (request.path.as_str(), request.header("host")) {
            ("/robots.txt", _) => response(OK, &[], b"User-agent: *\nCrawl-delay: 25\n"),
            (_, Some("tired.example")) => {
                response("429 Too Many Requests", &[("Retry-After", "120")], b"")
            }
            _ => response(OK, &[], b"x"),
        };
        send(&mut stream, &answer).await;
    })
    .await;
    let web = Some(server.address);
    let (one, _) = process(&redis, |config| {
        config.robots = true;
        config.proxy_hosts_to = web;
    })
    .await;
    let (other, _) = process(&redis, |config| config.proxy_hosts_to = web).await;
    let (alone, _) = process(&redis, |config| {
        config.proxy_hosts_to = web;
        config.shared_pace = false;
    })
    .await;
    for (page, least, most) in [
        ("http://calm.example/", 15, 26),
        ("http://tired.example/", 100, 120),
    ] {
        let page = url(page);
        one.get(&page).await.unwrap();
        let busy = other.get(&page).await.unwrap_err();
        let FetchError::HostBusy { retry_after } = busy else {
            panic!("{busy}");
        };
        assert!(
            (least..=most).contains(&retry_after.as_secs()),
            "{retry_after:?}"
        );
        alone.get(&page).await.unwrap();
    }
    let api = RequestOptions {
        own_pace: true,
        ..RequestOptions::default()
    };
    let tired = url("http://tired.example/");
    let busy = other.get_with(&tired, api.clone()).await.unwrap_err();
    assert_eq!(busy.class(), "host_busy");
    let calm = url("http://calm.example/");
    assert!(other.get_with(&calm, api).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_process_holds_a_host_no_longer_than_its_requests_may_take() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let (living, _) = process(&redis, |_| ()).await;
    let server = Nasty::fixed(response(OK, &[], b"x")).await;
    let dying = Timetables::new(connect(&redis).await);
    let lease = Duration::from_secs(2);
    let ask = Ask {
        host: server.address.ip().to_string(),
        pace: Pace::Request {
            spacing: Duration::ZERO,
        },
        places: 2,
        lease,
    };
    let mut last = Instant::now();
    for _ in 0..2 {
        last = Instant::now();
        // As after `kill -9`: nobody gives it back.
        std::mem::forget(wait_until_turn(&dying, ask.clone()).await);
    }
    let turn = moments_later(&dying, ask).await;
    assert!(matches!(turn, Turn::Full), "{turn:?}");
    living.get(&server.url("/")).await.unwrap();
    assert!(last.elapsed() >= lease / 2, "{:?}", last.elapsed());
}

/// The program itself, which shares the rate with another and is the one of this name to the server.
fn start_program(name: &str, folder: &std::path::Path, common: &str) -> Child {
    let file = folder.join(format!("{name}.toml"));
    let own = format!("[fetch]\nuser_agent = \"{name}/1 (+https://gleaner.example/bot)\"\n");
    std::fs::write(&file, common.replace("[fetch]\n", &own)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .args(["run", "--only", "page-curation", "--config"])
        .arg(file)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_keep_one_pace_and_one_goes_on_after_the_others_death() {
    const PAGES: i64 = 120;
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let server = Nasty::fixed(response(
        OK,
        &[("Content-Type", "text/html")],
        b"<title>Kettles</title><p>a@kettle-example.com</p>",
    ))
    .await;
    let database = TestDatabase::new().await;
    database
        .run("INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com')")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let common = format!(
        "[database]\nurl = \"{}\"\n[redis]\nurl = \"{}\"\n[http]\nlisten = \"\"\n\
         [engine]\nlease = \"3s\"\nheartbeat = \"500ms\"\nrescue_interval = \"500ms\"\n\
         [fetch]\nproxy_hosts_to = \"{}\"\nper_host_delay = \"{}ms\"\nrobots = false\ntimeout = \"1s\"\n\
         [workflows.page-curation]\nbatch_size = 4\nconcurrency = 4\ninterval = \"1s\"\n",
        database.url(),
        redis.url(),
        server.address,
        DELAY.as_millis(),
    );
    let mut doomed = start_program("Doomed", folder.path(), &common);
    let survivor = start_program("Survivor", folder.path(), &common);
    wait_until_by("both are up", PATIENCE * 2, async || {
        database.count("SELECT count(*) FROM node").await == 2
    })
    .await;
    database
        .run(&format!(
            "INSERT INTO page (domain_id, url, status)
             SELECT 1, 'https://kettle-example.com/' || n, 'Selected' FROM generate_series(1, {PAGES}) AS n"
        ))
        .await;
    let visits = |name: &str| {
        let is_by = |agent: &str| agent.starts_with(name);
        let seen = server.seen();
        seen.iter()
            .filter(|request| request.header("user-agent").is_some_and(is_by))
            .count()
    };
    wait_until_by("both are at it", PATIENCE * 2, async || {
        visits("Doomed") >= 10 && visits("Survivor") >= 10
    })
    .await;
    assert_rate(&starts(&server));
    doomed.kill().await.unwrap();
    let (dead, alive) = (visits("Doomed"), visits("Survivor"));
    wait_until_by("every page is done", PATIENCE * 2, async || {
        let done = "SELECT count(*) FROM page WHERE curation_status = 'Completed'";
        database.count(done).await == PAGES
    })
    .await;
    assert_rate(&starts(&server));
    assert_eq!(visits("Doomed"), dead);
    assert!(visits("Survivor") > alive);
    drop(survivor);
}
