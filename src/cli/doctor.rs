//! `gleaner doctor`: what could keep the work from going well, and what to do about each.

mod supervisor;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diesel_async::AsyncPgConnection;

use self::supervisor::Program;
use super::nodes;
use crate::area::check::{Check, Grade};
use crate::areas;
use crate::config::Config;
use crate::console::table::{age, plain};
use crate::console::{FAILURE, Global, OK, print};
use crate::db::connect::Connector;
use crate::db::pooler::{self, Pooling};
use crate::db::{DbError, migrations};
use crate::descriptors;
use crate::redis::{self, Redis};
use crate::store::aside;
use crate::store::aside::SetAside;
use crate::store::doctor;
use crate::store::doctor::{History, LongTransaction, Server, Stuck, Vacuum};
use crate::store::node;
use crate::store::node::Node;
use crate::store::pin;
use crate::store::pin::Holder;
use crate::store::stage::Stage;
use crate::telemetry::chain;

pub(super) async fn run(global: &Global) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut checks = Vec::new();
    // No database named, or none that can be: not a finding, but nothing to look at.
    Connector::new(config.database.direct(), &config.database)?;
    if let Err(error) = examine(&config, &mut checks).await {
        checks.push(Check::fail(
            "database",
            chain(&error),
            "see that PostgreSQL runs, that database.url (or DATABASE_URL) leads to it, and that the user may read the catalogue",
        ));
    }
    checks.push(Box::pin(check_redis(&config.redis)).await);
    checks.push(drain(config.engine.drain_timeout, &supervisor::programs()));
    checks.push(open_files(descriptors::limit().soft));
    let is_failed = checks.iter().any(|check| check.outcome == Grade::Fail);
    if global.json {
        let answer = serde_json::json!({ "healthy": !is_failed, "checks": checks });
        print(&serde_json::to_string_pretty(&answer)?);
    } else {
        show(&checks);
    }
    Ok(if is_failed { FAILURE } else { OK })
}

/// Everything that takes the database. Stops at what the rest rests on.
async fn examine(config: &Config, checks: &mut Vec<Check>) -> Result<(), DbError> {
    let direct = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = direct.connect().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    let (server, skew) = server_and_skew(connection).await?;
    checks.push(reachable(&direct.place(), &server));
    checks.push(writable(&server));
    checks.push(durable(&server));
    checks.push(clock(skew));
    let through_pool = Connector::new(&config.database.url, &config.database)?;
    checks.push(pooling(
        pooler::check(&through_pool).await,
        &config.database,
    ));
    let wanted = config.database.pool_size.saturating_add(2);
    checks.push(connections(&server, wanted));

    let pending = migrations::pending(connection).await?;
    checks.push(schema_age(&pending));
    if !pending.is_empty() {
        return Ok(());
    }
    let workflows = areas::in_force(config);
    let stages: Vec<&Stage> = workflows.iter().map(|workflow| &workflow.stage).collect();
    checks.push(drift(&doctor::drift(connection, &stages).await?));
    let mut tables: Vec<&str> = stages.iter().map(|stage| stage.table()).collect();
    tables.extend(["contact", "lease", "node"]);
    tables.sort_unstable();
    tables.dedup();
    checks.push(vacuum(&server, &doctor::vacuum(connection, &tables).await?));
    let long = doctor::long_transactions(connection).await?;
    checks.push(transactions(&server, &long));
    checks.push(pins(&pin::holders(connection).await?));
    let all = node::recent(connection).await?;
    let is_up = |node: &&Node| nodes::is_up(node, config.engine.gauges_interval);
    let up: Vec<&Node> = all.iter().filter(is_up).collect();
    checks.push(running(&up));
    let mut waiting = Vec::new();
    for workflow in &workflows {
        if workflow.stage.has_due(connection).await? {
            waiting.push(&*workflow.name);
        }
    }
    let names: Vec<&str> = workflows.iter().map(|workflow| &*workflow.name).collect();
    checks.push(parked(&up, &names, &waiting));
    let mut stuck = Vec::new();
    for stage in &stages {
        stuck.push((stage.name(), doctor::stuck(connection, stage).await?));
    }
    checks.push(stuck_rows(
        &stuck,
        !up.is_empty(),
        config.engine.foreign_processing_after,
    ));
    checks.push(set_aside(&aside::count(connection).await?));
    for area in areas::AREAS {
        checks.extend((area.examine)(config, connection).await?);
    }
    checks.push(history(doctor::history(connection).await?, !up.is_empty()));
    Ok(())
}

