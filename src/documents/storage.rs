//! Which place for files the configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "s3")]
use super::blob::S3;
use super::blob::{Blobs, Local};
use super::config::Documents;
use crate::config::Config;

/// The place. Nothing is made before it is used.
#[must_use]
pub fn of(config: &Config) -> Arc<dyn Blobs> {
    at(config.section::<Documents>(), &config.embedded.data_dir())
}

/// The same, by this section; `data_dir` is the folder of this machine for what is kept on it.
#[must_use]
pub fn at(documents: &Documents, data_dir: &Path) -> Arc<dyn Blobs> {
    let own = data_dir.join("documents");
    #[cfg(feature = "s3")]
    if let Ok(Some(bucket)) = documents.bucket() {
        return Arc::new(S3::of(&bucket, Local::new(own)));
    }
    let folder = if documents.storage.is_empty() {
        own
    } else {
        PathBuf::from(&documents.storage)
    };
    Arc::new(Local::new(folder))
}
