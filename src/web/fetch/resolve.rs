//! Names to addresses, through the guard.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns_lookup::{LookupError, LookupErrorKind};
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::guard::Guard;
use crate::fault::{Short, Shortage};

/// A name that every name server answers at once, and knows not to exist (RFC 6761, 6.4): whoever gives no answer to that either
/// is not there.
const CONTROL: &str = "gleaner.invalid";

/// No name server gave a word on a host: it has none that answers, or ours do not. Wrapped in a [`Lookup`]'s error.
#[derive(Debug, thiserror::Error)]
#[error("no answer about this name")]
pub struct Unanswered(#[source] pub io::Error);

/// Looks a host name up. The system's resolver in production; tests put their own.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a host name, at least one.
    ///
    /// # Errors
    /// Whatever the resolver reports; it is shown as the cause of [`super::FetchError::Dns`]. [`Unanswered`] where nobody knew.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// `getaddrinfo`: what the rest of the machine uses, with its hosts file and search rules.
///
/// The call blocks a thread and cannot be cancelled, so the number of calls under way is bounded:
/// a broken resolver must not eat the thread pool that everything else needs too.
#[derive(Debug)]
pub struct SystemLookup {
    permits: Arc<Semaphore>,
}

impl SystemLookup {
    /// At most this many lookups at once; the others wait.
    pub fn new(concurrency: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency)),
        }
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let permits = Arc::clone(&self.permits);
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let addresses = tokio::task::spawn_blocking(move || {
                // Held until the call is over, even if nobody waits for it any more.
                let _permit = permit;
                match dns_lookup::lookup_host(&host) {
                    Ok(found) => Ok(found.collect()),
                    Err(error) => Err(told(error)),
                }
            });
            addresses.await.map_err(io::Error::other)?
        })
    }
}

/// A failed lookup as what it is, by its code.
fn told(error: LookupError) -> io::Error {
    match error.kind() {
        LookupErrorKind::Again => io::Error::other(Unanswered(error.into())),
        _ => error.into(),
    }
}

fn is_unanswered(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<Unanswered>())
}

/// Looks a name up, and says whether it is the resolver that is silent when there is no answer: then it has none for a name
/// either that any has an answer for.
async fn look_up(lookup: &dyn Lookup, host: String, within: Duration) -> io::Result<Vec<IpAddr>> {
    let deadline = Instant::now() + within;
    let mut asked = lookup.lookup(host);
    if let Ok(answer) = timeout_at(deadline - within / 2, &mut asked).await {
        return match answer {
            Err(error) if is_unanswered(&error) && is_silent(lookup, deadline).await => {
                Err(io::Error::other(Short(Shortage::Resolver)))
            }
            answer => answer,
        };
    }
    // The control while there is still time for both.
    let (answer, is_silent) =
        futures_util::future::join(timeout_at(deadline, asked), is_silent(lookup, deadline)).await;
    match answer {
        Ok(Err(error)) if is_unanswered(&error) && is_silent => {
            Err(io::Error::other(Short(Shortage::Resolver)))
        }
        Ok(answer) => answer,
        Err(_elapsed) if is_silent => Err(io::Error::other(Short(Shortage::Resolver))),
        Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "lookup timed out")),
    }
}

/// Whether there is no answer to the control either.
async fn is_silent(lookup: &dyn Lookup, deadline: Instant) -> bool {
    match timeout_at(deadline, lookup.lookup(CONTROL.to_owned())).await {
        Ok(Ok(_)) => false,
        Ok(Err(error)) => is_unanswered(&error),
        Err(_elapsed) => true,
    }
}

/// The resolver that the HTTP library asks: it hears only of addresses that passed the guard, and
/// connects to exactly these.
pub(super) struct GuardedResolver {
    pub(super) guard: Guard,
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) timeout: Duration,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        if let Some(proxy) = self.guard.proxy() {
            return Box::pin(async move { Ok(Box::new(std::iter::once(proxy)) as Addrs) });
        }
        let guard = self.guard.clone();
        let lookup = Arc::clone(&self.lookup);
        // The HTTP library bounds all of the connecting by the same time, and would only say that it is over.
        let within = self.timeout.mul_f64(0.9);
        Box::pin(async move {
            let found = look_up(&*lookup, name.as_str().to_owned(), within).await?;
            let kept = guard.filter(found)?;
            if kept.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "name has no address").into());
            }
            // Port 0 means: the URL's.
            Ok(Box::new(kept.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}