/// How far the database's clock is ahead of ours, and how sure that is, in seconds.
#[derive(Clone, Copy, Debug)]
struct Skew {
    ahead: f64,
    error: f64,
}

async fn server_and_skew(connection: &mut AsyncPgConnection) -> Result<(Server, Skew), DbError> {
    let seconds = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64()
    };
    // Once to prepare the statement, which takes round trips of its own.
    doctor::server(connection).await?;
    let before = seconds();
    let server = doctor::server(connection).await?;
    let after = seconds();
    let skew = Skew {
        ahead: server.server_seconds - f64::midpoint(before, after),
        error: (after - before) / 2.0,
    };
    Ok((server, skew))
}

async fn check_redis(config: &redis::Config) -> Check {
    const NAME: &str = "redis";
    if !config.is_on() {
        return Check::ok(
            NAME,
            "none; PostgreSQL alone serves the auto-record queue, and each process keeps its own pace",
        );
    }
    let findings = async { Redis::connect(config).await?.findings().await };
    match findings.await {
        Ok(findings) => match findings.warnings().as_slice() {
            [] => Check::ok(NAME, findings.name()),
            warnings => Check::warn(
                NAME,
                format!("{}: {}", findings.name(), warnings.join("; ")),
                "what is lost there is put back from PostgreSQL, but until then other producers' entries are gone",
            ),
        },
        Err(error) => Check::warn(
            NAME,
            chain(&error),
            "PostgreSQL alone serves the auto-record queue, and each process keeps its own pace, until redis.url leads to a \
             server that answers",
        ),
    }
}

fn reachable(place: &str, server: &Server) -> Check {
    let found = format!("PostgreSQL {} at {place}", server.version);
    if server.version_num < 140_000 {
        Check::fail("database", found, "Gleaner needs PostgreSQL 14 or newer")
    } else if server.encoding != "UTF8" {
        let found = format!("{found}, encoding {}", server.encoding);
        Check::fail(
            "database",
            found,
            "create the database with ENCODING 'UTF8'",
        )
    } else {
        Check::ok("database", found)
    }
}

fn writable(server: &Server) -> Check {
    if server.in_recovery {
        let advice = "point database.url at the primary";
        Check::fail("writable", "the server is a replica", advice)
    } else if server.read_only {
        let advice = "take default_transaction_read_only off the user or the database";
        Check::fail("writable", "transactions are read-only", advice)
    } else {
        Check::ok("writable", "yes")
    }
}

fn durable(server: &Server) -> Check {
    if server.careless.is_empty() {
        return Check::ok("durability", "what is committed stays");
    }
    Check::warn(
        "durability",
        format!("{} off", server.careless.join(", ")),
        "a crash of the server may lose or damage rows: switch on, but for data that can be done without",
    )
}

fn clock(skew: Skew) -> Check {
    /// Only logs and people compare the two clocks; leases and due times are the database's alone.
    const BOTHERSOME: f64 = 2.0;
    let found = format!(
        "the database's clock is {:+.3} s from ours (±{:.3} s)",
        skew.ahead, skew.error
    );
    if skew.ahead.abs() - skew.error > BOTHERSOME {
        let advice =
            "work goes on all the same, but times in logs and rows differ: run NTP on both";
        Check::warn("clock", found, advice)
    } else {
        Check::ok("clock", found)
    }
}

