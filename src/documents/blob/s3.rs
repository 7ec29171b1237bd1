//! Files in a bucket of a store that speaks S3.
//!
//! Keys, region and endpoint are what the environment says (`AWS_…`), or what the machine's own role brings. Drafts are in a folder of this
//! machine; files are fetched into it, without a name, to be read.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Name;
use object_store::{
    ClientConfigKey, Error, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutPayload, RetryConfig,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter};
use tokio::sync::Semaphore;
use tracing::debug;

use super::{BATCH, Blobs, Key, Local, Stored, parse};
use crate::documents::config::Bucket;
use crate::tls;

/// What of a file is in memory on its way to the store, in bytes. Stores take 10,000 parts of 5 MiB or more, all but the last the same: of
/// these, more than the largest file has.
const PART: u64 = 8 << 20;
/// Parts in memory at a time, of all files.
const PARTS: usize = 8;
/// What is gathered of a file that is fetched before it is written, in bytes.
const BUFFER: usize = 256 * 1024;
/// How long the store may take over a request without a file.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a file may take on its way to the store. Stores may date it by when it began, and [`Blobs::remove_before`] goes by that.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Dates may be whole seconds.
const SECOND: Duration = Duration::from_secs(1);
/// What is written and read to see whether that can be done.
const PROBE: &[u8] = b"ok";

/// A bucket: `prefix/tenant/ab/abcdef…`.
pub struct S3 {
    /// Or why there is none.
    store: Result<Arc<dyn ObjectStore>, String>,
    prefix: Name,
    /// As the configuration has it.
    shown: String,
    /// Drafts, and what is fetched.
    own: Local,
    parts: Semaphore,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3").field(&self.shown).finish()
    }
}

impl S3 {
    /// In this bucket, by what the environment says. `own` is for drafts.
    #[must_use]
    pub fn of(bucket: &Bucket, own: Local) -> Self {
        Self::built(AmazonS3Builder::from_env(), bucket, own)
    }

    /// What is wrong with `builder` is told by whatever is asked of it first.
    pub(super) fn built(builder: AmazonS3Builder, bucket: &Bucket, own: Local) -> Self {
        tls::install();
        let retries = RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        };
        let client = AmazonS3ConfigKey::Client;
        let store = builder
            .with_bucket_name(&bucket.name)
            .with_retry(retries)
            // Of all of a request, and of a time in which nothing comes.
            .with_config(client(ClientConfigKey::Timeout), "30m")
            .with_config(client(ClientConfigKey::ReadTimeout), "60s")
            // One at a time is what every store can.
            .with_disable_bulk_delete(true)
            .build();
        match store {
            Ok(store) => Self::over(Ok(Arc::new(store)), bucket, own),
            Err(error) => Self::over(Err(error.to_string()), bucket, own),
        }
    }

    pub(super) fn over(
        store: Result<Arc<dyn ObjectStore>, String>,
        bucket: &Bucket,
        own: Local,
    ) -> Self {
        Self {
            store,
            prefix: Name::from(bucket.prefix.as_str()),
            shown: format!("s3://{}/{}", bucket.name, bucket.prefix),
            own,
            parts: Semaphore::new(PARTS),
        }
    }

    fn store(&self) -> io::Result<&dyn ObjectStore> {
        match &self.store {
            Ok(store) => Ok(&**store),
            Err(problem) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                problem.as_str(),
            )),
        }
    }

    fn name(&self, key: &Key) -> Name {
        Name::from(format!("{}/{key}", self.prefix))
    }

    /// A file as it is listed, if it is one of ours.
    fn stored(&self, about: &ObjectMeta) -> Option<Stored> {
        let parts: Vec<_> = about.location.prefix_match(&self.prefix)?.collect();
        let [tenant, _shelf, name] = parts.as_slice() else {
            return None;
        };
        let key = Key {
            tenant: tenant.as_ref().to_owned(),
            sha256: parse(name.as_ref())?,
        };
        (self.name(&key) == about.location).then(|| Stored {
            key,
            bytes: about.size,
            modified_at: about.last_modified.into(),
        })
    }

    async fn send(&self, name: &Name, draft: &Path) -> io::Result<()> {
        let store = self.store()?;
        let mut file = tokio::fs::File::open(draft).await?;
        let bytes = file.metadata().await?.len();
        if bytes <= PART {
            let _place = self.place().await?;
            let whole = part(&mut file, bytes).await?;
            store.put(name, whole).await.map_err(|error| told(&error))?;
            return Ok(());
        }
        let upload = store.put_multipart(name).await;
        let mut upload = upload.map_err(|error| told(&error))?;
        let sending = self.send_parts(&mut *upload, &mut file, bytes);
        let sent = tokio::time::timeout(LONGEST, sending).await;
        let sent = sent.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
        // What is left where that cannot be said either is taken away by a rule of the bucket's.
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            debug!(%error, "parts of a file stay in the bucket");
        }
        sent
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        file: &mut tokio::fs::File,
        bytes: u64,
    ) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let length = left.min(PART);
            let _place = self.place().await?;
            let next = part(file, length).await?;
            let sent = upload.put_part(next).await;
            sent.map_err(|error| told(&error))?;
            left -= length;
        }
        let whole = upload.complete().await;
        whole.map(drop).map_err(|error| told(&error))
    }

    async fn place(&self) -> io::Result<tokio::sync::SemaphorePermit<'_>> {
        self.parts.acquire().await.map_err(io::Error::other)
    }

    async fn fetch(&self, key: &Key) -> io::Result<File> {
        let found = self.store()?.get(&self.name(key)).await;
        let found = found.map_err(|error| told(&error))?;
        let bytes = found.meta.size;
        let (writing, reading) = self.nameless().await?;
        let mut writing = BufWriter::with_capacity(BUFFER, tokio::fs::File::from_std(writing));
        let mut body = found.into_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| told(&error))?;
            writing.write_all(&piece).await?;
        }
        writing.flush().await?;
        if writing.get_ref().metadata().await?.len() != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(reading)
    }

    /// A new file among the drafts without a name, to write and to read.
    async fn nameless(&self) -> io::Result<(File, File)> {
        let name = format!("fetched-{:032x}", rand::random::<u128>());
        let path = self.own.drafts().await?.join(name);
        let making = tokio::task::spawn_blocking(move || {
            let mut options = OpenOptions::new();
            let writing = options.write(true).create_new(true).mode(0o600);
            let writing = writing.open(&path)?;
            let reading = File::open(&path);
            fs::remove_file(&path)?;
            Ok((writing, reading?))
        });
        making.await.map_err(io::Error::other)?
    }
}

