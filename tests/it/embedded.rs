//! The embedded servers, with real ones: started, killed in every way, started again.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gleaner::embedded::{EmbeddedError, Options, Postgres, Redis};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::support::skip;

/// A data directory that the servers' user can reach, also when the tests run as root.
fn data_dir() -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("gleaner-it-")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn options(data_dir: &Path) -> Options {
    Options {
        shim: Some(PathBuf::from(env!("CARGO_BIN_EXE_gleaner"))),
        durable: false,
        ..Options::new(data_dir)
    }
}

async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn is_running(pid: u32) -> bool {
    // A zombie has no command line: it no longer runs.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the connection ends with its client"
)]
async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    drop(tokio::spawn(connection));
    Ok(client)
}

async fn count_rows(postgres: &Postgres) -> Option<i64> {
    let client = connect(&postgres.url("app")).await.ok()?;
    Some(
        client
            .query_one("SELECT count(*) FROM thing", &[])
            .await
            .ok()?
            .get(0),
    )
}

async fn make_rows(postgres: &Postgres) {
    assert!(postgres.create_database_if_missing("app").await.unwrap());
    let client = connect(&postgres.url("app")).await.unwrap();
    let sql = "CREATE TABLE thing (id int); INSERT INTO thing SELECT generate_series(1, 1000)";
    client.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_second_start_makes_no_new_cluster_and_finds_the_data() {
    let directory = data_dir();
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    make_rows(&postgres).await;
    assert!(!postgres.create_database_if_missing("app").await.unwrap());
    assert!(
        postgres
            .create_database_if_missing("with \"quotes\" & spaces")
            .await
            .unwrap()
    );
    connect(&postgres.url("with \"quotes\" & spaces"))
        .await
        .unwrap();
    let mut psql = Command::new("psql");
    match psql
        .args([&postgres.url("app"), "-Atc", "SELECT 1"])
        .output()
    {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{output:?}"),
        Err(_) => skip("no psql on this machine"),
    }
    let pid = postgres.pid().unwrap();
    postgres.stop().await;
    assert!(!postgres.is_alive() && !is_running(pid));
    drop(postgres);

    let initdb_log = directory.path().join("postgres/initdb.log");
    let made_once = fs::read(&initdb_log).unwrap();
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    assert_eq!(
        fs::read(&initdb_log).unwrap(),
        made_once,
        "initdb ran again"
    );
    assert_eq!(count_rows(&postgres).await, Some(1000));
    postgres.restart().await.unwrap();
    assert_eq!(count_rows(&postgres).await, Some(1000));
    postgres.stop().await;
}

#[tokio::test]
async fn a_killed_server_is_started_again_even_when_a_busy_backend_lives_on() {
    let directory = data_dir();
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    make_rows(&postgres).await;
    let client = connect(&postgres.url("app")).await.unwrap();
    let backend: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    // A backend in the middle of a computation does not notice that its postmaster is gone.
    let busy = client.batch_execute("SELECT count(*) FROM generate_series(1, 100000000000)");
    let story = async {
        let observer = connect(&postgres.url("app")).await.unwrap();
        wait_until("the backend is busy", async || {
            let sql = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
            observer
                .query_opt(sql, &[&backend])
                .await
                .unwrap()
                .is_some()
        })
        .await;
        let pid = postgres.pid().unwrap();
        signal(pid, Signal::SIGKILL);
        wait_until("the server serves again", async || {
            count_rows(&postgres).await == Some(1000)
        })
        .await;
        assert_ne!(postgres.pid(), Some(pid));
        assert!(!is_running(backend.cast_unsigned()));
        postgres.stop().await;
    };
    tokio::join!(story, postgres.watch(), async {
        assert!(busy.await.is_err());
    });
}

#[tokio::test]
async fn killing_the_parent_stops_the_server_and_loses_nothing() {
    let directory = data_dir();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "embedded::holds_a_server_for_another_test",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(
        holder.stdin.as_mut().unwrap(),
        "{}",
        directory.path().display()
    )
    .unwrap();
    let server_pid: u32 = BufReader::new(holder.stdout.as_mut().unwrap())
        .lines()
        .find_map(|line| line.unwrap().split_once("server pid ")?.1.parse().ok())
        .unwrap();

    let error = Postgres::start(options(directory.path()))
        .await
        .unwrap_err();
    let wanted = format!("is in use by another gleaner (pid {})", holder.id());
    assert!(error.to_string().contains(&wanted), "{error}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the server is gone", async || !is_running(server_pid)).await;
    let log = fs::read_to_string(directory.path().join("postgres/server.log")).unwrap();
    assert!(log.contains("fast shutdown request"), "{log}");
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    assert_eq!(count_rows(&postgres).await, Some(1000));
    postgres.stop().await;
}

/// The other half of the test above: gets a data directory on stdin and is killed while it holds it.
#[tokio::test]
#[ignore = "a helper process of another test"]
async fn holds_a_server_for_another_test() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    if line.is_empty() {
        return;
    }
    // Spawned from a thread that ends at once: the server must not end with it.
    let data_dir = PathBuf::from(line.trim());
    let runtime = tokio::runtime::Handle::current();
    let started = std::thread::spawn(move || runtime.block_on(Postgres::start(options(&data_dir))));
    let postgres = tokio::task::spawn_blocking(move || started.join().unwrap())
        .await
        .unwrap()
        .unwrap();
    make_rows(&postgres).await;
    println!("server pid {}", postgres.pid().unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_left_over_from_an_earlier_run_is_replaced() {
    let directory = data_dir();
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    make_rows(&postgres).await;
    let command_line = fs::read(format!("/proc/{}/cmdline", postgres.pid().unwrap())).unwrap();
    postgres.stop().await;
    drop(postgres);

    // The same server again, but nobody's child: as if it had missed its death signal.
    let mut arguments = command_line
        .strip_suffix(b"\0")
        .unwrap()
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8(argument.to_vec()).unwrap());
    let mut command = Command::new(arguments.next().unwrap());
    command
        .args(arguments)
        .current_dir("/")
        .stderr(Stdio::null());
    if geteuid().is_root() {
        let owner = fs::metadata(directory.path().join("postgres/data")).unwrap();
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut leftover = command.spawn().unwrap();
    let pid_file = directory.path().join("postgres/data/postmaster.pid");
    wait_until("the leftover serves", async || {
        fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"))
    })
    .await;

    let reaper = std::thread::spawn(move || leftover.wait());
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    assert!(
        reaper.join().unwrap().unwrap().success(),
        "it was not shut down cleanly"
    );
    assert_eq!(count_rows(&postgres).await, Some(1000));

    // A stale pid file that names a living stranger must not be in the way.
    let stale = fs::read_to_string(&pid_file).unwrap();
    postgres.stop().await;
    drop(postgres);
    let stranger = std::process::id().to_string();
    let lines: Vec<&str> = std::iter::once(stranger.as_str())
        .chain(stale.lines().skip(1))
        .collect();
    fs::write(&pid_file, lines.join("\n")).unwrap();
    let postgres = Postgres::start(options(directory.path())).await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let directory = data_dir();
    let nowhere = Options {
        pg_bin: Some("/nonexistent".into()),
        ..options(directory.path())
    };
    let error = Postgres::start(nowhere).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::NoPostgres { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("no postgres and initdb in /nonexistent"),
        "{error}"
    );

    let error = Redis::start(Options {
        redis_server: Some("/nonexistent".into()),
        ..options(directory.path())
    });
    assert!(matches!(error.await, Err(EmbeddedError::NoRedis)));

    fs::create_dir(directory.path().join("postgres/data")).unwrap();
    fs::write(directory.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let error = Postgres::start(options(directory.path()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, EmbeddedError::OtherMajor { cluster: 9, .. }),
        "{error}"
    );

    if geteuid().is_root() {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let error = Postgres::start(options(&directory.path().join("inner")))
            .await
            .unwrap_err();
        let wanted = format!("cannot enter {}", directory.path().display());
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let directory = data_dir();
    let wrong = Options {
        settings: vec![("shared_buffers".to_owned(), "lots".to_owned())],
        ..options(directory.path())
    };
    let error = Postgres::start(wrong).await.unwrap_err();
    assert!(
        matches!(
            error,
            EmbeddedError::Exited {
                program: "postgres",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("invalid value for parameter \"shared_buffers\""),
        "{error}"
    );
    // The cluster itself is whole.
    Postgres::start(options(directory.path()))
        .await
        .unwrap()
        .stop()
        .await;
}

fn ask_redis(redis: &Redis, command: &str) -> std::io::Result<String> {
    ask_socket(redis.socket(), command)
}

fn ask_socket(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test]
async fn a_killed_redis_is_started_again_with_its_data() {
    let directory = data_dir();
    // "everysec" would lose up to a second at a power cut, but nothing at a SIGKILL.
    let redis = match Redis::start(options(directory.path())).await {
        Ok(redis) => redis,
        Err(EmbeddedError::NoRedis) => {
            skip("no redis-server on this machine");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(
        ask_redis(&redis, "SET kept yes")
            .unwrap()
            .starts_with("+OK")
    );
    let title = redis_pid(&redis);
    let story = async {
        signal(title, Signal::SIGKILL);
        wait_until("redis serves again", async || {
            ask_redis(&redis, "GET kept").is_ok_and(|answer| answer.starts_with("$3\r\nyes"))
        })
        .await;
        redis.stop().await;
        assert!(!redis.is_alive());
    };
    tokio::join!(story, redis.watch());
}

fn redis_pid(redis: &Redis) -> u32 {
    let info = ask_redis(redis, "INFO server").unwrap();
    info.lines()
        .find_map(|line| line.strip_prefix("process_id:")?.parse().ok())
        .unwrap()
}

/// `run --embedded` brings both servers up, uses them, and takes them down with itself.
#[tokio::test]
async fn the_program_runs_on_private_servers_and_takes_them_down() {
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        skip("no redis-server on this machine");
        return;
    }
    let directory = data_dir();
    let config = directory.path().join("gleaner.toml");
    let data_dir = directory.path().display();
    fs::write(
        &config,
        format!("[embedded]\ndata_dir = \"{data_dir}\"\n[http]\nlisten = \"\"\n"),
    )
    .unwrap();
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .args(["run", "--embedded", "--only", "auto-record", "--config"])
        .arg(&config)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let socket = directory.path().join("run/redis.sock");
    wait_until("the program looks at its queue", async || {
        ask_socket(&socket, "INFO commandstats").is_ok_and(|told| told.contains("cmdstat_llen"))
    })
    .await;
    signal(program.id().unwrap(), Signal::SIGTERM);
    let mut ended = None;
    wait_until("it has ended", async || {
        ended = program.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert_eq!(ended.unwrap().code(), Some(0));
    assert!(ask_socket(&socket, "PING").is_err());
}

/// What stands in the environment of the program, and must be in that of none of its children.
const PLANTED: &str = "planted-hunter2";

/// A folder with the two programs of PostgreSQL, each of which writes down what it was given before it becomes the real one.
fn telltales(folder: &Path, real: &Path, seen: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["postgres", "initdb"] {
        let (path, real) = (bin.join(name), real.join(name));
        let script = format!(
            "#!/bin/sh\necho {name} >>{seen}\nenv >>{seen}\nexec {real} \"$@\"\n",
            seen = seen.display(),
            real = real.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

/// The process numbers below `root`, by what `/proc` says of parents.
fn descendants(root: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        found.extend(
            all.iter()
                .filter(|(_, parent)| *parent == above)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

fn name_of(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// Tokens and passwords of the operator's environment are nobody else's: not the servers', their workers', nor of what makes a
/// cluster or tells its version.
#[tokio::test]
async fn children_get_nothing_of_our_environment_but_what_they_need() {
    let real = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .find(|bin| bin.join("initdb").exists());
    let Some(real) = real else {
        skip("no PostgreSQL in /usr/lib/postgresql");
        return;
    };
    let directory = data_dir();
    let seen = directory.path().join("seen");
    fs::write(&seen, "").unwrap();
    fs::set_permissions(&seen, fs::Permissions::from_mode(0o666)).unwrap();
    let bin = telltales(directory.path(), &real, &seen);
    let config = directory.path().join("gleaner.toml");
    fs::write(
        &config,
        format!(
            "[embedded]\ndata_dir = \"{}\"\npg_bin = \"{}\"\n[http]\nlisten = \"\"\n",
            directory.path().join("data").display(),
            bin.display()
        ),
    )
    .unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command
        .args(["run", "--embedded", "--only", "auto-record", "--config"])
        .arg(&config)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8");
    for name in [
        "GLEANER_HTTP__ADMIN_TOKEN",
        "GLEANER_WORKFLOWS__DEEP_SCAN__OPTIONS__API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "REDISCLI_AUTH",
        "HTTPS_PROXY",
        "LD_PRELOAD_KEY",
    ] {
        command.env(name, PLANTED);
    }
    let mut program = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = program.id().unwrap();
    let has_redis = Command::new("redis-server")
        .arg("--version")
        .output()
        .is_ok();
    wait_until("the servers and the workers are there", async || {
        let names: Vec<String> = descendants(pid).into_iter().map(name_of).collect();
        let servers = names.iter().filter(|name| *name == "postgres").count();
        servers >= 5 && (!has_redis || names.iter().any(|name| name == "redis-server"))
    })
    .await;
    for child in descendants(pid) {
        let environment = fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        assert!(
            !environment.contains(PLANTED),
            "{}: {environment}",
            name_of(child)
        );
        assert!(
            !environment.contains("GLEANER_"),
            "{}: {environment}",
            name_of(child)
        );
    }
    // Those that are gone already: the one that was asked for its version, and the one that made the cluster.
    let told = fs::read_to_string(&seen).unwrap();
    assert!(
        told.matches("postgres\n").count() >= 2 && told.contains("initdb\n"),
        "{told}"
    );
    assert!(
        told.contains("PATH=/usr/local/bin") && told.contains("LC_ALL=C.UTF-8"),
        "{told}"
    );
    assert!(!told.contains(PLANTED), "{told}");
    signal(pid, Signal::SIGTERM);
    wait_until("it has ended", async || {
        program.try_wait().unwrap().is_some()
    })
    .await;
}