fn pooling(checked: Result<Pooling, DbError>, config: &crate::db::Config) -> Check {
    match checked {
        Ok(Pooling::Session) => Check::ok("pooler", "none, or one connection per session"),
        Ok(Pooling::Transaction) if !config.listen || !config.direct_url.is_empty() => Check::ok(
            "pooler",
            "one connection per transaction, with prepared statements",
        ),
        Ok(Pooling::Transaction) => Check::warn(
            "pooler",
            "one connection per transaction: notifications cannot arrive",
            "set database.direct_url to the server itself, or database.listen = false to rely on the intervals",
        ),
        Err(error) => {
            let advice = "see the message; database.url is what claims and results go through";
            Check::fail("pooler", chain(&error), advice)
        }
    }
}

fn connections(server: &Server, wanted: usize) -> Check {
    let most = match server.database_limit {
        limit if limit >= 0 => limit.min(server.most_connections),
        _ => server.most_connections,
    };
    let free = usize::try_from(most - server.connections).unwrap_or(0);
    let found = format!(
        "{} of {most} in use; one process takes up to {wanted}",
        server.connections
    );
    if free < wanted {
        let advice = "raise max_connections, put a pooler between, or lower database.pool_size";
        Check::warn("connections", found, advice)
    } else {
        Check::ok("connections", found)
    }
}

fn schema_age(pending: &[String]) -> Check {
    if pending.is_empty() {
        Check::ok("migrations", "all applied")
    } else {
        let found = format!("lacking: {}", pending.join(", "));
        Check::fail("migrations", found, "run `gleaner migrate`")
    }
}

fn drift(missing: &[String]) -> Check {
    if missing.is_empty() {
        return Check::ok(
            "schema",
            "columns, indexes, triggers and privileges are there",
        );
    }
    Check::fail(
        "schema",
        format!("lacking: {}", missing.join("; ")),
        "somebody took these away, or disabled them: restore them as the migrations make them (REINDEX for an index that is \
         not valid, ALTER TABLE … ENABLE TRIGGER, GRANT)",
    )
}

fn vacuum(server: &Server, tables: &[Vacuum]) -> Check {
    /// So many times what autovacuum allows is more than a queue for its turn.
    const FAR_BEHIND: f64 = 5.0;
    if !server.autovacuum {
        let advice =
            "set autovacuum = on and track_counts = on, or tables and indexes grow without end";
        return Check::fail("autovacuum", "switched off", advice);
    }
    let off: Vec<&str> = tables
        .iter()
        .filter(|table| table.is_off)
        .map(|table| table.name.as_str())
        .collect();
    if !off.is_empty() {
        let found = format!("switched off for {}", off.join(", "));
        return Check::fail(
            "autovacuum",
            found,
            "ALTER TABLE … RESET (autovacuum_enabled)",
        );
    }
    let describe = |table: &Vacuum| {
        let last = match table.vacuumed_seconds {
            Some(seconds) => format!("last vacuumed {} ago", age(seconds)),
            None => "never vacuumed".to_owned(),
        };
        format!(
            "{} {} dead of {} ({last})",
            table.name,
            table.dead,
            table.dead + table.live
        )
    };
    let behind: Vec<String> = tables
        .iter()
        .filter(|table| as_float(table.dead) > FAR_BEHIND * table.threshold)
        .map(describe)
        .collect();
    if !behind.is_empty() {
        return Check::warn(
            "autovacuum",
            format!("far behind: {}", behind.join("; ")),
            "look for long transactions below; else VACUUM these by hand and raise autovacuum_vacuum_cost_limit",
        );
    }
    let most = tables.iter().max_by_key(|table| table.dead);
    match most.filter(|table| table.dead > 0) {
        Some(table) => Check::ok(
            "autovacuum",
            format!("on; most dead rows: {}", describe(table)),
        ),
        None => Check::ok("autovacuum", "on; no dead rows"),
    }
}

