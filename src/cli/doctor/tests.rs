//! Judgements over facts, case by case.

use super::*;

fn server() -> Server {
    Server {
        version_num: 150_020,
        version: "15.20".into(),
        encoding: "UTF8".into(),
        autovacuum: true,
        most_connections: 97,
        connections: 10,
        database_limit: -1,
        sees_all: true,
        ..Server::default()
    }
}

fn table(dead: i64, is_off: bool) -> Vacuum {
    Vacuum {
        name: "page".into(),
        live: 1_000,
        dead,
        threshold: 250.0,
        is_off,
        vacuumed_seconds: None,
    }
}

fn node(version: &str, status: serde_json::Value) -> Node {
    Node {
        id: 1,
        host: "h".into(),
        pid: 1,
        version: version.into(),
        up_seconds: 1.0,
        seen_seconds: 1.0,
        alive: true,
        status: Some(status),
    }
}

#[test]
fn the_server_is_judged() {
    type Spoil = fn(&mut Server);
    type Judge = fn(&Server) -> Check;
    let cases: [(Spoil, Judge, Grade); 14] = [
        (|_| {}, |server| reachable("p", server), Grade::Ok),
        (
            |server| server.version_num = 130_009,
            |server| reachable("p", server),
            Grade::Fail,
        ),
        (
            |server| server.encoding = "SQL_ASCII".into(),
            |server| reachable("p", server),
            Grade::Fail,
        ),
        (|_| {}, writable, Grade::Ok),
        (|server| server.in_recovery = true, writable, Grade::Fail),
        (|server| server.read_only = true, writable, Grade::Fail),
        (|_| {}, durable, Grade::Ok),
        (
            |server| server.careless = vec!["fsync".into()],
            durable,
            Grade::Warn,
        ),
        (|_| {}, |server| connections(server, 10), Grade::Ok),
        (
            |server| server.connections = 90,
            |server| connections(server, 10),
            Grade::Warn,
        ),
        (
            |server| server.database_limit = 12,
            |server| connections(server, 10),
            Grade::Warn,
        ),
        (|_| {}, |server| transactions(server, &[]), Grade::Ok),
        (
            |server| server.prepared_transactions = 1,
            |server| transactions(server, &[]),
            Grade::Warn,
        ),
        (
            |server| server.idle_slots = 1,
            |server| transactions(server, &[]),
            Grade::Warn,
        ),
    ];
    for (index, (spoil, judge, expected)) in cases.into_iter().enumerate() {
        let mut server = server();
        spoil(&mut server);
        let check = judge(&server);
        assert_eq!(check.outcome, expected, "case {index}: {check:?}");
        assert_eq!(check.advice.is_some(), expected != Grade::Ok, "{check:?}");
    }
}

#[test]
fn who_keeps_dead_row_versions_is_named_with_what_to_do() {
    let holder = |kind: &str, pid, seconds, only_catalogue| Holder {
        kind: kind.into(),
        pid,
        user: Some("ann".into()),
        name: Some("rep\u{7}ort".into()),
        address: None,
        state: None,
        seconds,
        transactions: 5_000,
        only_catalogue,
    };
    for (holders, expected, texts) in [
        (vec![], Grade::Ok, vec![]),
        (
            vec![holder("session", Some(7), Some(1.0), false)],
            Grade::Ok,
            vec![],
        ),
        (
            vec![holder("session", Some(7), Some(60.0), false)],
            Grade::Warn,
            vec![
                "session 7 (ann, rep\u{fffd}ort) for 60 s, 5000 transactions ago",
                "pg_terminate_backend",
            ],
        ),
        (
            vec![holder("prepared transaction", None, Some(60.0), false)],
            Grade::Warn,
            vec!["prepared transaction (ann", "ROLLBACK PREPARED"],
        ),
        (
            vec![holder("replica", Some(7), Some(60.0), false)],
            Grade::Warn,
            vec!["hot_standby_feedback"],
        ),
        (
            vec![holder("replication slot", None, None, true)],
            Grade::Warn,
            vec![
                "those of the catalogue",
                "since a time that is not shown",
                "pg_drop_replication_slot",
            ],
        ),
    ] {
        let check = pins(&holders);
        assert_eq!(check.outcome, expected, "{check:?}");
        let told = format!("{} {}", check.found, check.advice.unwrap_or_default());
        for text in texts {
            assert!(told.contains(text), "{text}: {told}");
        }
    }
}

