//! Accepts connections, and lets no client hold one for nothing.
//!
//! hyper's own limits are used here rather than `axum::serve`, which sets none: a client that sends its request by the byte,
//! or never reads the answer, is cut off. How many there may be is the business of `places.rs`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

use super::patience::Patient;
use super::places::{Place, Places};
use super::threads::Threads;
use super::{State, outside_router, router, spare_router};

/// How long a client may take to send a request's head, and how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The same in a spare place, where a health check sends it at once.
const SPARE_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection lives before it is asked to end; one on which something takes long, until that is done.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long a connection may take to finish what it is at, once it is to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Largest head of a request, and most that is read ahead of it or of a body, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Connections that the system keeps until they are accepted. With fewer, a burst has those that come after it try again after a
/// second, health checks among them.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept: the process is out of file descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells a handler that the server stops, for those that would wait.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Takes the address, so that whatever else is started need not be stopped again if somebody else has it. Connections
    /// wait until the server starts.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
        listen(address).with_context(|| {
            format!("cannot serve HTTP on {address} (http.listen, or bots.listen)")
        })
    }

    /// Serves all there is, on these threads.
    ///
    /// # Errors
    /// When the socket does not tell its address, or cannot be handed to the threads.
    pub fn start(listener: TcpListener, state: &State, threads: &Threads) -> anyhow::Result<Self> {
        let is_loopback = listener.local_addr()?.ip().is_loopback();
        let routers = Routers {
            all: router(state, is_loopback),
            spare: spare_router(state, false, is_loopback),
        };
        Self::serve(listener, routers, state, threads)
    }

    /// The same for what outsiders may see alone.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_outside(
        listener: TcpListener,
        state: &State,
        threads: &Threads,
    ) -> anyhow::Result<Self> {
        let routers = Routers {
            all: outside_router(state),
            spare: spare_router(state, true, false),
        };
        Self::serve(listener, routers, state, threads)
    }

    fn serve(
        listener: TcpListener,
        routers: Routers,
        state: &State,
        threads: &Threads,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let Routers { all, spare } = routers;
        let routers = Routers {
            all: all.layer(Extension(Stopping(stop.clone()))),
            spare,
        };
        let places = Places::new(&state.shared.config.get().http);
        // It was bound where the wiring runs, and is to be heard by these threads.
        let listener = listener.into_std()?;
        let _inside = threads.enter();
        let listener = TcpListener::from_std(listener)?;
        let threads = threads.handle().context("the threads of HTTP have ended")?;
        drop(threads.spawn(accept(
            listener,
            routers,
            places,
            stop.clone(),
            tasks.clone(),
        )));
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits a moment for those under way to be answered.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST_WORDS, self.tasks.wait())
            .await
            .is_err()
        {
            debug!("clients still hold connections");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of a process before this one, that linger, do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What is answered in a place, and what in a spare one.
#[derive(Clone)]
struct Routers {
    all: Router,
    spare: Router,
}

async fn accept(
    listener: TcpListener,
    routers: Routers,
    places: Arc<Places>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Who finds none is hung up on by this.
                if let Some(place) = places.enter(peer.ip()) {
                    let conversing = converse(stream, routers.clone(), place, stop.clone());
                    drop(tasks.spawn(conversing));
                }
            }
            Err(error) => {
                warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, routers: Routers, place: Place, stop: CancellationToken) {
    // Small answers to one question at a time: nothing to gather.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let place = Arc::new(place);
    let hang_up = place.hang_up();
    let held = Arc::clone(&place);
    let (router, head_timeout) = if place.is_spare() {
        (routers.spare, SPARE_HEAD_TIMEOUT)
    } else {
        (routers.all, HEAD_TIMEOUT)
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .keep_alive(!place.is_spare());
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let (mut router, place) = (router.clone(), Arc::clone(&place));
        place.our_turn();
        request.extensions_mut().insert(Arc::clone(&place));
        async move {
            let response = router.call(request).await.unwrap_or_else(|no| match no {});
            place.clients_turn();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(Patient::new(stream)), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = hang_up.cancelled() => return,
        () = stop.cancelled() => None,
        () = async { tokio::time::sleep(MAX_AGE).await; held.short().await } => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_WORDS, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "an HTTP connection ended badly");
    }
}
