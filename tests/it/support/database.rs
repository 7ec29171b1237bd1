//! A database of its own for each test, copied from a template that is migrated once.
//!
//! The server is the one of `TEST_DATABASE_URL`. The template is named by the content of the migrations, so that a changed
//! migration gets a new one; it is built under a name that nobody copies and renamed when it is whole. What tests leave
//! behind when they are killed is swept by a later one.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use diesel_async::AsyncPgConnection;
use gleaner::areas;
use gleaner::config;
use gleaner::db::connect::Connector;
use gleaner::db::{self, migrations};
use gleaner::secret::Secret;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, NoTls};
use url::Url;

/// Serialises the building of templates and the sweeping, across all test processes.
const LOCK: i64 = 4_711_000_002;

/// A database that is dropped with this value.
pub(crate) struct TestDatabase {
    name: String,
    url: Url,
}

impl TestDatabase {
    /// A fresh database with all migrations.
    pub(crate) async fn new() -> Self {
        let template = template().await;
        let database = Self::create(Some(&template)).await;
        // The template may be of another day.
        database.run("SELECT gleaner_extend_attempt(3)").await;
        database
    }

    /// A fresh database without anything.
    pub(crate) async fn empty() -> Self {
        Self::create(None).await
    }

    async fn create(template: Option<&str>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "gleaner_test_{}_{}_{:08x}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed),
            rand::random::<u32>()
        );
        let admin = client(&server()).await;
        let template = template.unwrap_or("template0");
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .unwrap();
        let url = at(&name);
        Self { name, url }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A folder for files that belong to it. Made by whoever writes to it, and removed with it.
    pub(crate) fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(&self.name)
    }

    /// The section `[database]` that leads to it.
    pub(crate) fn config(&self) -> db::Config {
        let mut config = areas::load(&config::Sources::default()).unwrap().database;
        config.url = Secret::new(self.url());
        config.direct_url = Secret::new("");
        config
    }

    /// A connection as the program makes it.
    pub(crate) async fn connect(&self) -> AsyncPgConnection {
        Connector::new(&Secret::new(self.url()), &self.config())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// A pool as the program makes it.
    pub(crate) fn pool(&self) -> db::Pool {
        db::pool(&self.config()).unwrap()
    }

    /// A bare client, as any other software would have.
    pub(crate) async fn client(&self) -> Client {
        client(&self.url).await
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        if let Err(error) = self.client().await.batch_execute(sql).await {
            panic!("{sql}: {error:?}");
        }
    }

    /// The one value that a query returns.
    pub(crate) async fn scalar<T: FromSqlOwned>(&self, sql: &str) -> T {
        match self.client().await.query_one(sql, &[]).await {
            Ok(row) => row.get(0),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// The number that a query counts.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.scalar(sql).await
    }

    /// Everything a query returns, as text: columns by `|`, NULL as an empty text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let messages = match self.client().await.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => panic!("{sql}: {error:?}"),
        };
        messages
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|column| row.get(column).unwrap_or_default())
                        .collect::<Vec<_>>()
                        .join("|"),
                ),
                _ => None,
            })
            .collect()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The test's own runtime cannot be waited for from here.
        let dropping = std::thread::spawn(move || {
            runtime().block_on(async { client(&server()).await.batch_execute(&sql).await })
        });
        // What cannot be dropped now is swept later.
        drop(dropping.join());
        drop(std::fs::remove_dir_all(self.folder()));
    }
}

/// The server's address, at its maintenance database.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
pub(crate) fn server() -> Url {
    let url = std::env::var("TEST_DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())
        .unwrap_or_else(|| "postgres://localhost/postgres".to_owned());
    Url::parse(&url).unwrap()
}

/// The address of a database of that server.
fn at(name: &str) -> Url {
    let mut url = server();
    url.set_path(&format!("/{name}"));
    url
}

#[expect(
    clippy::disallowed_methods,
    reason = "the connection ends with its client"
)]
async fn client(url: &Url) -> Client {
    let (client, connection) = match tokio_postgres::connect(url.as_str(), NoTls).await {
        Ok(connected) => connected,
        Err(error) => panic!("no PostgreSQL at TEST_DATABASE_URL: {error:?}"),
    };
    drop(tokio::spawn(connection));
    client
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A name for what the migrations are now.
fn template_name() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("up.sql"))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(&file).unwrap().hash(&mut hasher);
    }
    format!("gleaner_template_{:016x}", hasher.finish())
}

/// Makes the template where it is missing, and returns its name.
async fn template() -> String {
    static MADE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    MADE.get_or_init(async || {
        let name = template_name();
        let admin = client(&server()).await;
        // Held until this connection ends.
        admin
            .batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))
            .await
            .unwrap();
        sweep(&admin, &name).await;
        if !exists(&admin, &name).await {
            build(&admin, &name).await;
        }
        name
    })
    .await
    .clone()
}

async fn exists(admin: &Client, name: &str) -> bool {
    admin
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)",
            &[&name],
        )
        .await
        .unwrap()
        .get(0)
}

async fn build(admin: &Client, name: &str) {
    let building = format!("{name}_building");
    for sql in [
        format!("DROP DATABASE IF EXISTS {building} WITH (FORCE)"),
        format!("CREATE DATABASE {building} TEMPLATE template0"),
    ] {
        admin.batch_execute(&sql).await.unwrap();
    }
    migrate(at(&building).as_str()).await;
    admin
        .batch_execute(&format!("ALTER DATABASE {building} RENAME TO {name}"))
        .await
        .unwrap();
}

/// Applies all migrations to a database. On a runtime of its own: diesel's migrations block.
pub(crate) async fn migrate(url: &str) {
    let mut config = areas::load(&config::Sources::default()).unwrap().database;
    config.url = Secret::new(url);
    tokio::task::spawn_blocking(move || {
        runtime().block_on(async {
            let connector = Connector::new(&config.url, &config).unwrap();
            migrations::run(connector.connect_patient().await.unwrap())
                .await
                .unwrap();
        });
    })
    .await
    .unwrap();
}

/// Drops what killed tests left over an hour ago, and templates of migrations that are long gone.
async fn sweep(admin: &Client, keep: &str) {
    let is_superuser: bool = admin
        .query_one(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    if !is_superuser {
        return;
    }
    let left = admin
        .query(
            "SELECT datname::text FROM pg_database d, LATERAL pg_stat_file('base/' || d.oid || '/PG_VERSION', true) AS file \
             WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datid = d.oid) AND datname <> $1 \
             AND ((datname LIKE 'gleaner\\_test\\_%' AND file.modification < now() - interval '1 hour') \
               OR (datname LIKE 'gleaner\\_template\\_%' AND file.modification < now() - interval '7 days'))",
            &[&keep],
        )
        .await
        .unwrap();
    for row in left {
        let name: String = row.get(0);
        // Somebody else may be faster.
        drop(
            admin
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name}"))
                .await,
        );
    }
}
