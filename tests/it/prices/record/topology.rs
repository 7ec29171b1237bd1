//! The whole path, from an entry in Redis to a recorded result, over Redis as it is run in production: behind Sentinel with a
//! failover, as a cluster with a slot that moves, under TLS with a private authority.

use std::time::Duration;

use gleaner::config::Config;
use gleaner::redis::{Redis, Timetables};
use gleaner::secret::Secret;
use gleaner::telemetry::chain;
use gleaner::web::fetch::{Ask, Pace, SharedPace as _, Turn};

use super::{results, site, start_with};
use crate::support::certificates::Certificates;
use crate::support::redis::free_address;
use crate::support::{TestApp, TestDatabase, TestRedis, wait_until};

const LIST: &str = "crawl:auto_record:queue";

/// Nothing but auto-record, with the queue at `url`.
async fn start_at(database: TestDatabase, url: &str, change: impl FnOnce(&mut Config)) -> TestApp {
    start_with(database, None, |config| {
        config.redis.url = Secret::new(url);
        change(config);
    })
    .await
}

/// A result that the table does not queue by itself: only an entry in Redis gets it recorded.
async fn unqueued(database: &TestDatabase, page: i64) -> i64 {
    database
        .run(&format!(
            "BEGIN; ALTER TABLE crawl_result DISABLE TRIGGER USER;
             INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, price_sources)
             VALUES ({page}, 1, true, 5, 'EUR', '{{og}}');
             ALTER TABLE crawl_result ENABLE TRIGGER USER; COMMIT"
        ))
        .await;
    database.count("SELECT max(id) FROM crawl_result").await
}

/// A result as any software stores it.
async fn queued(database: &TestDatabase, page: i64) {
    database
        .run(&format!(
            "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, price_sources)
             VALUES ({page}, 1, true, 5, 'EUR', '{{og}}')"
        ))
        .await;
}

async fn wait_recorded(database: &TestDatabase, prices: i64) {
    wait_until(&format!("{prices} are recorded"), async || {
        database.count("SELECT count(*) FROM price_history").await == prices
    })
    .await;
}