/// Counts of rows are far below where a double loses whole numbers.
fn as_float(count: i64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

fn transactions(server: &Server, long: &[LongTransaction]) -> Check {
    let mut found: Vec<String> = long
        .iter()
        .map(|own| {
            let (who, state) = (plain(&own.who), &own.state);
            format!("pid {} ({who}) {state}, {}", own.pid, age(own.seconds))
        })
        .collect();
    if server.prepared_transactions > 0 {
        found.push(format!(
            "{} forgotten prepared transactions",
            server.prepared_transactions
        ));
    }
    if server.idle_slots > 0 {
        found.push(format!(
            "{} replication slots that nobody reads",
            server.idle_slots
        ));
    }
    if !found.is_empty() {
        return Check::warn(
            "transactions",
            found.join("; "),
            "they keep vacuum from removing dead rows: end them (pg_terminate_backend, ROLLBACK PREPARED, \
             pg_drop_replication_slot), and set idle_in_transaction_session_timeout",
        );
    }
    Check::ok(
        "transactions",
        if server.sees_all {
            "none is long"
        } else {
            "none of our own is long; GRANT pg_monitor to see those of others"
        },
    )
}

/// Who keeps dead row versions, however long that has been in time: what counts is what was written since.
fn pins(holders: &[Holder]) -> Check {
    const NAME: &str = "row versions";
    let told: Vec<&Holder> = holders.iter().filter(|holder| holder.is_told()).collect();
    let describe = |holder: &&Holder| {
        let what = if holder.pins_rows() {
            "all"
        } else {
            "those of the catalogue"
        };
        format!("{what} kept for {}", plain(&holder.describe()))
    };
    let Some(worst) = told.first() else {
        return Check::ok(NAME, "nobody keeps those that are dead");
    };
    let found: Vec<String> = told.iter().map(describe).collect();
    Check::warn(
        NAME,
        found.join("; "),
        &format!(
            "tables and indexes grow until it ends, and rows that are put back out of their order may wait some seconds: {}",
            worst.remedy()
        ),
    )
}

fn running(up: &[&Node]) -> Check {
    if up.is_empty() {
        return Check::warn("processes", "none is running", "start `gleaner run`");
    }
    let mut versions: Vec<&str> = up.iter().map(|node| node.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let versions: Vec<String> = versions.into_iter().map(plain).collect();
    let found = format!("{} running, version {}", up.len(), versions.join(" and "));
    if versions.len() > 1 {
        let advice = "expected while a deployment is under way; else restart those that lag behind";
        Check::warn("processes", found, advice)
    } else {
        Check::ok("processes", found)
    }
}

/// Workflows that do not work although they should: those that lack a key should once rows wait for them.
fn parked(up: &[&Node], names: &[&str], waiting: &[&str]) -> Check {
    let mut bad = Vec::new();
    for &name in names {
        for own in nodes::on_nodes(up, name) {
            let is_asked = own.state == "idle" && waiting.contains(&name);
            if is_asked || matches!(own.state.as_str(), "parked" | "stalled") {
                let reason = own.reason.as_deref().unwrap_or("no reason given");
                bad.push(format!(
                    "{name} {} on node {}: {}",
                    own.state,
                    own.node,
                    plain(reason)
                ));
            }
        }
    }
    if bad.is_empty() {
        Check::ok("workflows", "none is parked or stalled")
    } else {
        let advice = "mend the reason, then `gleaner workflows unpark NAME`, or reload";
        Check::fail("workflows", bad.join("; "), advice)
    }
}

fn stuck_rows(stuck: &[(String, Stuck)], is_running: bool, foreign_after: Duration) -> Check {
    let name = "rows in hand";
    let list = |get: fn(&Stuck) -> i64| -> Vec<String> {
        stuck
            .iter()
            .filter(|(_, own)| get(own) > 0)
            .map(|(stage, own)| format!("{} of {stage}", get(own)))
            .collect()
    };
    let orphaned = list(|own| own.orphaned);
    if !orphaned.is_empty() {
        let found = format!("their worker is gone: {}", orphaned.join(", "));
        return if is_running {
            let advice =
                "they are taken back within seconds; if not, see the log for \"timeout-checker\"";
            Check::warn(name, found, advice)
        } else {
            let advice = "they are taken back as soon as a process runs: start `gleaner run`";
            Check::warn(name, found, advice)
        };
    }
    let foreign = list(|own| own.foreign);
    if !foreign.is_empty() {
        let oldest = stuck.iter().filter_map(|(_, own)| own.foreign_seconds);
        let oldest = oldest.fold(0.0, f64::max);
        let found = format!(
            "set to Processing by other software: {} (the oldest for {})",
            foreign.join(", "),
            age(oldest)
        );
        let advice = if foreign_after.is_zero() {
            "engine.foreign_processing_after is 0: they stay so until `gleaner items retry WORKFLOW --status Processing`"
                .to_owned()
        } else {
            format!(
                "queued again after {} (engine.foreign_processing_after), or now by `gleaner items retry WORKFLOW --status Processing`",
                humantime::format_duration(foreign_after)
            )
        };
        return Check::warn(name, found, &advice);
    }
    Check::ok(name, "each has a worker")
}

fn set_aside(rows: &SetAside) -> Check {
    let name = "rows set aside";
    if rows.rows == 0 {
        return Check::ok(name, "none");
    }
    Check::warn(
        name,
        format!(
            "{} that periodic work was refused for; the last one: {}",
            rows.rows,
            plain(&rows.last)
        ),
        "see the table set_aside, and mend the rows or the rules that refuse them; each is tried again at its time, or once it is deleted there",
    )
}

fn history(history: History, is_running: bool) -> Check {
    let name = "history";
    let advice =
        "a running process makes the partitions ahead of time; see the log for \"housekeeping\"";
    if !history.has_today || (is_running && !history.has_tomorrow) {
        Check::warn(
            name,
            "the partition of attempt for today or tomorrow is missing",
            advice,
        )
    } else if history.has_strays {
        let advice = "harmless; they go when they are older than engine.keep_attempts";
        Check::warn(name, "attempts lie in attempt_default", advice)
    } else {
        Check::ok(name, "partitioned ahead")
    }
}

fn drain(drain_timeout: Duration, programs: &[Program]) -> Check {
    let drain = humantime::format_duration(drain_timeout);
    let short: Vec<String> = programs
        .iter()
        .filter(|program| program.stop_wait <= drain_timeout)
        .map(|program| {
            format!(
                "supervisord kills \"{}\" after {} s, before the drain of {drain} is over",
                plain(&program.name),
                program.stop_wait.as_secs()
            )
        })
        .collect();
    if short.is_empty() {
        let found = format!(
            "{drain}; stopwaitsecs (supervisord) or TimeoutStopSec (systemd) must be longer"
        );
        Check::ok("drain", found)
    } else {
        let advice =
            "raise stopwaitsecs beyond engine.drain_timeout, then supervisorctl reread and update";
        Check::warn("drain", short.join("; "), advice)
    }
}

/// How many file descriptors a process has that is started as this one was. A service has its own limit, which its log tells.
fn open_files(limit: usize) -> Check {
    let name = "open files";
    let found = format!("at most {limit} for a process started from here");
    if limit < descriptors::WANTED {
        let advice = "set LimitNOFILE (systemd), minfds in [supervisord] or ulimit -Hn to 65536: with fewer, connections are kept \
                      for a shorter time, and work waits when descriptors run out";
        Check::warn(name, found, advice)
    } else {
        Check::ok(name, found)
    }
}

fn show(checks: &[Check]) {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    for check in checks {
        let word = match check.outcome {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        print(&format!("{word:4}  {:width$}  {}", check.name, check.found));
        if let Some(advice) = &check.advice {
            print(&format!("{:4}  {:width$}  -> {advice}", "", ""));
        }
    }
    let count = |outcome| {
        checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    };
    print("");
    print(&format!(
        "{} ok, {} to look at, {} failed",
        count(Grade::Ok),
        count(Grade::Warn),
        count(Grade::Fail)
    ));
}

#[cfg(test)]
mod tests;
