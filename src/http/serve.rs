//! Accepts connections, and lets no client hold one for nothing.
//!
//! hyper's own limits are used here rather than `axum::serve`, which sets none: a client that sends its request by the byte,
//! or never reads the answer, is cut off.

use std::convert::Infallible;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

use super::config::MAX_CONNECTIONS;
use super::{State, outside_router, router};
use crate::descriptors;

/// How long a client may take to send a request's head, and how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection lives before it is asked to end.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long a connection may take to finish what it is at, once it is to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
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
    pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
        TcpListener::bind(address).await.with_context(|| {
            format!("cannot serve HTTP on {address} (http.listen, or bots.listen)")
        })
    }

    /// Serves all there is.
    ///
    /// # Errors
    /// When the socket does not tell its address.
    pub fn start(listener: TcpListener, state: &State) -> anyhow::Result<Self> {
        let is_loopback = listener.local_addr()?.ip().is_loopback();
        Self::serve(listener, router(state, is_loopback))
    }

    /// The same for what outsiders may see alone.
    ///
    /// # Errors
    /// When the socket does not tell its address.
    pub fn start_outside(listener: TcpListener, state: &State) -> anyhow::Result<Self> {
        Self::serve(listener, outside_router(state))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server's own task, ended by its token"
    )]
    fn serve(listener: TcpListener, router: Router) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let router = router.layer(Extension(Stopping(stop.clone())));
        drop(tokio::spawn(accept(
            listener,
            router,
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

async fn accept(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    // With few descriptors, most of them are for the work that is asked about.
    let few = (descriptors::limit().soft / 4).max(1);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS.min(few)));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                drop(tasks.spawn(async move {
                    converse(stream, router, stop).await;
                    drop(place);
                }));
            }
            Err(error) => {
                warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small answers to one question at a time: nothing to gather.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|no| match no {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(MAX_AGE) => None,
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
