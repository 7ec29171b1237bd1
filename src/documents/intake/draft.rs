//! A file on its way in: written under a name of ours, hashed as it comes, and gone unless it is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use super::kind::HEAD;
use crate::documents::blob::{Blobs, Key, Sha256};

/// What is gathered before it is written, in bytes.
const BUFFER: usize = 256 * 1024;

/// The file.
pub struct Draft {
    path: PathBuf,
    /// `None` only while it is being written to.
    open: Option<Open>,
    buffer: Vec<u8>,
    head: Vec<u8>,
    bytes: u64,
    /// It outlives this value.
    stays: bool,
}

struct Open {
    file: File,
    /// `None` when it does not begin at the start.
    hash: Option<Context>,
}

/// A draft that is whole, on the disk, and waits to be kept.
pub struct Whole {
    draft: Draft,
    pub sha256: Sha256,
    pub bytes: u64,
}

impl Draft {
    /// A new one, which goes with this value unless it is kept.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn new(blobs: &dyn Blobs) -> io::Result<Self> {
        let name = format!("{:032x}", rand::random::<u128>());
        let path = blobs.drafts().await?.join(name);
        Self::open(path, 0, true).await
    }

    /// That of a resumable upload, of this name, after its first `bytes`. What is behind them is cut off; with none, it is made. It
    /// stays until it is kept or [`Draft::discard`]ed.
    ///
    /// # Errors
    /// Whatever the disk says; [`io::ErrorKind::NotFound`] or [`io::ErrorKind::UnexpectedEof`] if it is not there, or shorter.
    pub async fn resumed(blobs: &dyn Blobs, name: &str, bytes: u64) -> io::Result<Self> {
        let path = blobs.drafts().await?.join(name);
        let mut draft = Self::open(path, bytes, false).await?;
        draft.stays = true;
        Ok(draft)
    }

    async fn open(path: PathBuf, at: u64, is_new: bool) -> io::Result<Self> {
        let opening = path.clone();
        let file = blocking(move || {
            let mut options = OpenOptions::new();
            options.write(true).mode(0o600);
            if is_new {
                options.create_new(true);
            } else if at == 0 {
                options.create(true).truncate(true);
            }
            let mut file = options.open(opening)?;
            if at > 0 {
                if file.metadata()?.len() < at {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.set_len(at)?;
                file.seek(SeekFrom::Start(at))?;
            }
            Ok(file)
        })
        .await?;
        Ok(Self {
            path,
            open: Some(Open {
                file,
                hash: (at == 0).then(|| Context::new(&SHA256)),
            }),
            buffer: Vec::with_capacity(BUFFER),
            head: Vec::new(),
            bytes: at,
            stays: false,
        })
    }

    /// Bytes that it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its first bytes, at most [`HEAD`] of them, of one that was begun at the start.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Adds to it.
    ///
    /// # Errors
    /// Whatever the disk says; then it is of no further use.
    pub async fn write(&mut self, mut bytes: Bytes) -> io::Result<()> {
        if self.head.len() < HEAD {
            let wanted = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend(bytes.iter().take(wanted));
        }
        while !bytes.is_empty() {
            let room = BUFFER.saturating_sub(self.buffer.len());
            let part = bytes.split_to(room.min(bytes.len()));
            self.buffer.extend_from_slice(&part);
            self.bytes += u64::try_from(part.len()).map_err(io::Error::other)?;
            if self.buffer.len() >= BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let Some(mut open) = self.open.take() else {
            return Err(io::Error::other("an earlier write failed"));
        };
        let buffer = std::mem::take(&mut self.buffer);
        let (open, buffer) = blocking(move || {
            open.file.write_all(&buffer)?;
            if let Some(hash) = &mut open.hash {
                hash.update(&buffer);
            }
            Ok((open, buffer))
        })
        .await?;
        self.open = Some(open);
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// Has all of it outlive a power cut.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn sync(&mut self) -> io::Result<()> {
        self.flush().await?;
        let Some(open) = self.open.take() else {
            return Err(io::Error::other("an earlier write failed"));
        };
        self.open = Some(
            blocking(move || {
                open.file.sync_data()?;
                Ok(open)
            })
            .await?,
        );
        Ok(())
    }

    /// It is all there.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn finish(mut self) -> io::Result<Whole> {
        self.sync().await?;
        let hash = self.open.take().and_then(|open| open.hash);
        let sha256 = match hash {
            Some(hash) => sum(hash)?,
            None => {
                let path = self.path.clone();
                blocking(move || hash_file(&path)).await?
            }
        };
        Ok(Whole {
            sha256,
            bytes: self.bytes,
            draft: self,
        })
    }

    /// Takes the file away.
    pub fn discard(mut self) {
        self.stays = false;
    }
}

impl Whole {
    /// Makes it the file under this key; it is there for good when this returns.
    ///
    /// # Errors
    /// Whatever the storage says; the draft of a resumable upload is still there then.
    pub async fn keep(self, blobs: &dyn Blobs, key: &Key) -> io::Result<()> {
        blobs.keep(key, &self.draft.path).await?;
        let mut draft = self.draft;
        draft.stays = true;
        Ok(())
    }

    /// Takes the file away.
    pub fn discard(self) {
        self.draft.discard();
    }

    /// Its first bytes, as of [`Draft::head`]; read again where it was begun elsewhere.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn head(&self) -> io::Result<Vec<u8>> {
        let path = self.draft.path.clone();
        blocking(move || {
            use std::io::Read as _;
            let mut head = Vec::new();
            let most = u64::try_from(HEAD).map_err(io::Error::other)?;
            File::open(path)?.take(most).read_to_end(&mut head)?;
            Ok(head)
        })
        .await
    }
}

/// Removing a large file takes the disk a moment; here nobody waits for it.
impl Drop for Draft {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let path = std::mem::take(&mut self.path);
        // What cannot be removed is swept later, as is what is left when the process dies.
        let remove = move || drop(std::fs::remove_file(path));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_outside) => remove(),
        }
    }
}

fn sum(hash: Context) -> io::Result<Sha256> {
    Sha256::try_from(hash.finish().as_ref()).map_err(io::Error::other)
}

fn hash_file(path: &Path) -> io::Result<Sha256> {
    use std::io::Read as _;
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return sum(hash);
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
