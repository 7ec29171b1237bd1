//! Names to addresses, through the guard.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::guard::Guard;

/// Looks a host name up. The system's resolver in production; tests put their own.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a host name, at least one.
    ///
    /// # Errors
    /// Whatever the resolver reports; it is shown as the cause of [`super::FetchError::Dns`].
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
                (host.as_str(), 0)
                    .to_socket_addrs()
                    .map(|found| found.map(|a| a.ip()).collect())
            });
            addresses.await.map_err(io::Error::other)?
        })
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
        let lookup = self.lookup.lookup(name.as_str().to_owned());
        let timeout = self.timeout;
        Box::pin(async move {
            let found = tokio::time::timeout(timeout, lookup)
                .await
                .map_err(|_elapsed| {
                    io::Error::new(io::ErrorKind::TimedOut, "lookup timed out")
                })??;
            let kept = guard.filter(found)?;
            if kept.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "name has no address").into());
            }
            // Port 0 means: the URL's.
            Ok(Box::new(kept.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}
