//! LISTEN: turns the database's notifications into wake-ups. Only a hint: every workflow polls on its interval as well.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;

use super::connect::Connector;

/// Notified with `table/stage` when a row becomes due.
pub const STAGE_CHANNEL: &str = "gleaner_stage";
/// Notified with the workflow's name when an operator asked for something.
pub const CONTROL_CHANNEL: &str = "gleaner_control";
/// Notified with a node's number when an answer has come that it waits for.
pub const CALLBACK_CHANNEL: &str = "gleaner_callback";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A new connection listens: anything may have been missed before.
    Connected,
    /// A row of this stage (`table/stage`) became due.
    Stage(String),
    /// Something was asked of this workflow.
    Control(String),
    /// An answer has come for this node (its number).
    Callback(String),
}

/// Gets what was heard.
pub type Hearer = dyn Fn(Heard) -> BoxFuture<'static, ()> + Send + Sync;

/// Listens until the connection breaks; the caller's supervision starts it again.
pub struct Listener {
    connector: Connector,
    hear: Arc<Hearer>,
}

/// A quiet connection is asked for a sign of life this often: a half-open one would otherwise be silent for ever.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

impl Listener {
    /// Listens through this connector and tells `hear`.
    #[must_use]
    pub fn new(connector: Connector, hear: Arc<Hearer>) -> Self {
        Self { connector, hear }
    }

    async fn listen(&self) -> Result<(), PortError> {
        let (client, mut notifications) = self
            .connector
            .listening()
            .await
            .map_err(|error| PortError::Unavailable(Box::new(error)))?;
        client
            .batch_execute(&format!(
                "LISTEN {STAGE_CHANNEL}; LISTEN {CONTROL_CHANNEL}; LISTEN {CALLBACK_CHANNEL}"
            ))
            .await
            .map_err(|error| PortError::Unavailable(Box::new(error)))?;
        (self.hear)(Heard::Connected).await;
        loop {
            match tokio::time::timeout(PROBE_INTERVAL, notifications.recv()).await {
                Ok(Some(Ok(notification))) => {
                    let payload = notification.payload().to_owned();
                    let heard = match notification.channel() {
                        STAGE_CHANNEL => Heard::Stage(payload),
                        CALLBACK_CHANNEL => Heard::Callback(payload),
                        _ => Heard::Control(payload),
                    };
                    (self.hear)(heard).await;
                }
                Ok(Some(Err(error))) => return Err(PortError::Unavailable(Box::new(error))),
                Ok(None) => return Ok(()),
                Err(_elapsed) => {
                    let probe = client.batch_execute("SELECT 1");
                    match tokio::time::timeout(Duration::from_secs(5), probe).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Err(PortError::Unavailable(Box::new(error))),
                        Err(elapsed) => return Err(PortError::Unavailable(Box::new(elapsed))),
                    }
                }
            }
        }
    }
}

impl gleaner_actors::Service for Listener {
    fn run(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.listen())
    }
}
