//! Workflows that the configuration makes: they come, change and go by reloads of the running program (`support/toys.rs` has them).

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use gleaner::config::{self, Config};
use gleaner_actors::{State, WorkflowStatus};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::http::get;
use crate::support::toys::{NAMES, TABLES, WITH_TOYS, configuration, read, toy};
use crate::support::{TestApp, TestDatabase, wait_until};

/// A program, and what is asked of it here.
struct Program {
    app: TestApp,
}

impl Program {
    async fn start(rows: u32, sections: &str) -> Self {
        Self::start_with(rows, sections, |_| ()).await
    }

    async fn start_with(rows: u32, sections: &str, change: impl FnOnce(&mut Config)) -> Self {
        let database = TestDatabase::new().await;
        database.run(TABLES).await;
        database
            .run(&format!(
                "INSERT INTO work (one_status, two_status) SELECT 'Queued', 'Queued' FROM generate_series(1, {rows})"
            ))
            .await;
        let mut config = configuration(&database, sections).unwrap();
        change(&mut config);
        let app = Box::pin(TestApp::start_with(&WITH_TOYS, config, database)).await;
        Self { app }
    }

    async fn reload(&self, sections: &str) -> anyhow::Result<()> {
        self.reload_with(sections, |_| ()).await
    }

    async fn reload_with(
        &self,
        sections: &str,
        change: impl FnOnce(&mut Config),
    ) -> anyhow::Result<()> {
        let loaded = configuration(&self.app.database, sections).map(|mut config| {
            change(&mut config);
            config
        });
        Box::pin(self.app.app().reload(loaded, None)).await?;
        Ok(())
    }

    async fn own(&self, name: &str) -> Option<WorkflowStatus> {
        self.app.status().await.workflow(name).cloned()
    }

    async fn until_gone(&self, name: &str) {
        wait_until(&format!("{name} is gone"), async || {
            self.own(name).await.is_none()
        })
        .await;
    }

    async fn count(&self, stage: &str, status: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM work WHERE {stage}_status = '{status}'");
        self.app.database.scalar(&sql).await
    }

    async fn until_completed(&self, stage: &str, rows: i64) {
        wait_until(
            &format!("{rows} rows of {stage} are completed"),
            async || self.count(stage, "Completed").await == rows,
        )
        .await;
    }

    /// Each row of a stage that is completed has been worked once, and has one effect; all others have been charged nothing.
    async fn assert_nothing_lost_or_doubled(&self, stage: &str) {
        let wrong = self
            .app
            .database
            .rows(&format!(
                "SELECT id, {stage}_status, {stage}_attempts, count(effect) FROM work \
                 LEFT JOIN effect ON item = id AND stage = '{stage}' GROUP BY id \
                 HAVING count(effect) <> (CASE {stage}_status WHEN 'Completed' THEN 1 ELSE 0 END) \
                 OR {stage}_attempts <> (CASE {stage}_status WHEN 'Completed' THEN 1 ELSE 0 END) \
                 OR {stage}_status NOT IN ('Queued', 'Completed') OR {stage}_lease IS NOT NULL"
            ))
            .await;
        assert_eq!(wrong, Vec::<String>::new(), "{stage}");
    }

    /// The leases that this program holds, by workflow.
    async fn leases(&self) -> Vec<String> {
        let sql = "SELECT workflow FROM lease WHERE expires_at > now() ORDER BY 1";
        self.app.database.rows(sql).await
    }

    /// Queues one row more.
    async fn queue(&self, stage: &str) {
        let sql = format!("INSERT INTO work ({stage}_status) VALUES ('Queued')");
        self.app.database.run(&sql).await;
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let (_, body) = get(&self.app.http(path)).await;
        serde_json::from_str(&body).unwrap()
    }
}