async fn wait_up(app: &TestApp, is_up: bool) {
    wait_until(&format!("Redis is up: {is_up}"), async || {
        app.app().shared().redis.as_ref().map(Redis::is_up) == Some(is_up)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_a_failover_loses_nothing() {
    let Some(mut master) = TestRedis::start_with(&["--repl-diskless-sync-delay", "0"]).await else {
        return;
    };
    let port = master.address().port().to_string();
    let replica = TestRedis::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    let replica = replica.unwrap();
    let sentinel = TestRedis::start_sentinel(&master).await.unwrap();
    wait_until("Sentinel knows the replica in step", async || {
        let replicas = sentinel.run("SENTINEL REPLICAS main").await;
        replicas.contains("master-link-status\nok")
    })
    .await;

    let url = format!(
        "redis-sentinel://{}?sentinelServiceName=main",
        sentinel.address()
    );
    let app = start_at(site(6).await, &url, |_| ()).await;
    wait_up(&app, true).await;
    let id = unqueued(&app.database, 1).await;
    master.run(&format!("RPUSH {LIST} {id}")).await;
    wait_recorded(&app.database, 1).await;

    master.kill().await;
    queued(&app.database, 2).await;
    wait_recorded(&app.database, 2).await;
    wait_until("the replica is the master", async || {
        replica.run("ROLE").await.starts_with("master")
    })
    .await;
    wait_up(&app, true).await;
    let id = unqueued(&app.database, 3).await;
    replica.run(&format!("RPUSH {LIST} {id}")).await;
    wait_recorded(&app.database, 3).await;
    let (_, database) = app.stop().await;

    // The reconciler fills the new master's list, too: here nobody works it.
    let app = start_at(database, &url, |config| {
        config.workflows.keep_only(&[]);
    })
    .await;
    for page in 4..=6 {
        queued(&app.database, page).await;
    }
    wait_until("what is due stands in the list", async || {
        replica.count(&format!("LLEN {LIST}")).await == 3
    })
    .await;
    app.stop().await;
}

/// Slots of a cluster are numbered from 0.
const LAST_SLOT: usize = 16_383;
const SLOTS_PER_NODE: usize = LAST_SLOT / 3 + 1;

/// Three masters that share the slots.
async fn cluster() -> Option<Vec<TestRedis>> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let bus = free_address().port().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let node = TestRedis::start_with(&arguments).await?;
        let from = nodes.len() * SLOTS_PER_NODE;
        let to = (from + SLOTS_PER_NODE - 1).min(LAST_SLOT);
        node.run(&format!("CLUSTER ADDSLOTSRANGE {from} {to}"))
            .await;
        if let Some(first) = nodes.first() {
            let first: &TestRedis = first;
            let port = node.address().port();
            first
                .run(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
                .await;
        }
        nodes.push(node);
    }
    for node in &nodes {
        wait_until("the cluster is whole", async || {
            let info = node.run("CLUSTER INFO").await;
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
        .await;
    }
    Some(nodes)
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_keys_share_a_slot_and_follow_it() {
    let Some(nodes) = cluster().await else {
        return;
    };
    let (first, others) = nodes.split_first().unwrap();
    let list = format!("{{gleaner}}:{LIST}");
    let slot = first.count(&format!("CLUSTER KEYSLOT {list}")).await;
    let owner = &nodes[usize::try_from(slot).unwrap() / SLOTS_PER_NODE];
    let target = others
        .iter()
        .find(|node| node.address() != owner.address())
        .unwrap();
    let url = format!(
        "redis-cluster://{}?node={}",
        first.address(),
        others[0].address()
    );
    let app = start_at(site(2).await, &url, |config| {
        "{gleaner}:".clone_into(&mut config.redis.prefix);
    })
    .await;
    wait_up(&app, true).await;
    let id = unqueued(&app.database, 1).await;
    assert_eq!(owner.run(&format!("RPUSH {list} {id}")).await, "1");
    wait_recorded(&app.database, 1).await;

    // The slot moves while the program runs. Its keys are gone with the work, or go when their time has come.
    let new_owner = target.run("CLUSTER MYID").await;
    let move_slot = format!("CLUSTER SETSLOT {slot} NODE {new_owner}");
    wait_until("the slot is empty", async || {
        owner
            .count(&format!("CLUSTER COUNTKEYSINSLOT {slot}"))
            .await
            == 0
    })
    .await;
    for node in [target, owner, &nodes[0], &nodes[1], &nodes[2]] {
        assert_eq!(node.run(&move_slot).await, "OK");
    }
    let id = unqueued(&app.database, 2).await;
    assert_eq!(target.run(&format!("RPUSH {list} {id}")).await, "1");
    wait_recorded(&app.database, 2).await;
    wait_until("the list is empty", async || {
        target.count(&format!("LLEN {list}")).await == 0
    })
    .await;
    wait_up(&app, true).await;
    let config = app.app().shared().config.get();
    app.stop().await;

    // The hosts' timetables lie in the same slot.
    let redis = Redis::connect(&config.redis).await.unwrap();
    wait_until("the cluster answers", async || redis.probe().await).await;
    let timetables = Timetables::new(redis);
    let ask = Ask {
        host: "a".to_owned(),
        pace: Pace::Request {
            spacing: Duration::ZERO,
        },
        places: 1,
        lease: Duration::from_secs(9),
    };
    let turn = timetables.turn(ask).await.unwrap();
    assert!(matches!(turn, Turn::Now(_)), "{turn:?}");
    let places = "ZCARD {gleaner}:crawl:pace:places:a";
    assert_eq!(target.count(places).await, 1);
    drop(turn);
    wait_until("the place is given back", async || {
        target.count(places).await == 0
    })
    .await;
}

/// A server under TLS with this certificate, and its URL; in the clear at its other port.
async fn start_tls(certificates: &Certificates) -> Option<(TestRedis, String)> {
    let port = free_address().port().to_string();
    let files = ["ca.pem", "server.pem", "server.key"].map(|name| certificates.path(name));
    let arguments = [
        ["--tls-port", &port],
        ["--tls-ca-cert-file", &files[0]],
        ["--tls-cert-file", &files[1]],
        ["--tls-key-file", &files[2]],
        ["--tls-auth-clients", "no"],
    ];
    let redis = TestRedis::start_with(&arguments.concat()).await?;
    Some((redis, format!("rediss://127.0.0.1:{port}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_the_authority_it_is_told_and_no_other() {
    let Some(ours) = Certificates::make("IP:127.0.0.1") else {
        return;
    };
    let elsewhere = Certificates::make("DNS:elsewhere.example").unwrap();
    let Some((redis, url)) = start_tls(&ours).await else {
        return;
    };
    let (_other_redis, other_url) = start_tls(&elsewhere).await.unwrap();
    let database = site(1).await;
    results(&database, 1).await;
    database
        .run("UPDATE crawl_result SET auto_record_status = NULL")
        .await;
    let app = start_at(database, &url, |config| {
        config.redis.ca = ours.path("ca.pem").into();
    })
    .await;
    wait_up(&app, true).await;
    redis.run(&format!("RPUSH {LIST} 1")).await;
    wait_recorded(&app.database, 1).await;
    let config = app.app().shared().config.get();
    app.stop().await;

    for (url, ca, expected) in [
        (&url, String::new(), "name the authority's in redis.ca"),
        (&url, elsewhere.path("ca.pem"), "is redis.ca up to date"),
        (&other_url, elsewhere.path("ca.pem"), "another name"),
    ] {
        let mut config = config.redis.clone();
        config.url = Secret::new(url);
        config.ca = ca.clone().into();
        let redis = Redis::connect(&config).await.unwrap();
        assert!(!redis.is_up());
        let error = chain(&redis.findings().await.unwrap_err());
        assert!(error.contains(expected), "{url} {ca}: {error}");
        redis.close().await;
    }
}
