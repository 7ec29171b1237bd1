//! Which program is the browser, and how it is told to behave.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Config, RenderError};

/// What is looked for where none is configured, in this order.
pub const PROGRAMS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome-headless-shell",
];

/// Every connection of the browser is made through this proxy, and there is none of that name: it cannot reach anything by
/// itself. What its pages ask for is fetched by [`crate::web::fetch::Client`] and handed to it.
const NO_PROXY: &str = "http://no-network.invalid:1";

/// The program in force.
///
/// # Errors
/// [`RenderError::NoProgram`].
pub fn find(config: &Config) -> Result<PathBuf, RenderError> {
    let found = if config.program.is_empty() {
        first_of(&PROGRAMS, &search_path())
    } else if config.program.contains('/') {
        Some(PathBuf::from(&config.program)).filter(|path| is_program(path))
    } else {
        first_of(&[&config.program], &search_path())
    };
    found.ok_or_else(|| RenderError::NoProgram {
        looked_for: if config.program.is_empty() {
            format!("none of {} is on PATH", PROGRAMS.join(", "))
        } else {
            format!("render.program is \"{}\", which is none", config.program)
        },
    })
}

fn first_of(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    let paths = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.into_iter().find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is not configuration of ours"
)]
fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect()
}

/// Its arguments. Chromium's own sandbox works for everybody but root, as which it does not start with it.
pub(super) fn arguments(config: &Config, profile: &Path, is_root: bool) -> Vec<OsString> {
    // Of each page's process; the whole browser is held to `memory` by looking.
    let heap_mib = (config.memory / 2) >> 20;
    let mut arguments: Vec<OsString> = [
        "--headless",
        "--remote-debugging-pipe",
        "--no-startup-window",
        // No way out: see `NO_PROXY`.
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--dns-prefetch-disable",
        "--no-pings",
        // Nothing of its own.
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-client-side-phishing-detection",
        "--disable-component-extensions-with-background-pages",
        "--disable-component-update",
        "--disable-crash-reporter",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-features=AutofillServerCommunication,BackForwardCache,HttpsFirstBalancedModeAutoEnable,HttpsUpgrades,MediaRouter,OptimizationHints,Translate",
        "--disable-search-engine-choice-screen",
        "--disable-sync",
        "--metrics-recording-only",
        "--no-default-browser-check",
        "--no-first-run",
        "--password-store=basic",
        "--use-mock-keychain",
        // Nobody looks at it.
        "--block-new-web-contents",
        "--blink-settings=imagesEnabled=false",
        "--disable-gpu",
        "--disable-notifications",
        "--hide-scrollbars",
        "--mute-audio",
        // Tabs that are not in front work as well as any.
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        // Containers have a /dev/shm of 64 MiB, which is not enough.
        "--disable-dev-shm-usage",
    ]
    .iter()
    .map(OsString::from)
    .collect();
    arguments.push(with("--user-data-dir=", profile.as_os_str()));
    arguments.push(with("--proxy-server=", OsStr::new(NO_PROXY)));
    arguments.push(format!("--js-flags=--max-old-space-size={heap_mib}").into());
    if is_root {
        arguments.push("--no-sandbox".into());
    }
    arguments
}

fn with(name: &str, value: &OsStr) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(value);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_on_the_path_is_taken() {
        let folders = ["/nowhere", "/bin", "/usr/bin"].map(PathBuf::from);
        assert_eq!(
            first_of(&["no-such-browser", "sh"], &folders),
            Some(PathBuf::from("/bin/sh"))
        );
        assert_eq!(first_of(&["no-such-browser"], &folders), None);
        assert!(!is_program(Path::new("/etc/passwd")) && !is_program(Path::new("/bin")));
    }
}
