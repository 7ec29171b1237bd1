//! Files in a folder of this machine, or of a disk that the machines share.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures_util::future::BoxFuture;

use super::{BATCH, Blobs, Key, Stored, parse};

/// The folder of the drafts.
const DRAFTS: &str = ".drafts";

/// A folder: `tenant/ab/abcdef…`.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
    drafts: PathBuf,
}

impl Local {
    /// In this folder, which is made when it is first written to.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            drafts: root.join(DRAFTS),
            root,
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.to_string())
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Runs what waits for the disk beside the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// A name that was made outlives a power cut only once its folder is written, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Blobs for Local {
    fn keep<'a>(&'a self, key: &'a Key, draft: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        let (root, path, draft) = (self.root.clone(), self.path(key), draft.to_owned());
        Box::pin(blocking(move || {
            File::open(&draft)?.sync_all()?;
            let folder = path.parent().unwrap_or(&root);
            make_folder(folder)?;
            fs::rename(&draft, &path)?;
            let mut folder = folder;
            loop {
                sync_folder(folder)?;
                match folder.parent() {
                    Some(above) if folder != root => folder = above,
                    _ => return Ok(()),
                }
            }
        }))
    }

    fn open<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<File>> {
        let path = self.path(key);
        Box::pin(blocking(move || File::open(path)))
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, io::Result<()>> {
        let path = self.path(key);
        Box::pin(blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            ended => ended,
        }))
    }

    fn remove_before<'a>(
        &'a self,
        key: &'a Key,
        before: SystemTime,
    ) -> BoxFuture<'a, io::Result<bool>> {
        let (path, drafts) = (self.path(key), self.drafts.clone());
        Box::pin(blocking(move || remove_before(&path, &drafts, before)))
    }

    fn list<'a>(
        &'a self,
        visit: &'a mut (dyn FnMut(Vec<Stored>) -> bool + Send),
    ) -> BoxFuture<'a, io::Result<()>> {
        let root = self.root.clone();
        Box::pin(async move {
            let (sender, mut batches) = tokio::sync::mpsc::channel(1);
            let walking = tokio::task::spawn_blocking(move || walk(&root, &sender));
            while let Some(batch) = batches.recv().await {
                if !visit(batch) {
                    break;
                }
            }
            drop(batches);
            walking.await.map_err(io::Error::other)?
        })
    }

    fn check(&self) -> BoxFuture<'_, io::Result<()>> {
        let drafts = self.drafts.clone();
        let path = drafts.join(format!("check-{:016x}", rand::random::<u64>()));
        Box::pin(blocking(move || {
            make_folder(&drafts)?;
            let written = File::create_new(&path).and_then(|mut file| file.write_all(b"ok"));
            let removed = fs::remove_file(&path);
            written.and(removed)
        }))
    }

    fn drafts(&self) -> BoxFuture<'_, io::Result<&Path>> {
        let drafts = self.drafts.clone();
        Box::pin(async move {
            blocking(move || make_folder(&drafts)).await?;
            Ok(self.drafts.as_path())
        })
    }
}

/// See [`Blobs::remove_before`]. The file is moved aside first: what is kept after that is another one, and is let be.
fn remove_before(path: &Path, drafts: &Path, before: SystemTime) -> io::Result<bool> {
    let is_old = |path: &Path| Ok::<_, io::Error>(fs::metadata(path)?.modified()? < before);
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(true),
        _ => Err(error),
    };
    match is_old(path) {
        Ok(false) => return Ok(false),
        Ok(true) => {}
        Err(error) => return gone(error),
    }
    make_folder(drafts)?;
    let aside = drafts.join(format!("removed-{:032x}", rand::random::<u128>()));
    if let Err(error) = fs::rename(path, &aside) {
        return gone(error);
    }
    if is_old(&aside)? {
        fs::remove_file(&aside)?;
        return Ok(true);
    }
    // It was kept again in between: back with it.
    fs::rename(&aside, path)?;
    Ok(false)
}

/// Sends all files below, a batch at a time, until nobody listens any more. What is no file of ours is passed over.
fn walk(root: &Path, sender: &tokio::sync::mpsc::Sender<Vec<Stored>>) -> io::Result<()> {
    let mut batch = Vec::new();
    let tenants = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        tenants => tenants?,
    };
    for tenant in tenants {
        let tenant = tenant?;
        let Some(name) = tenant.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if name.starts_with('.') || !tenant.file_type()?.is_dir() {
            continue;
        }
        for shelf in fs::read_dir(tenant.path())? {
            let shelf = shelf?;
            if !shelf.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(shelf.path())? {
                let file = file?;
                let Some(sha256) = file.file_name().to_str().and_then(parse) else {
                    continue;
                };
                let about = match file.metadata() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    about => about?,
                };
                batch.push(Stored {
                    key: Key {
                        tenant: name.clone(),
                        sha256,
                    },
                    bytes: about.len(),
                    modified_at: about.modified()?,
                });
                if batch.len() == BATCH && sender.blocking_send(std::mem::take(&mut batch)).is_err()
                {
                    return Ok(());
                }
            }
        }
    }
    // Nobody may listen any more, which is no matter.
    drop(sender.blocking_send(batch));
    Ok(())
}
