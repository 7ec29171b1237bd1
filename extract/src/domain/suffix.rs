//! The list of public suffixes, and what it says of a host.

/// The longest public suffix of a host.
#[derive(Clone, Copy)]
pub(super) struct PublicSuffix {
    /// Where in the host it starts.
    pub(super) start: usize,
    /// It is in the list's private section.
    pub(super) is_private: bool,
}

/// What the list of public suffixes says of a host in lower case and Unicode.
///
/// Nobody else asks it: the list is code, a third of this crate's, and would be compiled again for each part of it that did.
#[inline(never)]
pub(crate) fn suffix(host: &str) -> Option<psl::Suffix<'_>> {
    psl::suffix(host.as_bytes())
}

/// The registrable domain of such a host: its public suffix, listed or not, and the label before it.
pub(crate) fn below_suffix(host: &str) -> Option<&str> {
    let start = host.len().checked_sub(suffix(host)?.as_bytes().len())?;
    let own = label_before(host, start)?;
    // `.com` has a dot there and no label.
    host.get(own..).filter(|_| own + 1 < start)
}

/// Finds the longest public suffix that is really listed.
pub(super) fn public_suffix(host: &str) -> Option<PublicSuffix> {
    // The list is in Unicode.
    let unicode = if host.as_bytes().windows(4).any(|bytes| bytes == b"xn--") {
        Some(idna::domain_to_unicode(host).0)
    } else {
        None
    };
    let suffix = suffix(unicode.as_deref().unwrap_or(host))?;
    if !suffix.is_known() {
        return None;
    }
    let start = if unicode.is_none() {
        host.len().checked_sub(suffix.as_bytes().len())?
    } else {
        let labels = suffix.as_bytes().split(|byte| *byte == b'.').count();
        (1..labels).try_fold(label_before(host, host.len() + 1)?, |start, _| {
            label_before(host, start)
        })?
    };
    Some(PublicSuffix {
        start,
        is_private: suffix.typ() == Some(psl::Type::Private),
    })
}

/// Where the label starts that stands before this place, which is the start of another, or one behind the end.
pub(super) fn label_before(host: &str, start: usize) -> Option<usize> {
    let before = host.as_bytes().get(..start.checked_sub(1)?)?;
    let dot = before.iter().rposition(|byte| *byte == b'.');
    Some(dot.map_or(0, |dot| dot + 1))
}

/// Finds where the registries' suffix starts, behind a private one that starts here.
pub(super) fn icann_suffix(host: &str, private: usize) -> Option<usize> {
    let mut start = private;
    loop {
        start += host.get(start..)?.find('.')? + 1;
        let suffix = public_suffix(host.get(start..)?)?;
        if !suffix.is_private {
            return Some(start + suffix.start);
        }
    }
}