#[test]
fn vacuum_is_judged() {
    for (is_on, tables, expected) in [
        (true, vec![], Grade::Ok),
        (true, vec![table(200, false)], Grade::Ok),
        (true, vec![table(1_251, false)], Grade::Warn),
        (true, vec![table(0, true)], Grade::Fail),
        (false, vec![table(0, false)], Grade::Fail),
    ] {
        let mut server = server();
        server.autovacuum = is_on;
        assert_eq!(vacuum(&server, &tables).outcome, expected, "{tables:?}");
    }
}

#[test]
fn a_clock_is_off_beyond_doubt_only() {
    for (ahead, error, expected) in [
        (0.1, 0.01, Grade::Ok),
        (-2.5, 0.01, Grade::Warn),
        (2.5, 1.0, Grade::Ok),
    ] {
        assert_eq!(clock(Skew { ahead, error }).outcome, expected, "{ahead}");
    }
}

#[test]
fn stuck_rows_are_told_apart() {
    let stage = |orphaned, foreign| {
        let own = Stuck {
            orphaned,
            foreign,
            foreign_seconds: (foreign > 0).then_some(120.0),
        };
        vec![("place/deep_scan".to_owned(), own)]
    };
    let hour = Duration::from_secs(3_600);
    for (stuck, is_running, after, text) in [
        (stage(0, 0), true, hour, "each has a worker"),
        (stage(3, 1), false, hour, "start `gleaner run`"),
        (stage(3, 0), true, hour, "within seconds"),
        (stage(0, 2), true, hour, "queued again after 1h"),
        (stage(0, 2), true, Duration::ZERO, "they stay so"),
    ] {
        let check = stuck_rows(&stuck, is_running, after);
        let all = format!("{} {}", check.found, check.advice.unwrap_or_default());
        assert!(all.contains(text), "{all}");
    }
}

#[test]
fn processes_are_judged() {
    let parked_status = serde_json::json!({"workflows": [{"name": "deep-scan", "state": "parked", "reason": "no key"}]});
    let names = ["deep-scan", "page-curation"];
    let (old, new) = (node("1", serde_json::json!({})), node("2", parked_status));
    assert_eq!(running(&[]).outcome, Grade::Warn);
    assert_eq!(running(&[&old, &old]).outcome, Grade::Ok);
    assert_eq!(running(&[&old, &new]).outcome, Grade::Warn);
    assert_eq!(parked(&[&old], &names, &[]).outcome, Grade::Ok);
    let check = parked(&[&old, &new], &names, &[]);
    assert_eq!(check.outcome, Grade::Fail);
    assert!(
        check.found.contains("deep-scan parked on node 1: no key"),
        "{check:?}"
    );
    // One that lacks its key is found only where rows wait for it.
    let idle_status = serde_json::json!({"workflows": [{"name": "deep-scan", "state": "idle", "reason": "no key"}]});
    let idle = node("1", idle_status);
    assert_eq!(
        parked(&[&idle], &names, &["page-curation"]).outcome,
        Grade::Ok
    );
    let check = parked(&[&idle], &names, &["deep-scan"]);
    assert_eq!(check.outcome, Grade::Fail);
    assert!(check.found.contains("deep-scan idle on node 1: no key"));
}

#[test]
fn supervisord_must_outwait_the_drain() {
    let program = |seconds| Program {
        name: "gleaner".into(),
        stop_wait: Duration::from_secs(seconds),
    };
    let timeout = Duration::from_secs(30);
    assert_eq!(drain(timeout, &[]).outcome, Grade::Ok);
    assert_eq!(drain(timeout, &[program(60)]).outcome, Grade::Ok);
    assert_eq!(
        drain(timeout, &[program(60), program(30)]).outcome,
        Grade::Warn
    );
}
