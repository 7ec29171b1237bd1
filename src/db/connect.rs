//! Making one connection: URL, TLS, session settings.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Config, DbError, dial, locks};
use crate::secret::Secret;

/// How our statements are planned, whose tables grow from nothing.
///
/// They stay prepared, so each run is planned for the table as it is. Statistics lag behind: a table that was empty when they
/// were taken is thought to hold a handful of due rows, all of which would be collected in a bitmap and sorted, 260 ms for a
/// claim among 300,000 where the index in claim order takes 10 ms. And an estimate gone wild must not have a statement of
/// milliseconds compiled first.
pub const PLANNING: &str =
    "SET plan_cache_mode = force_custom_plan; SET enable_bitmapscan = off; SET jit = off";

/// Before a statement that inserts many rows, in a transaction: has the server plan its checks of foreign keys once.
///
/// They are statements too, one for each row and key. Under [`PLANNING`] each would be planned for itself: 7 µs, about as much
/// as the row. [`CHECKS_PLANNED_EACH`] follows the statement, unless the transaction ends with it.
pub const CHECKS_PLANNED_ONCE: &str = "SET LOCAL plan_cache_mode = auto";

/// After such a statement.
pub const CHECKS_PLANNED_EACH: &str = "SET LOCAL plan_cache_mode = force_custom_plan";

/// What a client that listens hears; last, perhaps, what ended its connection.
pub type Notifications = UnboundedReceiver<Result<Notification, tokio_postgres::Error>>;

/// Knows how to make connections to one database.
#[derive(Clone)]
pub struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    statement_timeout: Duration,
    lock_timeout: Duration,
    connect_timeout: Duration,
}

impl Connector {
    /// Reads the URL and prepares TLS where it may be wanted.
    ///
    /// `sslmode`: `disable`; `prefer` (the default; in the clear for a server on this machine); `require`, `verify-ca` and
    /// `verify-full`, which mean the same here: the certificate and its name are always verified. None of it is for Unix sockets,
    /// on which PostgreSQL speaks no TLS.
    ///
    /// # Errors
    /// [`DbError::NoUrl`], [`DbError::BadUrl`], [`DbError::Tls`].
    pub fn new(url: &Secret, config: &Config) -> Result<Self, DbError> {
        let mut parsed = parse(url)?;
        if parsed.get_hosts().is_empty() && parsed.get_hostaddrs().is_empty() {
            parsed.host("/var/run/postgresql");
        }
        if parsed.get_application_name().is_none() {
            parsed.application_name("gleaner");
        }
        parsed.connect_timeout(config.connect_timeout);
        parsed.keepalives_idle(Duration::from_secs(30));
        parsed.tcp_user_timeout(Duration::from_secs(20));
        let wants_tls = match parsed.get_ssl_mode() {
            SslMode::Disable => false,
            SslMode::Prefer => !parsed.get_hosts().iter().all(is_local),
            _ => true,
        };
        let tls = if wants_tls {
            crate::tls::install();
            let client = rustls::ClientConfig::with_platform_verifier().map_err(DbError::Tls)?;
            Some(MakeRustlsConnect::new(client))
        } else {
            parsed.ssl_mode(SslMode::Disable);
            None
        };
        Ok(Self {
            config: parsed,
            tls,
            statement_timeout: config.statement_timeout,
            lock_timeout: config.statement_timeout,
            connect_timeout: config.connect_timeout,
        })
    }

