//! The disk that the files lie on, where they lie on one of this machine.

use nix::sys::statvfs::statvfs;

use super::blob::Blobs;

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Free {
    /// Bytes that are free for us.
    pub(super) bytes: u64,
    /// Bytes in all.
    pub(super) total: u64,
}

impl Free {
    /// The free part, 0 to 1.
    #[must_use]
    pub(super) fn part(self) -> f64 {
        self.bytes as f64 / (self.total.max(1)) as f64
    }
}

/// The room where drafts are written, which is where files lie that lie on this machine. Nothing where that cannot be told.
pub(super) async fn free(blobs: &dyn Blobs) -> Option<Free> {
    let folder = blobs.drafts().await.ok()?.to_owned();
    let about = tokio::task::spawn_blocking(move || statvfs(&folder)).await;
    let about = about.ok()?.ok()?;
    let size = about.fragment_size();
    Some(Free {
        bytes: about.blocks_available().saturating_mul(size),
        total: about.blocks().saturating_mul(size),
    })
}
