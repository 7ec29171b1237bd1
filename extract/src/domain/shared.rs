//! Hosts that many businesses share.

use std::sync::LazyLock;

use fnv::FnvHashMap;

use super::suffix::{PublicSuffix, label_before};

/// As [`super::is_excluded`], for a host in lower case, with its public suffix.
pub(super) fn shared_list(host: &str, suffix: Option<PublicSuffix>) -> Option<&'static str> {
    let shared = &*SHARED_HOSTS;
    let mut name = host;
    // No top level is listed.
    while let Some(dot) = name.bytes().position(|byte| byte == b'.') {
        if let Some(list) = shared.domains.get(name) {
            return Some(list);
        }
        name = name.get(dot + 1..).unwrap_or_default();
    }
    let suffix = suffix.filter(|suffix| !suffix.is_private)?;
    let domain = host.get(label_before(host, suffix.start)?..)?;
    shared.names.get(domain.split('.').next()?).copied()
}

/// Names to the list they are in.
type Lists = FnvHashMap<&'static str, &'static str>;

pub(super) struct SharedHosts {
    /// Whole domains.
    pub(super) domains: Lists,
    /// The label before any public suffix.
    pub(super) names: Lists,
}

pub(super) static SHARED_HOSTS: LazyLock<SharedHosts> = LazyLock::new(|| {
    let mut shared = SharedHosts {
        domains: Lists::default(),
        names: Lists::default(),
    };
    let mut list = "shared";
    for line in include_str!("../data/shared_hosts.txt")
        .lines()
        .map(str::trim)
    {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            list = name;
        } else if let Some(name) = line.strip_suffix(".*") {
            shared.names.insert(name, list);
        } else {
            shared.domains.insert(line, list);
        }
    }
    shared
});
