//! Where the files themselves lie: by tenant and by what they hold, in a folder or a bucket.
//!
//! No path holds anything that a client chose. A file is written under a random name first (a draft), made durable, and then kept
//! under its key; so what stands under a key is whole. Which keys are in use the table `blob` says; a file that no row speaks of for
//! an hour is nobody's.

mod local;
#[cfg(feature = "s3")]
mod s3;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use futures_util::future::BoxFuture;

pub use local::Local;
#[cfg(feature = "s3")]
pub use s3::S3;

/// SHA-256 of a file.
pub type Sha256 = [u8; 32];

/// What a file is found by.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The tenant's uid.
    pub tenant: String,
    /// Of its bytes.
    pub sha256: Sha256,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// As it stands in paths: `tenant/ab/abcdef…`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:02x}/", self.tenant, self.sha256[0])?;
        self.sha256
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a file's name says that it holds: 64 digits.
fn parse(name: &str) -> Option<Sha256> {
    let mut sha256 = [0; 32];
    if name.len() != 64 || !name.is_ascii() {
        return None;
    }
    for (at, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(sha256)
}

/// Files handed over at a time when all are listed.
const BATCH: usize = 1_000;

/// A file that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub key: Key,
    pub bytes: u64,
    pub modified_at: SystemTime,
}

/// A place for files.
pub trait Blobs: Send + Sync + fmt::Debug {
    /// Makes a draft, a whole file on this machine, the file under this key. It is there for good when this returns, and the draft is gone. If
    /// the same stands there already, nothing changes.
    fn keep<'a>(&'a self, key: &'a Key, draft: &'a Path) -> BoxFuture<'a, io::Result<()>>;

    /// Opens a file for reading, on this machine: one that lies elsewhere is fetched, into a file without a name.
    fn open<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<std::fs::File>>;

    /// Whether a file is there. Places that can tell without opening it have their own.
    fn holds<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<bool>> {
        Box::pin(async move {
            match self.open(key).await {
                Ok(_file) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// Takes a file away. None is there afterwards, whether there was one or not.
    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<()>>;

    /// Takes a file away unless it was kept since `before`: somebody may be about to name it. Says whether none is there afterwards.
    fn remove_before<'a>(
        &'a self,
        key: &'a Key,
        before: SystemTime,
    ) -> BoxFuture<'a, io::Result<bool>>;

    /// All files that are stored, in no order, a batch at a time; `visit` says whether to go on.
    fn list<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Vec<Stored>) -> bool + Send),
    ) -> BoxFuture<'a, io::Result<()>>;

    /// Whether files can be written and read; for health checks.
    fn check(&self) -> BoxFuture<'_, io::Result<()>>;

    /// The folder on this machine for drafts, which is made if it is not there. Beside the files, where these lie on this machine, so that
    /// keeping one is a rename.
    fn drafts(&self) -> BoxFuture<'_, io::Result<&Path>>;
}

#[cfg(test)]
mod tests;
