//! How far the work on one row has come, and whether it is to end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// What the work on a row tells. Costs its teller next to nothing: the pipeline writes it down, all rows in hand at a time.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    told: Mutex<Told>,
    end: CancellationToken,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What is being done.
    pub step: &'static str,
    /// Parts done.
    pub done: u32,
    /// Of so many, once that is known.
    pub total: Option<u32>,
    /// Of the whole; never less than before.
    pub percent: u8,
}

impl Progress {
    /// Tells it.
    pub fn set(&self, told: Told) {
        let mut last = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Told {
            percent: told.percent.min(100).max(last.percent),
            ..told
        };
    }

    /// What was told last.
    #[must_use]
    pub fn told(&self) -> Told {
        *self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the work end: its row is not ours any more.
    pub fn stop(&self) {
        self.0.end.cancel();
    }

    /// Waits until it is to end.
    pub async fn stopped(&self) {
        self.0.end.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let progress = Progress::default();
        for (percent, expected) in [(5, 5), (40, 40), (12, 40), (200, 100)] {
            progress.set(Told {
                step: "read",
                done: u32::from(percent),
                total: None,
                percent,
            });
            assert_eq!(progress.told().percent, expected);
        }
    }
}
