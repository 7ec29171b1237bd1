//! Where the library for PDFs is.

use std::path::{Path, PathBuf};

/// Its file.
const LIBRARY: &str = "libpdfium.so";

/// How deep under the data directory's `pdfium` it may lie: a wheel, unpacked, has it in the third folder.
const MAX_DEPTH: usize = 4;

/// Where packages of systems put libraries.
const FOLDERS: [&str; 6] = [
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/opt/pdfium/lib",
];

/// The library: what is configured, and then nothing else; or below `pdfium` in the data directory, or where systems have it.
#[must_use]
pub fn find_pdfium(configured: &str, data_dir: &Path) -> Option<PathBuf> {
    if !configured.is_empty() {
        let path = PathBuf::from(configured);
        return Some(path).filter(|path| path.is_absolute() && path.is_file());
    }
    let own = below(&data_dir.join("pdfium"), MAX_DEPTH);
    own.or_else(|| {
        let mut others = FOLDERS.iter().map(|folder| Path::new(folder).join(LIBRARY));
        others.find(|path| path.is_file())
    })
}

/// In a folder or those in it; of several the one whose name comes last, which is the newest.
fn below(folder: &Path, depth: usize) -> Option<PathBuf> {
    let library = folder.join(LIBRARY);
    if library.is_file() {
        return Some(library);
    }
    if depth == 0 {
        return None;
    }
    let entries = folder.read_dir().ok()?.flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.sort_unstable();
    folders
        .iter()
        .rev()
        .find_map(|folder| below(folder, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_unpacked_library_is_taken_and_a_configured_one_before_it() {
        let data = tempfile::tempdir().unwrap();
        for version in ["5.1.0", "5.2.0"] {
            let folder = data
                .path()
                .join(format!("pdfium/pypdfium2-{version}/pypdfium2_raw"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(LIBRARY), version).unwrap();
        }
        let found = find_pdfium("", data.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&found).unwrap(), "5.2.0");
        let configured = data
            .path()
            .join("pdfium/pypdfium2-5.1.0/pypdfium2_raw")
            .join(LIBRARY);
        let named = configured.to_str().unwrap();
        assert_eq!(find_pdfium(named, data.path()), Some(configured.clone()));
        assert_eq!(find_pdfium("/nowhere/libpdfium.so", data.path()), None);
        assert_eq!(find_pdfium("libpdfium.so", data.path()), None);
    }
}
