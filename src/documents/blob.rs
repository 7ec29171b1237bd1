//! Where the files themselves lie: by tenant and by what they hold, in a folder or a bucket.
//!
//! No path holds anything that a client chose. A file is written under a random name first (a draft), made durable, and then kept
//! under its key; so what stands under a key is whole. Which keys are in use the table `blob` says; a file that no row speaks of for
//! an hour is nobody's.

mod local;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use futures_util::future::BoxFuture;

pub use local::Local;

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