    /// The same, whose connections wait for others' locks no longer than [`locks::PATIENCE`]: for those who share a few connections
    /// and have something else to do meanwhile.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        self.lock_timeout = self.statement_timeout.min(locks::PATIENCE);
        self
    }

    /// Where it connects to, for messages: no user, no password.
    #[must_use]
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => self
                .config
                .get_hostaddrs()
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!(
            "{host}:{port}/{}",
            self.config.get_dbname().unwrap_or_default()
        )
    }

    /// A new connection with our session settings.
    ///
    /// # Errors
    /// [`DbError::Connect`].
    pub async fn connect(&self) -> Result<AsyncPgConnection, DbError> {
        let connecting = async {
            let line = dial::dial(&self.config, self.tls.as_ref()).await?;
            let mut connection = AsyncPgConnection::try_from(line.client)
                .await
                .map_err(boxed)?;
            let statement = self.statement_timeout.as_millis();
            let lock = self.lock_timeout.as_millis();
            connection
                .batch_execute(&format!(
                    "SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
                     SET idle_in_transaction_session_timeout = '60s'; SET timezone = 'UTC'; {PLANNING}"
                ))
                .await
                .map_err(boxed)?;
            Ok(connection)
        };
        // Covers all of it: a server may also accept and then say nothing.
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(done) => done,
            Err(elapsed) => Err(boxed(elapsed)),
        }
        .map_err(|source| DbError::Connect {
            place: self.place(),
            source,
        })
    }

    /// A bare client, for questions that diesel cannot put.
    ///
    /// # Errors
    /// [`DbError::Connect`].
    pub async fn raw(&self) -> Result<Client, DbError> {
        let (client, _) = self.listening().await?;
        Ok(client)
    }

    /// A bare client, and what is notified on the channels that it listens on, until its connection ends.
    ///
    /// # Errors
    /// [`DbError::Connect`].
    pub async fn listening(&self) -> Result<(Client, Notifications), DbError> {
        let dialling = dial::dial(&self.config, self.tls.as_ref());
        match tokio::time::timeout(self.connect_timeout, dialling).await {
            Ok(dialled) => dialled,
            Err(elapsed) => Err(boxed(elapsed)),
        }
        .map(|line| (line.client, line.heard))
        .map_err(|source| DbError::Connect {
            place: self.place(),
            source,
        })
    }

    /// A new connection without a statement timeout, for work that may take long (migrations, imports, benchmarks).
    ///
    /// # Errors
    /// [`DbError::Connect`].
    pub async fn connect_patient(&self) -> Result<AsyncPgConnection, DbError> {
        let mut connection = self.connect().await?;
        connection
            .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
            .await?;
        Ok(connection)
    }
}

/// Reads the URL.
///
/// # Errors
/// [`DbError::NoUrl`], [`DbError::BadUrl`].
pub(super) fn parse(url: &Secret) -> Result<tokio_postgres::Config, DbError> {
    if url.is_empty() {
        return Err(DbError::NoUrl);
    }
    let text = url
        .expose()
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require");
    let parsed: tokio_postgres::Config = text
        .parse()
        .map_err(|error: tokio_postgres::Error| DbError::BadUrl(told(&error)))?;
    let is_name = |host: &Host| match host {
        Host::Tcp(name) => name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:%[]".contains(&byte)),
        Host::Unix(_) => true,
    };
    // What follows an @ within a password is read as the host, and would be named wherever the host is.
    if parsed.get_hosts().iter().all(is_name) {
        Ok(parsed)
    } else {
        Err(DbError::BadUrl(FORM.to_owned()))
    }
}

/// What a URL should be like.
const FORM: &str = "it must be postgres://user:password@host:port/database; in user and password, @ : / ? # and % are written %40 \
    %3A %2F %3F %23 and %25";

/// What is wrong with a URL. The parser names options as they stand there, and a password that is not encoded is taken for some.
fn told(error: &tokio_postgres::Error) -> String {
    let why = crate::telemetry::chain(error);
    match why.rsplit_once("invalid value for option ") {
        Some((_, option)) if OPTIONS.contains(&option.trim_matches('`')) => {
            format!("the value of {} is none", option.trim_matches('`'))
        }
        _ => FORM.to_owned(),
    }
}

/// Options that may have a wrong value.
const OPTIONS: [&str; 16] = [
    "channel_binding",
    "connect_timeout",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "port",
    "replication",
    "sslmode",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
];

fn boxed(
    error: impl std::error::Error + Send + Sync + 'static,
) -> Box<dyn std::error::Error + Send + Sync> {
    Box::new(error)
}

/// A Unix socket or a loopback name: nothing crosses a network.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        crate::areas::load(&crate::config::Sources::default())
            .expect("the defaults")
            .database
    }

    #[test]
    fn tls_is_for_the_network() {
        for (url, tls) in [
            ("postgres://u:p@localhost/d", false),
            ("postgres://u@127.0.0.1/d?sslmode=require", true),
            ("postgres://u@db.example.org/d", true),
            ("postgres://u@db.example.org/d?sslmode=disable", false),
            ("postgres://u@db.example.org/d?sslmode=verify-full", true),
            ("postgres://u@%2Frun%2Fpostgresql/d", false),
        ] {
            let connector = Connector::new(&Secret::new(url), &config()).expect(url);
            assert_eq!(connector.tls.is_some(), tls, "{url}");
        }
    }

    #[test]
    fn messages_hold_no_credentials() {
        let connector =
            Connector::new(&Secret::new("postgres://u:hunter2@h:7/d"), &config()).expect("valid");
        assert_eq!(connector.place(), "h:7/d");
        let error = Connector::new(&Secret::new("postgres://u:hunter2@h:7x/d"), &config())
            .err()
            .expect("malformed");
        assert!(!crate::telemetry::chain(&error).contains("hunter2"));
    }
}
