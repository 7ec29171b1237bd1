//! What an operator may set about rendering. The defaults are in `config/gleaner.toml`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The least memory that a browser can do anything with.
const LEAST_MEMORY: u64 = 512 << 20;
/// The longest of any duration here. More is a mistake.
const MAX_DURATION: Duration = Duration::from_secs(3600);

/// The section `[render]`. Every field can be changed at run time by a reload; a browser that was started with other settings
/// is replaced before the next page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether there is a browser at all.
    pub enabled: bool,
    /// The browser's program; empty for the first that is found of [`super::PROGRAMS`].
    pub program: String,
    /// Longest time one page may take in its tab, and longest wait for a free tab.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long the scripts of a page may go on before the page is read as it stands; it is read sooner when it is loaded and
    /// asks for nothing more.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// How many pages are rendered at once.
    pub max_pages: NonZeroUsize,
    /// The most memory of the browser with all its processes, in bytes; a browser that takes more is replaced at once.
    pub memory: u64,
    /// A browser is replaced after so many pages.
    pub pages_per_browser: NonZeroU32,
    /// A browser that nobody needed for so long is closed.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// The largest page that is read, in bytes, as its scripts have left it.
    pub max_html_bytes: usize,
    /// How many requests one page may make.
    pub max_requests: u32,
    /// How many of them may go to others than its own shop: scripts and style sheets.
    pub max_foreign_requests: u32,
    /// To how many others.
    pub max_foreign_hosts: u32,
    /// How much all of them together may bring, in bytes after decompression.
    pub max_bytes: u64,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        for (key, value) in [
            ("render.timeout", self.timeout),
            ("render.wait", self.wait),
            ("render.idle", self.idle),
        ] {
            if value.is_zero() || value > MAX_DURATION {
                return Err((key, "must be longer than zero and at most an hour"));
            }
        }
        if self.wait >= self.timeout {
            return Err((
                "render.wait",
                "must be shorter than render.timeout, so that there is time to read the page",
            ));
        }
        if self.max_pages.get() > 64 {
            return Err(("render.max_pages", "must be at most 64"));
        }
        if self.memory < LEAST_MEMORY {
            return Err(("render.memory", "must be at least 536870912 (512 MiB)"));
        }
        if !(1_024..=32 << 20).contains(&self.max_html_bytes) {
            return Err(("render.max_html_bytes", "must be 1 KiB to 32 MiB"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let good = Config {
            enabled: true,
            program: String::new(),
            timeout: Duration::from_secs(20),
            wait: Duration::from_secs(8),
            max_pages: NonZeroUsize::MIN,
            memory: LEAST_MEMORY,
            pages_per_browser: NonZeroU32::MIN,
            idle: Duration::from_secs(60),
            max_html_bytes: 8 << 20,
            max_requests: 0,
            max_foreign_requests: 0,
            max_foreign_hosts: 0,
            max_bytes: 0,
        };
        assert_eq!(good.validate(), Ok(()));
        let refused = |spoil: fn(&mut Config)| {
            let mut config = good.clone();
            spoil(&mut config);
            config.validate().map_err(|(key, _)| key)
        };
        assert_eq!(
            refused(|c| c.timeout = Duration::ZERO),
            Err("render.timeout")
        );
        assert_eq!(
            refused(|c| c.timeout = Duration::MAX),
            Err("render.timeout")
        );
        assert_eq!(refused(|c| c.idle = Duration::ZERO), Err("render.idle"));
        assert_eq!(refused(|c| c.wait = c.timeout), Err("render.wait"));
        assert_eq!(
            refused(|c| c.max_pages = NonZeroUsize::MAX),
            Err("render.max_pages")
        );
        assert_eq!(refused(|c| c.memory = 1), Err("render.memory"));
        assert_eq!(
            refused(|c| c.max_html_bytes = 33 << 20),
            Err("render.max_html_bytes")
        );
    }
}