/// Does it until it has taken less than a second once: others on the machine can only make it slower.
async fn within_a_second(what: &str, mut take: impl AsyncFnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 5 {
        took.push(take().await);
        if took.last() < Some(&Duration::from_secs(1)) {
            return;
        }
    }
    panic!("{what}: never within a second: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_a_workflow_under_load_and_it_works_within_a_second() {
    let busy = toy("one", "one", "takes = \"5ms\"\nconcurrency = 4");
    // Only what the listener hears wakes anybody.
    let program = Program::start_with(600, &busy, |config| {
        config.engine.gauges_interval = Duration::from_secs(3600);
    })
    .await;
    wait_until("the first works", async || {
        program.count("one", "Completed").await > 0
    })
    .await;
    assert_eq!(program.count("two", "Queued").await, 600);
    let both = format!(
        "{busy}{}",
        toy("two", "two", "batch_size = 200\nconcurrency = 300")
    );
    let slow_gauges = |config: &mut Config| {
        config.engine.gauges_interval = Duration::from_secs(3600);
    };
    let mut rows = 600;
    within_a_second("a workflow that comes works", async || {
        if program.own("two").await.is_some() {
            program.reload_with(&busy, slow_gauges).await.unwrap();
            program.until_gone("two").await;
            program.queue("two").await;
            rows += 1;
        }
        let before = program.count("two", "Completed").await;
        let since = Instant::now();
        program.reload_with(&both, slow_gauges).await.unwrap();
        wait_until("it works", async || {
            program.count("two", "Completed").await > before
        })
        .await;
        since.elapsed()
    })
    .await;
    program.until_completed("two", rows).await;
    program.until_completed("one", 600).await;
    for stage in ["one", "two"] {
        program.assert_nothing_lost_or_doubled(stage).await;
    }
    // A row that is queued later is heard of.
    within_a_second("it is told of a row", async || {
        program.queue("two").await;
        rows += 1;
        let since = Instant::now();
        program.until_completed("two", rows).await;
        since.elapsed()
    })
    .await;
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lists_workflows_lists_one_that_came_and_none_that_went() {
    let first = toy("one", "one", "");
    let program = Program::start(5, &first).await;
    program
        .reload(&format!("{first}{}", toy("two", "two", "")))
        .await
        .unwrap();
    program.until_completed("two", 5).await;
    wait_until("its queue is counted", async || {
        let status = program.json("/api/v1/status").await;
        status["queues"]["two"]["queued"] == 0
    })
    .await;
    let status = program.json("/api/v1/status").await;
    let flow = status["flow"].as_array().unwrap();
    let step = flow.iter().find(|step| step["workflow"] == "two").unwrap();
    assert_eq!(
        (&step["table"], &step["stage"]),
        (&"work".into(), &"work/two".into())
    );
    let told = |document: &serde_json::Value| document.to_string().contains("\"two\"");
    let ready = program.json("/health/ready").await;
    assert!(told(&ready["workflows"]) && told(&status["tree"]));
    // What is asked of it reaches it.
    let client = reqwest::Client::new();
    let ask = async |action: &str| {
        let url = program.app.http(&format!("/api/v1/workflows/two/{action}"));
        let request = client.post(url).header("X-Requested-By", "test");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("pause").await, 202);
    wait_until("it is paused", async || {
        program.own("two").await.unwrap().state == State::Paused
    })
    .await;
    assert_eq!(ask("resume").await, 202);
    wait_until("it goes on", async || {
        program.own("two").await.unwrap().state != State::Paused
    })
    .await;

    program.reload(&first).await.unwrap();
    program.until_gone("two").await;
    assert_eq!(ask("pause").await, 404);
    wait_until("nobody knows it any more", async || {
        let status = program.json("/api/v1/status").await;
        let ready = program.json("/health/ready").await;
        [&status["queues"], &status["flow"], &status["tree"], &ready]
            .iter()
            .all(|part| !told(part))
    })
    .await;
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_removes_a_workflow_under_load_and_nothing_is_lost_or_doubled() {
    let busy = toy("one", "one", "takes = \"20ms\"\nconcurrency = 20");
    let program = Program::start(1_000, &busy).await;
    wait_until("it works", async || {
        program.count("one", "Completed").await > 100
    })
    .await;
    program.reload("").await.unwrap();
    program.until_gone("one").await;
    let completed = program.count("one", "Completed").await;
    assert!(completed < 1_000, "it was under load");
    program.assert_nothing_lost_or_doubled("one").await;
    assert_eq!(program.leases().await, Vec::<String>::new());
    // Nobody works it.
    program.queue("one").await;
    program.reload("").await.unwrap();
    assert_eq!(program.count("one", "Completed").await, completed);
    program.reload(&busy).await.unwrap();
    program.until_completed("one", 1_001).await;
    program.assert_nothing_lost_or_doubled("one").await;
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_workflow_does_not_finish_is_queued_again_uncharged() {
    let slow = toy(
        "one",
        "one",
        "takes = \"1h\"\ntimeout = \"2h\"\nconcurrency = 5",
    );
    let program = Program::start_with(20, &slow, |config| {
        config.engine.drain_timeout = Duration::from_millis(200);
    })
    .await;
    wait_until("it has rows in hand", async || {
        program.count("one", "Processing").await == 5
    })
    .await;
    let short = |config: &mut Config| config.engine.drain_timeout = Duration::from_millis(200);
    program.reload_with("", short).await.unwrap();
    assert_eq!(
        program.own("one").await.map(|own| own.state),
        Some(State::Draining)
    );
    program.until_gone("one").await;
    assert_eq!(program.count("one", "Queued").await, 20);
    program.assert_nothing_lost_or_doubled("one").await;
    assert_eq!(program.leases().await, Vec::<String>::new());
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_recipe_is_another_workflow_and_other_settings_are_not() {
    let old = |lines: &str| {
        toy(
            "one",
            "one",
            &format!("takes = \"10ms\"\nlabel = \"old\"\n{lines}"),
        )
    };
    let program = Program::start(600, &old("concurrency = 10")).await;
    wait_until("it works", async || {
        program.count("one", "Completed").await > 50
    })
    .await;
    let before = program.own("one").await.unwrap();
    program.reload(&old("concurrency = 12")).await.unwrap();
    let told = program.own("one").await.unwrap();
    assert_eq!((told.incarnation, told.lease), (1, before.lease));
    assert_eq!(told.settings.concurrency, 12);
    // Another label: made again, while rows of the one before are in hand.
    let new = toy(
        "one",
        "one",
        "takes = \"10ms\"\nlabel = \"new\"\nconcurrency = 12",
    );
    program.reload(&new).await.unwrap();
    wait_until("the new one works", async || {
        assert!(program.leases().await.len() <= 1, "one at a time");
        program.own("one").await.unwrap().incarnation == 2
    })
    .await;
    program.until_completed("one", 600).await;
    program.assert_nothing_lost_or_doubled("one").await;
    let labels = "SELECT label FROM effect GROUP BY 1 ORDER BY 1";
    assert_eq!(program.app.database.rows(labels).await, ["new", "old"]);
    // Another stage under the same name.
    program
        .reload(&toy("one", "two", "label = \"other\""))
        .await
        .unwrap();
    program.until_completed("two", 600).await;
    program.assert_nothing_lost_or_doubled("two").await;
    assert_eq!(program.own("one").await.unwrap().incarnation, 3);
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_set_changes_nothing_and_is_named() {
    let good = toy("one", "one", "");
    let program = Program::start(5, &good).await;
    program.until_completed("one", 5).await;
    let before = program.own("one").await.unwrap();
    let longest = "a".repeat(64);
    for (wrong, key, problem) in [
        (toy("two", "one", ""), "toys.two", "work/one"),
        (
            toy("two", "two", "batch_size = 0"),
            "toys.two.batch_size",
            "",
        ),
        (
            toy("two", "two", "interval = \"soon\""),
            "toys.two.interval",
            "",
        ),
        (
            toy("two", "two", "interval = \"0s\""),
            "toys.two.interval",
            "longer than zero",
        ),
        (
            toy("two", "two", "batch_sise = 3"),
            "toys.two.batch_sise",
            "did you mean `batch_size`",
        ),
        (
            "[toys.two]\ntable = \"work\"\n".to_owned(),
            "toys.two",
            "stage",
        ),
        (
            toy("deep-scan", "two", ""),
            "toys.deep-scan",
            "another name",
        ),
        (toy("Two", "two", ""), "toys.Two", "a-z"),
        (toy("\"two/x\"", "two", ""), "two/x", "a-z"),
        (toy(&longest, "two", ""), "toys.aaaa", "63"),
    ] {
        let error = program.reload(&format!("{good}{wrong}")).await.unwrap_err();
        let told = format!("{error:#}");
        assert!(
            told.contains(key) && told.contains(problem),
            "{wrong}: {told}"
        );
        let ready = program.json("/health/ready").await;
        assert!(
            ready["reload_failure"].as_str().unwrap().contains(problem),
            "{ready}"
        );
        let own = program.own("one").await.unwrap();
        assert_eq!(
            (own.incarnation, own.lease),
            (before.incarnation, before.lease)
        );
        let workflows = program.app.status().await.workflows;
        let toys = workflows.iter().filter(|own| NAMES.contains(&&*own.name));
        assert_eq!(toys.count(), 1, "{wrong}");
    }
    assert_eq!(program.count("two", "Queued").await, 5);
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_from_before_holds_for_a_workflow_that_comes() {
    let program = Program::start(5, "").await;
    program
        .app
        .database
        .run("INSERT INTO workflow_control (workflow, paused) VALUES ('one', true)")
        .await;
    wait_until("it is heard of", async || {
        let controls = program.app.app().shared();
        gleaner::upkeep::apply_controls(controls).await.is_ok()
    })
    .await;
    program.reload(&toy("one", "one", "")).await.unwrap();
    let own = program.own("one").await.unwrap();
    assert_eq!((own.state, own.claimed), (State::Paused, 0));
    program
        .app
        .database
        .run("UPDATE workflow_control SET paused = false")
        .await;
    program.until_completed("one", 5).await;
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lacks_something_is_idle_until_a_reload_mends_it() {
    let program = Program::start(5, "").await;
    program
        .reload(&toy("one", "one", "label = \"lacking\""))
        .await
        .unwrap();
    wait_until("it is idle", async || {
        let own = program.own("one").await.unwrap();
        own.state == State::Idle && own.reason.as_deref() == Some("no label")
    })
    .await;
    program
        .reload(&toy("one", "one", "label = \"a\""))
        .await
        .unwrap();
    program.until_completed("one", 5).await;
    program.app.stop().await;
}

/// A table of somebody else's may go at any time: the others are counted and rescued as ever, and its workflow can be taken out.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_is_the_trouble_of_its_own_workflow() {
    let kept = toy("one", "one", "");
    let lost = "[toys.two]\ntable = \"other\"\nstage = \"x\"\ntakes = \"1h\"\ntimeout = \"2h\"\n";
    let database = TestDatabase::new().await;
    database.run(TABLES).await;
    database
        .run(
            "CREATE TABLE other (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now());
            SELECT gleaner_add_stage('other', 'x'); INSERT INTO other (x_status) VALUES ('Queued');",
        )
        .await;
    let config = configuration(&database, &format!("{kept}{lost}")).unwrap();
    let app = Box::pin(TestApp::start_with(&WITH_TOYS, config, database)).await;
    let program = Program { app };
    wait_until("it has a row in hand", async || {
        program.own("two").await.unwrap().in_flight == 1
    })
    .await;
    program.app.database.run("DROP TABLE other").await;
    program
        .app
        .database
        .run("INSERT INTO work (one_due_at, one_status) VALUES (now() + interval '1 hour', 'Queued')")
        .await;
    wait_until("the others are counted", async || {
        let status = program.json("/api/v1/status").await;
        status["queues"]["one"]["queued"] == 1
    })
    .await;
    // As somebody leaves it who died.
    program
        .app
        .database
        .run("INSERT INTO work (one_attempts) VALUES (1); UPDATE work SET one_status = 'Processing', one_lease = 999999 WHERE one_status IS NULL")
        .await;
    program.until_completed("one", 1).await;
    wait_until("readiness says what is wrong", async || {
        let ready = program.json("/health/ready").await;
        ready["ready"] == false && ready["problems"].to_string().contains("other")
    })
    .await;
    let short = |config: &mut Config| config.engine.drain_timeout = Duration::from_millis(200);
    program.reload_with(&kept, short).await.unwrap();
    program.until_gone("two").await;
    assert_eq!(program.leases().await, ["one"]);
    wait_until("all is well again", async || {
        program.json("/health/ready").await["ready"] == true
    })
    .await;
    program.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_in_a_row_leave_nothing_behind() {
    let one = toy("one", "one", "takes = \"2ms\"\nconcurrency = 4");
    let program = Program::start(400, &one).await;
    // Its connections, and what each has for a task, are there.
    let shared = Arc::clone(program.app.app().shared());
    let all: Vec<_> = futures_util::future::join_all((0..4).map(|_| shared.pool.get())).await;
    drop(all);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    program.reload(&one).await.unwrap();
    let before = tasks();
    for round in 0..50 {
        let two = toy(
            "two",
            "two",
            &format!("label = \"{}\"\ntakes = \"1ms\"", round / 2),
        );
        let sections = match round % 4 {
            0 => format!("{one}{two}"),
            1 => two,
            2 => String::new(),
            _ => one.clone(),
        };
        program.reload(&sections).await.unwrap();
    }
    program.reload("").await.unwrap();
    for name in ["one", "two"] {
        program.until_gone(name).await;
        program.assert_nothing_lost_or_doubled(name).await;
    }
    assert_eq!(program.app.status().await.leases, 0);
    assert_eq!(program.leases().await, Vec::<String>::new());
    // A leak of one task per reload would be fifty; the pool may still be at work.
    wait_until("their tasks are gone", async || tasks() <= before + 4).await;
    let both = format!("{one}{}", toy("two", "two", ""));
    program.reload(&both).await.unwrap();
    for stage in ["one", "two"] {
        program.until_completed(stage, 400).await;
        program.assert_nothing_lost_or_doubled(stage).await;
    }
    program.app.stop().await;
}

/// What is said of all workflows at once holds for these too.
#[test]
fn flags_hold_for_those_that_are_made() {
    let sections = format!("{}{}", toy("one", "one", ""), toy("two", "two", ""));
    let mut config = read(&sections).unwrap();
    config.workflows.keep_only(&["two".to_owned()]);
    config.workflows.set_interval(Duration::from_secs(7));
    let in_force = WITH_TOYS.in_force(&config);
    let settings = |name: &str| in_force.find(name).unwrap().settings.clone();
    assert!(!settings("one").enabled && settings("two").enabled);
    assert_eq!(settings("one").interval, Duration::from_secs(7));
    assert_eq!(&*in_force.of_stage("work/two").unwrap().name, "two");
    // Also after a reload that has something to wait for.
    let mut file = config.clone();
    file.engine.rescue_interval += Duration::from_secs(1);
    let reloaded = config::reload(&config, &file).unwrap();
    assert_eq!(reloaded.pending.len(), 1);
    let in_force = WITH_TOYS.in_force(&reloaded.in_force);
    assert!(!in_force.find("one").unwrap().settings.enabled);
}

/// Names of sections are told, and nothing else that people choose.
#[test]
fn what_strays_into_such_a_section_is_not_repeated() {
    for (strayed, told) in [
        ("hunter2 = 3\n".to_owned(), "toys.…"),
        (toy("one", "one", "hunter2 = 3"), "toys.one"),
        (toy("one", "one", "takes = \"hunter2\""), "toys.one.takes"),
        (
            toy("one", "one", "label = { hunter2 = 3 }"),
            "toys.one.label",
        ),
    ] {
        let error = read(&strayed).unwrap_err().to_string();
        assert!(
            error.contains(told) && !error.contains("hunter2"),
            "{error}"
        );
    }
}

/// A section that is new or gone is a change, and is told as one.
#[test]
fn a_section_that_comes_or_goes_is_a_change() {
    let without = read("").unwrap();
    let with = read(&toy("one", "one", "")).unwrap();
    for (old, new, shown) in [
        (&without, &with, ("", "work")),
        (&with, &without, ("work", "")),
    ] {
        let changes = config::diff(old, new);
        let table = changes
            .iter()
            .find(|change| change.key == "toys.one.table")
            .unwrap();
        assert_eq!(
            (&*table.old, &*table.new, table.needs_restart),
            (shown.0, shown.1, false)
        );
    }
}
