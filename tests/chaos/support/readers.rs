//! What reads documents, with a script of the test's own before it.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::process::PROGRAM;

/// A program that runs these lines of shell, and then is ours.
pub(crate) fn script(folder: &Path, lines: &str) -> String {
    let path = folder.join("reader");
    let text = format!("#!/bin/sh\n{lines}\nexec {PROGRAM} \"$@\"\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Processes that read a document, or are about to.
pub(crate) fn count(script: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments);
            arguments.contains(script) || arguments.contains(&format!("{PROGRAM}\0parse"))
        })
        .count()
}
