//! Members that come, go and take others' places while the tree runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::testing::{Call, Fault, MemoryPort, Script, Status, until};
use gleaner_actors::{Change, Member, State, TreeError, TreeSettings};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::{NAME, World, pass, settings};

const OTHER: &str = "other";
const WITHIN: Duration = Duration::from_secs(30);

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn adding(members: Vec<Member>) -> Change {
    Change {
        add: members,
        within: WITHIN,
        ..Change::default()
    }
}

fn removing(removed: &[&str]) -> Change {
    Change {
        remove: names(removed),
        within: WITHIN,
        ..Change::default()
    }
}

/// Puts a workflow on this port in the place of the one of this name.
fn replacing(name: &'static str, port: &Arc<MemoryPort>) -> Change {
    Change {
        add: vec![Member::workflow(name, Arc::clone(port), settings())],
        ..removing(&[name])
    }
}

impl World {
    /// A port whose leases are renewed like those of the first.
    fn another_port(&self) -> Arc<MemoryPort> {
        let port = MemoryPort::new();
        self.heart.join(&port);
        port
    }

    async fn has(&self, name: &str) -> bool {
        self.tree.status().await.unwrap().workflow(name).is_some()
    }

    async fn until_gone(&self, name: &str) {
        until(&format!("{name} is gone"), || async {
            !self.has(name).await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_added_works_at_once() {
    let world = World::start(MemoryPort::new(), settings()).await;
    let port = world.another_port();
    port.enqueue(1..=5);
    let start = Instant::now();
    let member = Member::workflow(OTHER, Arc::clone(&port), settings());
    world.tree.change(adding(vec![member])).await.unwrap();
    port.until_count(Status::Completed, 5).await;
    assert!(start.elapsed() < Duration::from_millis(500));
    // It is woken, paused and told by its name as any other.
    port.enqueue([6]);
    world.tree.wake(OTHER);
    port.until_count(Status::Completed, 6).await;
    port.enqueue([7]);
    world.tree.wake_all();
    port.until_count(Status::Completed, 7).await;
    world.tree.pause(OTHER).await.unwrap();
    let status = world.tree.status().await.unwrap();
    assert_eq!(status.workflow(OTHER).unwrap().state, State::Paused);
    let order: Vec<&str> = status.workflows.iter().map(|own| &*own.name).collect();
    assert_eq!(order, [NAME, OTHER]);
    assert_eq!(status.leases, 2);
}

#[tokio::test(start_paused = true)]
async fn a_member_may_come_paused_or_switched_off() {
    let world = World::start(MemoryPort::new(), settings()).await;
    let ports = [world.another_port(), world.another_port()];
    ports.iter().for_each(|port| port.enqueue([1]));
    let off = gleaner_actors::Settings {
        enabled: false,
        ..settings()
    };
    let members = vec![
        Member::workflow("paused", Arc::clone(&ports[0]), settings()).paused(true),
        Member::workflow("off", Arc::clone(&ports[1]), off),
    ];
    world.tree.change(adding(members)).await.unwrap();
    pass(Duration::from_secs(60)).await;
    let status = world.tree.status().await.unwrap();
    assert_eq!(status.workflow("paused").unwrap().state, State::Paused);
    assert_eq!(status.workflow("off").unwrap().state, State::Disabled);
    assert!(ports.iter().all(|port| port.claims().is_empty()));
    world.tree.resume("paused").await.unwrap();
    ports[0].until_count(Status::Completed, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_removed_finishes_what_it_has_and_is_gone() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=30, &[Script::Take(Duration::from_secs(2))]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("twenty run", |port| port.running() == 20)
        .await;
    let start = Instant::now();
    world.tree.change(removing(&[NAME])).await.unwrap();
    let status = world.status().await;
    assert_eq!(status.state, State::Draining);
    assert_eq!(status.reason.as_deref(), Some("taken out by a reload"));
    world.until_gone(NAME).await;
    assert!(
        start.elapsed() < Duration::from_millis(2_200),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.port.count(Status::Completed), 20);
    assert_eq!(world.port.count(Status::Queued), 10);
    assert!(world.port.leases().is_empty());
    let status = world.tree.status().await.unwrap();
    assert_eq!((status.workflows.len(), status.leases), (0, 0));
    world.tree.wake(NAME);
    assert!(matches!(
        world.tree.pause(NAME).await,
        Err(TreeError::Unknown { .. })
    ));
    // Nor is it looked at any more.
    let claims = world.port.claims().len();
    pass(Duration::from_secs(600)).await;
    assert_eq!(world.port.claims().len(), claims);
    assert_eq!(world.journal.count("stalled", NAME), 0);
    assert_eq!(world.journal.count("restarted", NAME), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_removed_member_does_not_finish_in_time_is_handed_back_uncharged() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1, 2], &[Script::Take(Duration::from_secs(1))]);
    port.enqueue_scripted([3, 4, 5], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("all run", |port| port.running() == 5)
        .await;
    let start = Instant::now();
    let change = Change {
        within: Duration::from_secs(5),
        ..removing(&[NAME])
    };
    world.tree.change(change).await.unwrap();
    world.until_gone(NAME).await;
    let took = start.elapsed();
    assert!(
        (5_000..5_100).contains(&took.as_millis()),
        "{took:?}: at the deadline"
    );
    assert_eq!(world.port.count(Status::Completed), 2);
    for item in 3..=5 {
        let row = world.port.row(item).unwrap();
        assert_eq!((row.status, row.attempts), (Status::Queued, 0));
    }
    assert_eq!((world.port.running(), world.port.leases().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn members_that_have_no_actor_are_gone_at_once() {
    let ports: Vec<_> = (0..3).map(|_| MemoryPort::new()).collect();
    let off = gleaner_actors::Settings {
        enabled: false,
        ..settings()
    };
    ports[0].fail(Call::OpenLease, Fault::Misconfigured("no key"));
    ports[1].enqueue([1]);
    ports[1].fail(Call::Claim, Fault::Panic);
    let members = vec![
        Member::workflow("idle", Arc::clone(&ports[0]), settings()),
        Member::workflow("parked", Arc::clone(&ports[1]), settings()),
        Member::workflow("off", Arc::clone(&ports[2]), off),
    ];
    let tree = TreeSettings::default();
    let world = World::start_tree(MemoryPort::new(), settings(), tree, members).await;
    for port in &ports {
        world.heart.join(port);
    }
    let state = async |name| {
        let status = world.tree.status().await.unwrap();
        status.workflow(name).map(|own| own.state)
    };
    until("all are in their states", || async {
        state("idle").await == Some(State::Idle) && state("parked").await == Some(State::Parked)
    })
    .await;
    let start = Instant::now();
    world
        .tree
        .change(removing(&["idle", "parked", "off"]))
        .await
        .unwrap();
    for name in ["idle", "parked", "off"] {
        world.until_gone(name).await;
    }
    assert!(start.elapsed() < Duration::from_millis(100));
    assert!(ports.iter().all(|port| port.leases().is_empty()));
    assert_eq!(
        world.journal.count("unparked", "parked"),
        1,
        "nothing is parked any more"
    );
    assert!(world.has(NAME).await);
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_another_s_place_starts_when_that_one_has_come_down() {
    let old = MemoryPort::new();
    old.enqueue_scripted(1..=5, &[Script::Take(Duration::from_secs(3))]);
    let world = World::start(old, settings()).await;
    world
        .port
        .until("all run", |port| port.running() == 5)
        .await;
    world.tree.pause(NAME).await.unwrap();
    world.tree.resume(NAME).await.unwrap();
    let new = world.another_port();
    new.enqueue([11]);
    let start = Instant::now();
    world.tree.change(replacing(NAME, &new)).await.unwrap();
    let status = world.status().await;
    assert_eq!(status.state, State::Draining);
    assert!(status.reason.unwrap().contains("place"));
    pass(Duration::from_secs(2)).await;
    assert!(new.leases().is_empty(), "the old one is still at work");
    new.until_count(Status::Completed, 1).await;
    assert!(
        (3_000..3_400).contains(&start.elapsed().as_millis()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.port.count(Status::Completed), 5);
    assert!(world.port.leases().is_empty(), "its lease was closed first");
    world
        .until("the counts go on", |status| status.completed == 6)
        .await;
    let status = world.status().await;
    assert_eq!((status.incarnation, status.restarts), (2, 0));
    new.enqueue([12]);
    world.tree.wake(NAME);
    new.until_count(Status::Completed, 2).await;
    assert_eq!(world.journal.count("restarted", NAME), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_stage_is_never_held_twice_by_one_name() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=200, &[Script::Take(Duration::from_millis(700))]);
    let world = World::start(port, settings()).await;
    for _round in 0..5 {
        pass(Duration::from_millis(300)).await;
        world
            .tree
            .change(replacing(NAME, &world.port))
            .await
            .unwrap();
        until("one lease at most, until it is back", || async {
            assert!(world.port.leases().len() <= 1);
            world.status().await.state == State::Running
        })
        .await;
    }
    world.port.until_count(Status::Completed, 200).await;
    assert!(world.port.most_running() <= 20);
    for item in 1..=200 {
        let row = world.port.row(item).unwrap();
        assert_eq!((row.runs, row.attempts, row.stored), (1, 1, 1), "{item}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_for_the_one_that_takes_the_place() {
    let world = World::start(MemoryPort::new(), settings()).await;
    world.tree.pause(NAME).await.unwrap();
    let new = world.another_port();
    new.enqueue([1]);
    world.tree.change(replacing(NAME, &new)).await.unwrap();
    world
        .until("it is in its place", |status| status.incarnation == 2)
        .await;
    pass(Duration::from_secs(60)).await;
    world.until_state(State::Paused).await;
    assert!(new.claims().is_empty());
    world.tree.resume(NAME).await.unwrap();
    new.until_count(Status::Completed, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_change_changes_nothing() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let ticker = Member::ticker("ticker", WITHIN, Arc::new(crate::support::Nothing));
    let tree = TreeSettings::default();
    let world = World::start_tree(port, settings(), tree, vec![ticker]).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    let new = world.another_port();
    let member = |name: &'static str| Member::workflow(name, Arc::clone(&new), settings());
    let off = gleaner_actors::Settings {
        enabled: false,
        ..settings()
    };
    let with = |name: &str| [(name.to_owned(), off.clone())].into();
    let unknown = "nothing is called \"nobody\"; there are workflow, ticker";
    for (change, expected) in [
        (removing(&[NAME, "nobody"]), unknown),
        (
            Change {
                add: vec![member(OTHER)],
                ..removing(&["nobody"])
            },
            unknown,
        ),
        (
            adding(vec![member(OTHER), member(NAME)]),
            "two members of the tree are called \"workflow\"",
        ),
        (
            adding(vec![member(OTHER), member(OTHER)]),
            "two members of the tree are called \"other\"",
        ),
        (
            Change {
                settings: with("nobody"),
                add: vec![member(OTHER)],
                ..removing(&[])
            },
            "nothing is called \"nobody\"; there are workflow",
        ),
        (
            Change {
                settings: with(NAME),
                ..removing(&[NAME])
            },
            "nothing is called \"workflow\"; there are ",
        ),
        (
            Change {
                settings: with("ticker"),
                ..adding(vec![member(OTHER)])
            },
            "nothing is called \"ticker\"; there are workflow",
        ),
    ] {
        let error = world.tree.change(change).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!world.has(OTHER).await, "{expected}");
        let status = world.status().await;
        assert_eq!(status.state, State::Running, "{expected}");
        assert!(status.settings.enabled, "{expected}");
    }
    pass(Duration::from_secs(1)).await;
    assert!(new.leases().is_empty());
    assert_eq!(world.port.running(), 1);
}

/// What comes while the first is on its way out is judged by what that leaves.
#[tokio::test(start_paused = true)]
async fn changes_that_come_during_a_way_out_are_put_together() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Take(Duration::from_secs(10))]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    let start = Instant::now();
    let ports: Vec<_> = (0..3).map(|_| world.another_port()).collect();
    ports.iter().for_each(|port| port.enqueue([1]));
    let change = async |change| world.tree.change(change).await;

    change(removing(&[NAME])).await.unwrap();
    // It does not belong here any more,
    for gone in [
        removing(&[NAME]),
        Change {
            settings: [(NAME.to_owned(), settings())].into(),
            ..removing(&[])
        },
    ] {
        let error = change(gone).await.unwrap_err();
        assert!(matches!(error, TreeError::Unknown { .. }), "{error}");
    }
    // so its name is free, for one at a time; the newest counts,
    let member = |at: usize| Member::workflow(NAME, Arc::clone(&ports[at]), settings());
    change(adding(vec![member(0)])).await.unwrap();
    let error = change(adding(vec![member(1)])).await.unwrap_err();
    assert!(matches!(error, TreeError::Duplicate(_)), "{error}");
    change(replacing(NAME, &ports[1])).await.unwrap();
    // it may be called off,
    change(removing(&[NAME])).await.unwrap();
    change(adding(vec![member(2)])).await.unwrap();
    // and is told what is set while it waits.
    let told = gleaner_actors::Settings {
        batch_size: 7,
        ..settings()
    };
    let change_settings = Change {
        settings: [(NAME.to_owned(), told)].into(),
        ..Change::default()
    };
    change(change_settings).await.unwrap();
    ports[2].until_count(Status::Completed, 1).await;
    assert!(start.elapsed() >= Duration::from_secs(10));
    assert_eq!(world.port.count(Status::Completed), 1);
    assert_eq!(ports[2].claims()[0].limit, 7);
    for port in &ports[..2] {
        assert!(port.claims().is_empty() && port.leases().is_empty());
    }
    assert_eq!(world.status().await.incarnation, 2);
}

#[tokio::test(start_paused = true)]
async fn the_sooner_of_two_deadlines_holds() {
    for (first, second, expected) in [(30, 5, 5), (5, 30, 5), (30, 0, 0)] {
        let port = MemoryPort::new();
        port.enqueue_scripted([1], &[Script::Hang]);
        let world = World::start(port, settings()).await;
        world
            .port
            .until("it runs", |port| port.running() == 1)
            .await;
        let start = Instant::now();
        let new = world.another_port();
        for seconds in [first, second] {
            let change = Change {
                within: Duration::from_secs(seconds),
                ..replacing(NAME, &new)
            };
            world.tree.change(change).await.unwrap();
        }
        world
            .until("the other is there", |status| {
                status.incarnation == 2 && status.lease.is_some()
            })
            .await;
        assert_eq!(start.elapsed().as_secs(), expected, "{first}, {second}");
        assert_eq!(world.port.row(1).unwrap().attempts, 0);
        let time = start + Duration::from_secs(60);
        tokio::time::sleep_until(time).await;
        assert_eq!(world.status().await.incarnation, 2, "left alone since");
    }
}

#[tokio::test(start_paused = true)]
async fn the_tree_may_come_down_meanwhile() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1, 2], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    let kept = world.another_port();
    kept.enqueue_scripted([1], &[Script::Take(Duration::from_secs(1))]);
    let member = Member::workflow(OTHER, Arc::clone(&kept), settings());
    world.tree.change(adding(vec![member])).await.unwrap();
    world
        .port
        .until("both run", |port| port.running() == 2)
        .await;
    kept.until("it runs", |port| port.running() == 1).await;
    let new = world.another_port();
    new.enqueue([1]);
    world.tree.change(replacing(NAME, &new)).await.unwrap();
    let (report, refused) = tokio::join!(world.tree.drain(Duration::from_secs(5)), async {
        world.until_state(State::Draining).await;
        world.tree.change(removing(&[OTHER])).await
    });
    assert!(
        matches!(refused, Err(TreeError::Draining)),
        "{:?}",
        refused.err()
    );
    assert!(!report.finished);
    assert_eq!(report.released, 2);
    assert!(report.unclosed.is_empty(), "{report:?}");
    assert_eq!(kept.count(Status::Completed), 1);
    for port in [&world.port, &kept, &new] {
        assert!(port.leases().is_empty());
    }
    assert!(new.claims().is_empty(), "nobody takes a place any more");
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_on_its_way_out_is_gone_and_its_rows_are_handed_back() {
    for successor in [false, true] {
        let port = MemoryPort::new();
        port.enqueue_scripted(1..=3, &[Script::Hang]);
        let world = World::start(port, settings()).await;
        world
            .port
            .until("all run", |port| port.running() == 3)
            .await;
        let new = world.another_port();
        new.enqueue([1]);
        let change = if successor {
            replacing(NAME, &new)
        } else {
            removing(&[NAME])
        };
        world.tree.change(change).await.unwrap();
        let start = Instant::now();
        world.tree.crash(NAME);
        if successor {
            new.until_count(Status::Completed, 1).await;
        } else {
            world.until_gone(NAME).await;
        }
        assert!(start.elapsed() < Duration::from_millis(400));
        for item in 1..=3 {
            let row = world.port.row(item).unwrap();
            assert_eq!((row.status, row.attempts), (Status::Queued, 0));
        }
        assert_eq!((world.port.running(), world.port.leases().len()), (0, 0));
        assert_eq!(
            world.journal.count("restarted", NAME),
            0,
            "it is missed by nobody"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_its_restart_is_gone_without_it() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    world.tree.crash(NAME);
    world.until_state(State::Restarting).await;
    world.tree.change(removing(&[NAME])).await.unwrap();
    world.until_gone(NAME).await;
    pass(Duration::from_secs(60)).await;
    assert!(!world.has(NAME).await);
    assert!(world.port.leases().is_empty());
    assert_eq!(world.journal.count("lease_opened", NAME), 1);
}

/// An actor that never answers again, and a store that refuses to record: neither holds its name for ever.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_down_is_killed() {
    for is_hung in [true, false] {
        let port = MemoryPort::new();
        port.enqueue_scripted([1], &[Script::Take(Duration::from_secs(1))]);
        if !is_hung {
            port.fail(Call::Settle, Fault::Unavailable);
        }
        let mut own = settings();
        own.stall_after = Duration::from_secs(3_600);
        let world = World::start(port, own).await;
        world
            .port
            .until("it runs", |port| port.running() == 1)
            .await;
        if is_hung {
            world.tree.hang(NAME);
        }
        let start = Instant::now();
        world.tree.change(removing(&[NAME])).await.unwrap();
        world.until_gone(NAME).await;
        let bound = WITHIN + TreeSettings::default().lease_ttl + Duration::from_secs(2);
        assert!(start.elapsed() <= bound, "{is_hung}: {:?}", start.elapsed());
        assert!(world.port.leases().is_empty());
        let row = world.port.row(1).unwrap();
        assert_eq!((row.status, row.attempts), (Status::Queued, 0), "{is_hung}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_keeps_a_name_until_the_lease_is_closed() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    world.port.fail(Call::CloseLease, Fault::Unavailable);
    let new = world.another_port();
    new.enqueue([1]);
    let change = Change {
        within: Duration::ZERO,
        ..replacing(NAME, &new)
    };
    world.tree.change(change).await.unwrap();
    pass(Duration::from_secs(120)).await;
    assert_eq!(world.status().await.state, State::Draining);
    assert!(new.claims().is_empty());
    world.port.mend();
    new.until_count(Status::Completed, 1).await;
    assert!(world.port.leases().is_empty());
    assert_eq!(world.port.row(1).unwrap().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_switched_off_while_it_drains_may_be_taken_out_too() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    let off = gleaner_actors::Settings {
        enabled: false,
        ..settings()
    };
    world
        .tree
        .reload([(NAME.to_owned(), off)].into())
        .await
        .unwrap();
    world.until_state(State::Draining).await;
    let change = Change {
        within: Duration::from_secs(3),
        ..removing(&[NAME])
    };
    world.tree.change(change).await.unwrap();
    world.until_gone(NAME).await;
    assert_eq!(world.port.row(1).unwrap().attempts, 0);
}

/// Of a helper there is nothing to finish.
#[tokio::test(start_paused = true)]
async fn tickers_come_and_go_too() {
    let world = World::start(MemoryPort::new(), settings()).await;
    let ticker = || Member::ticker("ticker", WITHIN, Arc::new(crate::support::Nothing));
    world.tree.change(adding(vec![ticker()])).await.unwrap();
    let runs = async || {
        let status = world.tree.status().await.unwrap();
        status.helper("ticker").map(|helper| helper.runs)
    };
    until("it has run", || async { runs().await == Some(1) }).await;
    world.tree.change(removing(&["ticker"])).await.unwrap();
    until("it is gone", || async { runs().await.is_none() }).await;
}

#[tokio::test(start_paused = true)]
async fn members_that_come_and_go_leave_nothing_behind() {
    let world = World::start(MemoryPort::new(), settings()).await;
    let port = world.another_port();
    let rows = 50 * 4;
    port.enqueue_scripted(1..=rows, &[Script::Take(Duration::from_millis(40))]);
    world.until_state(State::Waiting).await;
    pass(Duration::from_secs(30)).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 0..50 {
        let member = Member::workflow(OTHER, Arc::clone(&port), settings());
        world.tree.change(adding(vec![member])).await.unwrap();
        // Some at work, some that have not even a lease yet, some in another's place.
        pass(Duration::from_millis(50 * (round % 3))).await;
        if round % 5 == 0 {
            world.tree.change(replacing(OTHER, &port)).await.unwrap();
        }
        if round % 7 == 0 {
            world.tree.crash(OTHER);
        }
        world.tree.change(removing(&[OTHER])).await.unwrap();
        if round % 2 == 0 {
            world.until_gone(OTHER).await;
        }
    }
    world.until_gone(OTHER).await;
    let status = world.tree.status().await.unwrap();
    assert_eq!((status.workflows.len(), status.leases), (1, 1));
    assert!(port.leases().is_empty());
    until("no task is left", || async { tasks() <= before }).await;
    // Nothing was lost on the way, nor done twice.
    let member = Member::workflow(OTHER, Arc::clone(&port), settings());
    world.tree.change(adding(vec![member])).await.unwrap();
    port.until_count(Status::Completed, usize::try_from(rows).unwrap())
        .await;
    for item in 1..=rows {
        assert_eq!(port.row(item).unwrap().stored, 1, "{item}");
    }
}
