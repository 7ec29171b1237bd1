//! A line between the program and a server, which can be cut: what crosses it breaks, and nothing gets across until it is mended.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It carries.
    Whole,
    /// Connections are broken, and new ones refused after they were made.
    Cut,
    /// Everything is swallowed, as by a router that drops packets.
    Silent,
}

/// The line; gone when it is dropped.
pub(crate) struct Line {
    address: SocketAddr,
    state: watch::Sender<State>,
    made: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Line {
    /// A whole line to the server of a `postgres://` URL.
    pub(crate) async fn to(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::Whole);
        let made = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(
            listener,
            server,
            state.subscribe(),
            Arc::clone(&made),
        ));
        Self {
            address,
            state,
            made,
            _tasks: tasks,
        }
    }

    /// The same URL, over this line.
    pub(crate) fn url(&self, url: &str) -> String {
        let mut url = Url::parse(url).unwrap();
        url.set_ip_host(self.address.ip()).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }

    /// Changes how it is.
    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// How many connections were carried so far.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    server: String,
    state: watch::Receiver<State>,
    made: Arc<AtomicUsize>,
) {
    // Owned by this task, so that its end cuts every connection.
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _peer)) = listener.accept().await {
            if *state.borrow() == State::Whole {
                made.fetch_add(1, Ordering::Relaxed);
            }
            connections.spawn(carry(stream, server.clone(), state.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut near: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let now = *state.borrow_and_update();
    if now == State::Whole {
        let Ok(mut far) = TcpStream::connect(&server).await else {
            return;
        };
        let copying = tokio::io::copy_bidirectional(&mut near, &mut far);
        tokio::select! {
            _ended = copying => return,
            _changed = state.changed() => {}
        }
    }
    // A connection that has been swallowed is held, and broken when the line is anything else again.
    drop(state.wait_for(|state| *state != State::Silent).await);
}
