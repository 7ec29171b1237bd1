//! The DevTools protocol over the browser's pipe: JSON, each message ended by a zero byte.
//!
//! A pipe needs no port that others could speak to, and it closes with this process, however that ends; the browser then ends
//! too. Commands are answered by number; events go to the tab (*session*) that they are of.
//!
//! Source: <https://chromedevtools.github.io/devtools-protocol/>, `--remote-debugging-pipe`.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

/// The largest message that is read. The largest there are carry a page (limited to 32 MiB) or what a page posts.
const MAX_MESSAGE_BYTES: usize = 96 << 20;
/// A buffer that has grown larger than this for one message is given back after it.
const KEPT_BUFFER_BYTES: usize = 1 << 20;
/// How many commands may wait to be written.
const OUTGOING: usize = 64;
/// How many events of one tab may wait. A tab reads its events at once; a page that floods it loses its tab.
const EVENTS_PER_SESSION: usize = 512;

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The browser is gone.
    #[error("the browser is gone")]
    Closed,
    /// The browser refused, or answered what nobody expects.
    #[error("{method}: {message}")]
    Refused {
        method: &'static str,
        message: String,
    },
}

/// What the browser tells a tab's owner.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) method: String,
    params: Option<Box<RawValue>>,
}

impl Event {
    /// What it carries; `None` if it is not of that form.
    pub(super) fn params<P: DeserializeOwned>(&self) -> Option<P> {
        let text = self.params.as_ref().map_or("{}", |params| params.get());
        serde_json::from_str(text).ok()
    }
}

#[derive(Deserialize)]
struct Incoming {
    id: Option<u64>,
    method: Option<String>,
    #[serde(rename = "sessionId")]
    session: Option<String>,
    params: Option<Box<RawValue>>,
    result: Option<Box<RawValue>>,
    error: Option<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    message: String,
}

#[derive(Serialize)]
struct Outgoing<'a, P> {
    id: u64,
    method: &'static str,
    #[serde(rename = "sessionId", skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    params: P,
}

type Answer = Result<Option<Box<RawValue>>, Complaint>;

#[derive(Default)]
struct State {
    next_id: u64,
    is_closed: bool,
    pending: HashMap<u64, oneshot::Sender<Answer>>,
    sessions: HashMap<String, mpsc::Sender<Event>>,
}

/// The sending end. Clones are the same wire.
#[derive(Clone)]
pub(super) struct Wire {
    outgoing: mpsc::Sender<Vec<u8>>,
    state: Arc<Mutex<State>>,
}

/// A tab's events, for as long as it lives.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) events: mpsc::Receiver<Event>,
    wire: Wire,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.wire.state().sessions.remove(&self.id);
    }
}

impl Wire {
    /// A wire, and what carries it: to be driven for as long as the wire is to work, ends when the browser does.
    pub(super) fn new(
        read: impl AsyncRead + Unpin + Send + 'static,
        write: impl AsyncWrite + Unpin + Send + 'static,
    ) -> (Self, impl Future<Output = io::Error> + Send + 'static) {
        let (outgoing, to_write) = mpsc::channel(OUTGOING);
        let wire = Self {
            outgoing,
            state: Arc::default(),
        };
        let closer = Closer(wire.clone());
        let carried = async move {
            // Reading goes on while a write is stuck: the browser may be stuck writing to us.
            tokio::select! {
                error = closer.0.read_all(read) => error,
                error = write_all(to_write, write) => error,
            }
        };
        (wire, carried)
    }

