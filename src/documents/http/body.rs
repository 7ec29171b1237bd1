//! Bodies that are received as they come, of any length: at the client's pace, but not at none.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

/// In this time a body has to bring [`LEAST`], or its end. What the time is spent on by us does not count.
const WINDOW: Duration = Duration::from_secs(30);
/// How much that is, in bytes: a KiB for each second.
const LEAST: usize = 30 * 1024;
/// How long, and how much of it, in bytes, a body is heard out that nobody wants, so that its sender gets to read why.
const HEARING: Duration = Duration::from_secs(5);
const MOST_HEARD: usize = 64 << 20;

/// Why no more of a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client is gone, or sends what is no body.
    Broken,
    /// It sends next to nothing.
    TooSlow,
}

/// What has come of a body in a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Bytes(Bytes),
    Nothing,
    End,
}

/// A body on its way.
pub(super) struct Paced {
    stream: BodyDataStream,
    waited: Duration,
    in_window: usize,
    is_over: bool,
}

impl Paced {
    pub(super) fn new(body: Body) -> Self {
        Self {
            stream: body.into_data_stream(),
            waited: Duration::ZERO,
            in_window: 0,
            is_over: false,
        }
    }

    /// What comes next; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Ended> {
        loop {
            match self.next_within(WINDOW).await? {
                Step::Bytes(bytes) => return Ok(Some(bytes)),
                Step::End => return Ok(None),
                Step::Nothing => {}
            }
        }
    }

    /// What comes next, within so long.
    pub(super) async fn next_within(&mut self, patience: Duration) -> Result<Step, Ended> {
        if self.is_over {
            return Ok(Step::End);
        }
        let patience = patience.min(WINDOW.saturating_sub(self.waited));
        let began = Instant::now();
        let came = timeout(patience, self.stream.next()).await;
        self.waited += began.elapsed();
        let step = match came {
            Ok(Some(Ok(bytes))) => {
                self.in_window += bytes.len();
                Step::Bytes(bytes)
            }
            Ok(Some(Err(_broken))) => {
                self.is_over = true;
                return Err(Ended::Broken);
            }
            Ok(None) => {
                self.is_over = true;
                Step::End
            }
            Err(_elapsed) => Step::Nothing,
        };
        if self.waited >= WINDOW {
            if self.in_window < LEAST && step != Step::End {
                self.is_over = true;
                return Err(Ended::TooSlow);
            }
            self.waited = Duration::ZERO;
            self.in_window = 0;
        }
        Ok(step)
    }

    /// Hears the rest out without keeping any of it: a connection that is closed before would be reset, and its client never see why.
    pub(super) async fn hear_out(&mut self) {
        let hearing = async {
            let mut heard = 0;
            while let Ok(Some(bytes)) = self.next().await {
                heard += bytes.len();
                if heard > MOST_HEARD {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        drop(timeout(HEARING, hearing).await);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// A body that brings so many bytes each second, so many times, and then nothing for ever.
    fn dripping(bytes: usize, times: u32) -> Paced {
        let drops = stream::unfold(0, move |sent| async move {
            if sent == times {
                return std::future::pending().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let drop = Ok::<_, Infallible>(Bytes::from(vec![0; bytes]));
            Some((drop, sent + 1))
        });
        Paced::new(Body::from_stream(drops))
    }

    async fn received(mut body: Paced) -> (usize, Result<(), Ended>) {
        let mut bytes = 0;
        loop {
            match body.next().await {
                Ok(Some(part)) => bytes += part.len(),
                Ok(None) => return (bytes, Ok(())),
                Err(ended) => return (bytes, Err(ended)),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_next_to_nothing_is_cut_off_and_who_is_slow_is_not() {
        let began = Instant::now();
        let (bytes, ended) = received(dripping(100, 1_000)).await;
        assert_eq!(ended, Err(Ended::TooSlow));
        assert!(bytes <= 3_000, "{bytes}");
        assert!(began.elapsed() < Duration::from_secs(31));
        let (bytes, ended) = received(dripping(2_048, 300)).await;
        assert_eq!(ended, Err(Ended::TooSlow));
        assert_eq!(bytes, 300 * 2_048);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_time_does_not_count() {
        let mut body = dripping(2_048, 10);
        for _ in 0..10 {
            assert!(matches!(body.next().await, Ok(Some(_))));
            tokio::time::advance(Duration::from_secs(100)).await;
        }
        assert_eq!(
            body.next_within(Duration::from_secs(5)).await,
            Ok(Step::Nothing)
        );
    }

    #[tokio::test]
    async fn a_body_ends() {
        let (bytes, ended) = received(Paced::new(Body::from("abc"))).await;
        assert_eq!((bytes, ended), (3, Ok(())));
    }
}
