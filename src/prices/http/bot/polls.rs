//! The places for pulls that wait for jobs: so many per bot and in all, so that who waits does not keep others from being heard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use super::Trouble;
use crate::prices::config::Bots;
use crate::prices::metrics;

/// When somebody who found no place may try again, in seconds.
const TRY_AGAIN: u64 = 5;

/// Who waits.
#[derive(Default)]
pub(crate) struct Polls(Mutex<HashMap<String, usize>>);

/// A place, until it is dropped: also when its client goes away.
pub(super) struct Place {
    polls: Arc<Polls>,
    bot_id: String,
}

impl Polls {
    /// Takes a place for this bot. Its name has been checked, so that strangers fill no map.
    ///
    /// # Errors
    /// When the bot has its share (429), or there is no place left (503).
    pub(super) fn enter(self: &Arc<Self>, bot_id: &str, limits: &Bots) -> Result<Place, Trouble> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_all: usize = waiting.values().sum();
        let own = waiting.get(bot_id).copied().unwrap_or_default();
        if own >= limits.max_waiting_per_bot {
            return Err(full(
                StatusCode::TOO_MANY_REQUESTS,
                &format!("{own} pulls of this bot wait already, which is all that may"),
            ));
        }
        if in_all >= limits.max_waiting {
            return Err(full(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{in_all} pulls wait already, which is all that may"),
            ));
        }
        waiting.insert(bot_id.to_owned(), own + 1);
        metrics::polls_waiting(in_all + 1);
        Ok(Place {
            polls: Arc::clone(self),
            bot_id: bot_id.to_owned(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.polls.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(&self.bot_id) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(waiting.remove(&self.bot_id)),
        }
        metrics::polls_waiting(waiting.values().sum());
    }
}

fn full(status: StatusCode, why: &str) -> Trouble {
    Trouble {
        retry_after: Some(TRY_AGAIN),
        ..Trouble::new(
            status,
            "too_many_waiting",
            format!("{why}; try again in {TRY_AGAIN} s, or pull without wait_seconds"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_waiting: usize, max_waiting_per_bot: usize) -> Bots {
        Bots {
            listen: String::new(),
            max_body_bytes: 0,
            max_bytes_in_flight: 0,
            max_html_bytes: 0,
            max_waiting,
            max_waiting_per_bot,
        }
    }

    #[test]
    fn places_are_bounded_per_bot_and_in_all_and_come_free_again() {
        let polls = Arc::new(Polls::default());
        let limits = limits(3, 2);
        let enter = |bot: &str| polls.enter(bot, &limits).map_err(|trouble| trouble.status);
        let first = enter("ann").ok();
        let second = enter("ann").ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(enter("ann").err(), Some(StatusCode::TOO_MANY_REQUESTS));
        let third = enter("bob").ok();
        assert!(third.is_some());
        assert_eq!(enter("bob").err(), Some(StatusCode::SERVICE_UNAVAILABLE));
        drop(first);
        let fourth = enter("bob").ok();
        assert!(fourth.is_some());
        drop((second, third, fourth));
        assert!(polls.0.lock().expect("whole").is_empty(), "nobody is left");
    }
}