    /// Asks the browser, or the tab `session` of it, and waits for the answer.
    ///
    /// # Errors
    /// [`WireError`].
    pub(super) async fn call<R: DeserializeOwned>(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<R, WireError> {
        let (sender, answer) = oneshot::channel();
        let id = self.register(Some(sender)).ok_or(WireError::Closed)?;
        let message = message(id, session, method, params)?;
        self.outgoing
            .send(message)
            .await
            .map_err(|_closed| WireError::Closed)?;
        let refused = |message| WireError::Refused { method, message };
        match answer.await {
            Err(_closed) => Err(WireError::Closed),
            Ok(Err(complaint)) => Err(refused(complaint.message)),
            Ok(Ok(result)) => {
                let text = result.as_ref().map_or("{}", |result| result.get());
                serde_json::from_str(text).map_err(|error| refused(error.to_string()))
            }
        }
    }

    /// Tells the browser, without waiting; whether that could be done.
    pub(super) fn tell(&self, method: &'static str, params: impl Serialize) -> bool {
        let Some(id) = self.register(None) else {
            return false;
        };
        message(id, None, method, params)
            .is_ok_and(|message| self.outgoing.try_send(message).is_ok())
    }

    /// Takes the events of a tab from now on.
    pub(super) fn session(&self, id: String) -> Session {
        let (sender, events) = mpsc::channel(EVENTS_PER_SESSION);
        let mut state = self.state();
        if !state.is_closed {
            state.sessions.insert(id.clone(), sender);
        }
        drop(state);
        Session {
            id,
            events,
            wire: self.clone(),
        }
    }

    /// Whether the browser is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a command, and who waits for its answer; `None` when no answer can come.
    fn register(&self, waiting: Option<oneshot::Sender<Answer>>) -> Option<u64> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        state.next_id += 1;
        let id = state.next_id;
        if let Some(waiting) = waiting {
            state.pending.insert(id, waiting);
        }
        Some(id)
    }

    async fn read_all(&self, read: impl AsyncRead + Unpin) -> io::Error {
        let mut reader = BufReader::with_capacity(64 * 1024, read);
        let mut message = Vec::new();
        loop {
            message.clear();
            message.shrink_to(KEPT_BUFFER_BYTES);
            if let Err(error) = read_message(&mut reader, &mut message).await {
                return error;
            }
            match serde_json::from_slice(&message) {
                Ok(incoming) => self.dispatch(incoming),
                Err(error) => return error.into(),
            }
        }
    }

    fn dispatch(&self, incoming: Incoming) {
        let mut state = self.state();
        if let Some(id) = incoming.id {
            if let Some(waiting) = state.pending.remove(&id) {
                let answer = incoming.error.map_or(Ok(incoming.result), Err);
                // Whoever asked may have gone away.
                drop(waiting.send(answer));
            }
        } else if let (Some(method), Some(id)) = (incoming.method, incoming.session) {
            let event = Event {
                method,
                params: incoming.params,
            };
            let is_full = state
                .sessions
                .get(&id)
                .is_some_and(|events| events.try_send(event).is_err());
            if is_full {
                state.sessions.remove(&id);
            }
        }
    }
}

/// Tells everybody who waits that nothing more will come, also when the carrying future is dropped.
struct Closer(Wire);

impl Drop for Closer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        state.pending.clear();
        state.sessions.clear();
    }
}

fn message(
    id: u64,
    session: Option<&str>,
    method: &'static str,
    params: impl Serialize,
) -> Result<Vec<u8>, WireError> {
    let outgoing = Outgoing {
        id,
        method,
        session,
        params,
    };
    let mut message = serde_json::to_vec(&outgoing).map_err(|error| WireError::Refused {
        method,
        message: error.to_string(),
    })?;
    message.push(0);
    Ok(message)
}

async fn write_all(
    mut messages: mpsc::Receiver<Vec<u8>>,
    mut write: impl AsyncWrite + Unpin,
) -> io::Error {
    while let Some(message) = messages.recv().await {
        if let Err(error) = write.write_all(&message).await {
            return error;
        }
    }
    io::ErrorKind::BrokenPipe.into()
}

