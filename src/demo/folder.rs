//! Saved real sites: one folder per host, served as they lie.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::DemoError;
use super::places::Place;

/// The folders of the saved hosts, by host in lower case; each path is canonical.
pub(crate) type SavedHosts = BTreeMap<String, PathBuf>;

/// Reads which hosts there are, and `places.json`.
pub(crate) fn load(folder: &Path) -> Result<(Vec<Place>, SavedHosts), DemoError> {
    let read_error = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| DemoError::Read { path, source }
    };
    let mut hosts = SavedHosts::new();
    for entry in fs::read_dir(folder).map_err(read_error(folder))? {
        let path = entry.map_err(read_error(folder))?.path();
        let host = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(host_of_folder);
        if let Some(host) = host.filter(|_| path.is_dir()) {
            hosts.insert(host, path.canonicalize().map_err(read_error(&path))?);
        }
    }
    if hosts.is_empty() {
        return Err(DemoError::NoHosts(folder.to_owned()));
    }
    let path = folder.join("places.json");
    let places = match fs::read(&path) {
        Ok(bytes) => {
            parse_places(&bytes).map_err(|source| DemoError::ParsePlaces { path, source })?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            hosts.keys().map(|host| place_of_host(host)).collect()
        }
        Err(source) => return Err(DemoError::Read { path, source }),
    };
    Ok((places, hosts))
}

/// A folder's name as a host: labels of letters, digits and hyphens with at least one dot.
fn host_of_folder(name: &str) -> Option<String> {
    let host = idna::domain_to_ascii(name).ok()?;
    let is_host = host.contains('.')
        && host.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    is_host.then_some(host)
}

fn parse_places(bytes: &[u8]) -> Result<Vec<Place>, serde_json::Error> {
    let mut places: Vec<Place> = serde_json::from_slice(bytes)?;
    for (position, place) in places.iter_mut().enumerate() {
        if place.place_id.is_empty() {
            place.place_id = format!("saved-{}", position + 1);
        }
    }
    Ok(places)
}

fn place_of_host(host: &str) -> Place {
    Place {
        place_id: format!("saved-{host}"),
        name: host.to_owned(),
        website: Some(format!("http://{host}/")),
        business_status: Some("OPERATIONAL".to_owned()),
        ..Place::default()
    }
}

/// Finds the folder of a host, also when only its other form with or without `www.` was saved.
pub(crate) fn folder_of<'a>(hosts: &'a SavedHosts, host: &str) -> Option<&'a Path> {
    let other = match host.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{host}"),
    };
    hosts
        .get(host)
        .or_else(|| hosts.get(&other))
        .map(PathBuf::as_path)
}

/// Finds the file a request path stands for; `None` is a 404.
///
/// Nothing outside `root` is ever returned: path segments that could climb are refused, and the result is compared
/// with `root` after all symbolic links are followed. Blocks on the file system.
pub(crate) fn find_file(root: &Path, request_path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(request_path).decode_utf8().ok()?;
    let mut path = root.to_owned();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        if segment.starts_with('.') || segment.contains(['\\', '\0', ':']) {
            return None;
        }
        path.push(segment);
    }
    let mut with_extension = path.clone().into_os_string();
    with_extension.push(".html");
    [
        path.clone(),
        path.join("index.html"),
        PathBuf::from(with_extension),
    ]
    .into_iter()
    .filter_map(|candidate| candidate.canonicalize().ok())
    .find(|candidate| candidate.starts_with(root) && candidate.is_file())
}

/// The content type a file's extension stands for.
pub(crate) fn content_type(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        // Saved pages say their character set themselves, or the reader guesses as it would on the web.
        "html" | "htm" | "php" | "asp" | "aspx" | "jsp" | "" => "text/html",
        "xhtml" => "application/xhtml+xml",
        "xml" => "application/xml",
        "rss" => "application/rss+xml",
        "atom" => "application/atom+xml",
        "txt" => "text/plain",
        "json" => "application/json",
        "gz" => "application/gzip",
        "css" => "text/css",
        "js" | "mjs" => "text/javascript",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_are_hosts() {
        for (name, host) in [
            ("Example.com", Some("example.com")),
            ("www.one.co.uk", Some("www.one.co.uk")),
            ("bücher.de", Some("xn--bcher-kva.de")),
            (".git", None),
            ("notes", None),
            ("a b.com", None),
            ("one_two.com", None),
        ] {
            assert_eq!(host_of_folder(name).as_deref(), host, "{name}");
        }
    }

    #[test]
    fn requests_cannot_leave_the_host_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = folder
            .path()
            .canonicalize()
            .expect("canonical")
            .join("one.com");
        fs::create_dir_all(root.join("about")).expect("folder");
        fs::write(root.join("index.html"), "home").expect("file");
        fs::write(root.join("about/index.html"), "about").expect("file");
        fs::write(root.join("contact.html"), "contact").expect("file");
        fs::write(root.join(".secret"), "secret").expect("file");
        fs::write(folder.path().join("places.json"), "[]").expect("file");
        fs::create_dir_all(folder.path().join("one.com.evil")).expect("folder");
        fs::write(folder.path().join("one.com.evil/x.html"), "evil").expect("file");
        std::os::unix::fs::symlink(folder.path().join("places.json"), root.join("link.json"))
            .expect("link");
        for (path, file) in [
            ("/", Some("index.html")),
            ("", Some("index.html")),
            ("/about", Some("about/index.html")),
            ("/about/", Some("about/index.html")),
            ("/contact", Some("contact.html")),
            ("/contact.html", Some("contact.html")),
            ("/%63ontact.html", Some("contact.html")),
            ("/missing", None),
            ("/../places.json", None),
            ("/%2e%2e/places.json", None),
            ("/about/..%2f..%2f..%2fplaces.json", None),
            ("/..%5cplaces.json", None),
            ("/../one.com.evil/x.html", None),
            ("/link.json", None),
            ("/.secret", None),
            ("/index.html%00", None),
            ("//etc/passwd", None),
            ("/%ff", None),
        ] {
            assert_eq!(
                find_file(&root, path),
                file.map(|file| root.join(file)),
                "{path}"
            );
        }
    }
}
