//! Which place for files the configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    let folder = if documents.storage.is_empty() {
        data_dir.join("documents")
    } else {
        PathBuf::from(&documents.storage)
    };
    Arc::new(Local::new(folder))
}
