//! The way to the server: which host, which socket, TLS or not.
//!
//! The client library could do this by itself, but then on a socket of its own, and with no place for the reader of `wire`. It
//! is done by the same keys of the URL: several hosts, one after the other or in any order, until one lets us in and is one
//! that `target_session_attrs` admits.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use rand::seq::SliceRandom as _;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls, Notification, SimpleQueryMessage,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::wire::Coded;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection, and apart from it what the server says unasked. That ends with the connection.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) heard: mpsc::UnboundedReceiver<Result<Notification, tokio_postgres::Error>>,
}

/// Connects to the first of the hosts that lets us in.
///
/// # Errors
/// What the last of them said.
pub(super) async fn dial(
    config: &Config,
    tls: Option<&MakeRustlsConnect>,
) -> Result<Line, BoxError> {
    let mut refused: BoxError = "no host is named".into();
    for place in places(config) {
        let addresses = match place.addresses(config).await {
            Ok(addresses) => addresses,
            Err(error) => {
                refused = error.into();
                continue;
            }
        };
        for address in addresses {
            match call(config, tls, &place.name, &address).await {
                Ok(line) => return Ok(line),
                Err(error) => refused = error,
            }
        }
    }
    Err(refused)
}

/// One of the hosts of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: Host,
    /// What its certificate has to be for.
    name: String,
    port: u16,
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The hosts in the order in which they are tried.
fn places(config: &Config) -> Vec<Place> {
    const PORT: u16 = 5432;
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let ports = config.get_ports();
    let place = |at: usize| {
        let (host, address) = (hosts.get(at), addresses.get(at));
        let name = match host {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(_)) | None => String::new(),
        };
        Some(Place {
            // An address saves asking for it; the name is still the one of the certificate.
            host: match address {
                Some(address) => Host::Tcp(address.to_string()),
                None => host?.clone(),
            },
            name,
            port: *ports.get(at).or(ports.first()).unwrap_or(&PORT),
        })
    };
    let mut places: Vec<Place> = (0..hosts.len().max(addresses.len()))
        .filter_map(place)
        .collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        places.shuffle(&mut rand::rng());
    }
    places
}

impl Place {
    async fn addresses(&self, config: &Config) -> io::Result<Vec<Address>> {
        let name = match &self.host {
            Host::Unix(folder) => {
                let socket = folder.join(format!(".s.PGSQL.{}", self.port));
                return Ok(vec![Address::Unix(socket)]);
            }
            Host::Tcp(name) => name.as_str(),
        };
        let mut addresses: Vec<Address> = lookup_host((name, self.port))
            .await?
            .map(Address::Tcp)
            .collect();
        if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            addresses.shuffle(&mut rand::rng());
        }
        Ok(addresses)
    }
}

type Socket = Either<TcpStream, UnixStream>;

async fn open(config: &Config, address: &Address) -> io::Result<Socket> {
    let opening = async {
        match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Ok(Socket::Right(stream))
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let socket = SockRef::from(&stream);
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
                if config.get_keepalives() {
                    socket.set_tcp_keepalive(&keepalive(config))?;
                }
                Ok(Socket::Left(stream))
            }
        }
    };
    match config.get_connect_timeout() {
        None => opening.await,
        Some(limit) => tokio::time::timeout(*limit, opening)
            .await
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())),
    }
}

fn keepalive(config: &Config) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    keepalive
}

async fn call(
    config: &Config,
    tls: Option<&MakeRustlsConnect>,
    name: &str,
    address: &Address,
) -> Result<Line, BoxError> {
    let socket = open(config, address).await?;
    let line = match (tls, address) {
        (Some(tls), Address::Tcp(_)) => {
            let stream = match config.get_ssl_negotiation() {
                SslNegotiation::Direct => Coded::opaque(socket),
                _ => Coded::negotiating(socket),
            };
            let mut tls = tls.clone();
            let tls = MakeTlsConnect::<Coded<Socket>>::make_tls_connect(&mut tls, name)?;
            let (client, connection) = config.connect_raw(stream, Inside(tls)).await?;
            line(client, connection)
        }
        // PostgreSQL speaks no TLS on a Unix socket.
        (None, _) | (_, Address::Unix(_)) => {
            let mut config = config.clone();
            config.ssl_mode(SslMode::Disable);
            let stream = Coded::messages(socket);
            let (client, connection) = config.connect_raw(stream, NoTls).await?;
            line(client, connection)
        }
    };
    if is_wanted(config.get_target_session_attrs(), &line.client).await? {
        Ok(line)
    } else {
        Err("the server is not one that target_session_attrs admits".into())
    }
}

/// Has the reader of errors stand inside TLS, where the messages are.
struct Inside<T>(T);

impl<S, T> TlsConnect<S> for Inside<T>
where
    T: TlsConnect<S>,
    T::Stream: 'static,
    T::Error: 'static,
    T::Future: Send + 'static,
{
    type Stream = Coded<T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let shaking = self.0.connect(stream);
        Box::pin(async move { Ok(Coded::messages(shaking.await?)) })
    }
}

/// Sets the connection to work: it reads and writes for the client until that is dropped.
#[expect(
    clippy::disallowed_methods,
    reason = "the connection's own task, ends with the client"
)]
fn line<S, T>(client: Client, mut connection: Connection<S, T>) -> Line
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (tell, heard) = mpsc::unbounded_channel();
    let mut messages =
        futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    drop(tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            // Most have nobody who listens.
            match message {
                Ok(AsyncMessage::Notification(notification)) => {
                    drop(tell.send(Ok(notification)));
                }
                Ok(_) => {}
                Err(error) => {
                    drop(tell.send(Err(error)));
                    break;
                }
            }
        }
    }));
    Line { client, heard }
}

async fn is_wanted(
    wanted: TargetSessionAttrs,
    client: &Client,
) -> Result<bool, tokio_postgres::Error> {
    if wanted == TargetSessionAttrs::Any {
        return Ok(true);
    }
    let answer = client.simple_query("SHOW transaction_read_only").await?;
    let is_read_only = answer.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
        _ => false,
    });
    Ok(is_read_only == (wanted == TargetSessionAttrs::ReadOnly))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_tried_in_their_order_each_at_its_port() {
        let tcp = |host: &str, name: &str, port| Place {
            host: Host::Tcp(host.to_owned()),
            name: name.to_owned(),
            port,
        };
        for (url, expected) in [
            ("postgres://u@a/d", vec![tcp("a", "a", 5432)]),
            (
                "postgres://u@a:1,b:2/d",
                vec![tcp("a", "a", 1), tcp("b", "b", 2)],
            ),
            ("host=a,b port=7", vec![tcp("a", "a", 7), tcp("b", "b", 7)]),
            ("host=a hostaddr=10.0.0.1", vec![tcp("10.0.0.1", "a", 5432)]),
            ("hostaddr=10.0.0.1", vec![tcp("10.0.0.1", "", 5432)]),
            (
                "host=/run/x port=6",
                vec![Place {
                    host: Host::Unix("/run/x".into()),
                    name: String::new(),
                    port: 6,
                }],
            ),
        ] {
            assert_eq!(places(&url.parse().expect(url)), expected, "{url}");
        }
    }
}