/// Reads up to the next zero byte, which is taken off.
async fn read_message(
    reader: &mut BufReader<impl AsyncRead + Unpin>,
    message: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        let found = reader.fill_buf().await?;
        if found.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (part, used, is_whole) = match memchr::memchr(0, found) {
            Some(end) => (&found[..end], end + 1, true),
            None => (found, found.len(), false),
        };
        if message.len() + part.len() > MAX_MESSAGE_BYTES {
            return Err(io::Error::other("the browser's message is too large"));
        }
        message.extend_from_slice(part);
        reader.consume(used);
        if is_whole {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the other end of the wire")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A wire whose other end is in hand.
    fn wire() -> (Wire, BufReader<tokio::io::DuplexStream>) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(ours);
        let (wire, carried) = Wire::new(read, write);
        drop(tokio::spawn(carried));
        (wire, BufReader::new(theirs))
    }

    async fn heard(browser: &mut BufReader<tokio::io::DuplexStream>) -> Value {
        let mut message = Vec::new();
        read_message(browser, &mut message).await.unwrap();
        serde_json::from_slice(&message).unwrap()
    }

    async fn say(browser: &mut BufReader<tokio::io::DuplexStream>, message: &Value) {
        let text = format!("{message}\0");
        browser.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let (wire, mut browser) = wire();
        let ask = |method| {
            let wire = wire.clone();
            tokio::spawn(
                async move { wire.call::<Value>(Some("S"), method, json!({"a": 1})).await },
            )
        };
        let (first, second) = (ask("A.one"), ask("A.two"));
        let (mut heard, other) = (heard(&mut browser).await, heard(&mut browser).await);
        assert_eq!(
            (&heard["sessionId"], &heard["params"]),
            (&json!("S"), &json!({"a": 1}))
        );
        let mut late = other;
        if heard["method"] != "A.one" {
            std::mem::swap(&mut heard, &mut late);
        }
        say(
            &mut browser,
            &json!({"id": late["id"], "error": {"code": -1, "message": "no"}}),
        )
        .await;
        say(
            &mut browser,
            &json!({"id": heard["id"], "result": {"x": "ø"}}),
        )
        .await;
        assert_eq!(first.await.unwrap().unwrap(), json!({"x": "ø"}));
        assert_eq!(second.await.unwrap().unwrap_err().to_string(), "A.two: no");
    }

    #[tokio::test]
    async fn events_go_to_their_tab_and_a_flood_closes_it() {
        let (wire, mut browser) = wire();
        let (mut quiet, mut flooded) = (wire.session("Q".into()), wire.session("F".into()));
        for number in 0..=EVENTS_PER_SESSION {
            say(
                &mut browser,
                &json!({"method": "E", "sessionId": "F", "params": {"n": number}}),
            )
            .await;
        }
        say(&mut browser, &json!({"method": "E", "sessionId": "gone"})).await;
        say(
            &mut browser,
            &json!({"method": "E", "sessionId": "Q", "params": [7]}),
        )
        .await;
        let event = quiet.events.recv().await.unwrap();
        assert_eq!(
            (event.method.as_str(), event.params::<Vec<u8>>()),
            ("E", Some(vec![7]))
        );
        let mut count = 0;
        while flooded.events.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, EVENTS_PER_SESSION);
    }

    #[tokio::test]
    async fn a_browser_that_goes_answers_everybody() {
        let (wire, browser) = wire();
        let mut session = wire.session("S".into());
        let asked = {
            let wire = wire.clone();
            tokio::spawn(async move { wire.call::<Value>(None, "A.one", json!({})).await })
        };
        drop(browser);
        assert!(matches!(asked.await.unwrap(), Err(WireError::Closed)));
        assert!(session.events.recv().await.is_none());
        assert!(!wire.tell("A.two", json!({})));
        assert!(wire.session("T".into()).events.recv().await.is_none());
    }

    #[tokio::test]
    async fn what_is_not_json_ends_the_wire() {
        let (wire, mut browser) = wire();
        let mut session = wire.session("S".into());
        browser.get_mut().write_all(b"DevTools\0").await.unwrap();
        assert!(session.events.recv().await.is_none());
    }
}
