//! Which place for files the configuration names.

use std::path::PathBuf;
use std::sync::Arc;

use super::blob::{Blobs, Local};
use super::config::Documents;
use crate::config::Config;

/// The place. Nothing is made before it is used.
#[must_use]
pub fn of(config: &Config) -> Arc<dyn Blobs> {
    let storage = &config.section::<Documents>().storage;
    let folder = if storage.is_empty() {
        config.embedded.data_dir().join("documents")
    } else {
        PathBuf::from(storage)
    };
    Arc::new(Local::new(folder))
}
