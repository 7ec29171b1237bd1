//! Through PgBouncer: session mode works, transaction mode of an old one is recognised and named.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};

use gleaner::app::App;
use gleaner::db::connect::Connector;
use gleaner::db::pooler::{self, Pooling};
use gleaner::db::{self, DbError};
use gleaner::secret::Secret;
use tempfile::TempDir;
use url::Url;

use crate::support::app::test_config;
use crate::support::site::{Answer, Site};
use crate::support::{TestApp, TestDatabase, skip, wait_until};

/// A PgBouncer before one database; killed when dropped.
struct Pooler {
    child: Child,
    port: u16,
    database: String,
    user: String,
    _folder: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The version as (major, minor); `None` where there is no PgBouncer.
fn version() -> Option<(u32, u32)> {
    let said = Command::new("pgbouncer").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = text.lines().next()?.split_whitespace().last()?.to_owned();
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

impl Pooler {
    async fn start(database: &TestDatabase, mode: &str) -> Self {
        let server = Url::parse(database.url()).unwrap();
        let user = match server.username() {
            "" => database.scalar::<String>("SELECT current_user::text").await,
            name => name.to_owned(),
        };
        let folder = tempfile::Builder::new()
            .prefix("gleaner-pgbouncer-")
            .tempdir_in("/tmp")
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = match server.host_str() {
            Some(host) if !host.is_empty() => host.replace("%2F", "/").replace("%2f", "/"),
            _ => "/var/run/postgresql".to_owned(),
        };
        let password = server
            .password()
            .map(|password| format!(" password={password}"))
            .unwrap_or_default();
        let file = folder.path().join("pgbouncer.ini");
        fs::write(
            &file,
            format!(
                "[databases]\n* = host={host} port={} user={user}{password}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
                 pool_mode = {mode}\ndefault_pool_size = 30\nmax_client_conn = 200\nlogfile = {}\n\
                 ignore_startup_parameters = extra_float_digits\n",
                server.port().unwrap_or(5432),
                folder.path().join("log").display(),
            ),
        )
        .unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new("pgbouncer");
        // It refuses to be root.
        if fs::metadata(folder.path()).unwrap().uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self {
            child,
            port,
            database: database.name().to_owned(),
            user,
            _folder: folder,
        };
        wait_until("PgBouncer answers", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        pooler
    }

    fn url(&self) -> String {
        format!(
            "postgres://{}@127.0.0.1:{}/{}?sslmode=disable",
            self.user, self.port, self.database
        )
    }

    fn config(&self, database: &TestDatabase) -> db::Config {
        let mut config = database.config();
        config.url = Secret::new(&self.url());
        config
    }

    async fn check(&self, database: &TestDatabase) -> Result<Pooling, DbError> {
        let config = self.config(database);
        pooler::check(&Connector::new(&config.url, &config).unwrap()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_pooler_is_no_pooler() {
    let database = TestDatabase::new().await;
    let config = database.config();
    let connector = Connector::new(&config.url, &config).unwrap();
    assert_eq!(pooler::check(&connector).await.unwrap(), Pooling::Session);
}

/// Everything, LISTEN included, through a session pooler.
#[tokio::test(flavor = "multi_thread")]
async fn session_mode_works_end_to_end() {
    if version().is_none() {
        skip("no PgBouncer on this machine");
        return;
    }
    let database = TestDatabase::new().await;
    let pooler = Pooler::start(&database, "session").await;
    assert_eq!(pooler.check(&database).await.unwrap(), Pooling::Session);
    let site = Site::start().await;
    site.put(
        "kettle-example.com/",
        Answer::html("<title>Brass Kettle</title>"),
    );
    let through = pooler.config(&database);
    let app = TestApp::start_on(database, |config| {
        config.database = through;
        config.fetch.proxy_hosts_to = Some(site.address);
        config
            .workflows
            .set_interval(std::time::Duration::from_secs(3600));
    })
    .await;
    app.database
        .run("INSERT INTO local_business (name, website, status) VALUES ('Brass Kettle', 'kettle-example.com', 'Selected')")
        .await;
    app.wait_settled("local_business", "domain_extraction")
        .await;
    app.wait_settled("domain", "metadata").await;
    assert_eq!(
        app.database.rows("SELECT domain, title FROM domain").await,
        ["kettle-example.com|Brass Kettle"]
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_mode_is_recognised_and_an_old_one_is_named() {
    let Some(version) = version() else {
        skip("no PgBouncer on this machine");
        return;
    };
    let database = TestDatabase::new().await;
    let pooler = Pooler::start(&database, "transaction").await;
    let checked = pooler.check(&database).await;
    if version >= (1, 21) {
        assert_eq!(checked.unwrap(), Pooling::Transaction);
        return;
    }
    let refused = checked.unwrap_err();
    assert!(matches!(refused, DbError::Pooler { .. }), "{refused:?}");
    let mut config = test_config(&database);
    config.database = pooler.config(&database);
    let error = App::start(config, None)
        .await
        .err()
        .expect("it starts behind a pooler that loses prepared statements");
    let text = format!("{error:#}");
    assert!(
        text.contains("PgBouncer") && text.contains(&pooler.port.to_string()),
        "{text}"
    );
}