/// So many bytes of a file, from where it stands.
async fn part(file: &mut tokio::fs::File, bytes: u64) -> io::Result<PutPayload> {
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    let mut read = Vec::with_capacity(length);
    file.take(bytes).read_to_end(&mut read).await?;
    if read.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(read.into())
}

/// An error, whose text has all that there is to say. A bucket that is gone says nothing of the file.
fn told(error: &Error) -> io::Error {
    let text = error.to_string();
    let kind = match error {
        Error::NotFound { .. } if !text.contains("NoSuchBucket") => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, text)
}

/// For requests that take a moment, and that others wait for.
async fn soon<T>(asking: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let answered = tokio::time::timeout(ANSWER, asking).await;
    answered.unwrap_or_else(|_late| {
        let text = "the store does not answer";
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

impl Blobs for S3 {
    /// Written again if it stands there already: its date says when somebody last wanted it.
    fn keep<'a>(&'a self, key: &'a Key, draft: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            self.send(&self.name(key), draft).await?;
            tokio::fs::remove_file(draft).await
        })
    }

    fn open<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<File>> {
        Box::pin(self.fetch(key))
    }

    fn holds<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<bool>> {
        Box::pin(soon(async move {
            match self.store()?.head(&self.name(key)).await {
                Ok(_found) => Ok(true),
                Err(Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(told(&error)),
            }
        }))
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(soon(async move {
            match self.store()?.delete(&self.name(key)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(told(&error)),
            }
        }))
    }

    /// Between the look and the removal lies a moment, in which it may be kept again: who keeps it asks [`Blobs::holds`] under the lock
    /// of its row.
    fn remove_before<'a>(
        &'a self,
        key: &'a Key,
        before: SystemTime,
    ) -> BoxFuture<'a, io::Result<bool>> {
        Box::pin(soon(async move {
            let about = match self.store()?.head(&self.name(key)).await {
                Ok(about) => about,
                Err(Error::NotFound { .. }) => return Ok(true),
                Err(error) => return Err(told(&error)),
            };
            if SystemTime::from(about.last_modified) + SECOND > before {
                return Ok(false);
            }
            self.remove(key).await?;
            Ok(true)
        }))
    }

    fn list<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Vec<Stored>) -> bool + Send),
    ) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            let prefix = (!self.prefix.is_root()).then_some(&self.prefix);
            let mut all = self.store()?.list(prefix);
            let mut batch = Vec::new();
            while let Some(about) = all.next().await {
                let about = about.map_err(|error| told(&error))?;
                batch.extend(self.stored(&about));
                if batch.len() == BATCH && !visit(std::mem::take(&mut batch)) {
                    return Ok(());
                }
            }
            visit(batch);
            Ok(())
        })
    }

    fn check(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(soon(async move {
            let (store, name) = (self.store()?, self.prefix.clone().join(".check"));
            let written = store.put(&name, PROBE.into()).await;
            written.map_err(|error| told(&error))?;
            let found = store.get(&name).await.map_err(|error| told(&error))?;
            let read = found.bytes().await.map_err(|error| told(&error))?;
            if read != PROBE {
                return Err(io::Error::other("the store gives back something else"));
            }
            self.own.check().await
        }))
    }

    fn drafts(&self) -> BoxFuture<'_, io::Result<&Path>> {
        self.own.drafts()
    }
}
