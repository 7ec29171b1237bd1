//! What a page calls its product, and how like that another name is.

use std::collections::HashSet;

use url::Url;

use crate::title::Site;
pub(super) use crate::title::words;

/// The names a page gives itself, each as its words.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<HashSet<String>>,
    /// What the shop calls itself.
    site: Site,
}

impl Names {
    /// The names worth comparing with: headings, the title, the words of the address.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self {
            names: names.map(words).filter(|words| !words.is_empty()).collect(),
            site: Site::default(),
        }
    }

    /// With what the shop calls itself.
    pub(super) fn of_site<'a>(self, site: impl Iterator<Item = &'a str>) -> Self {
        let site = Site::new(site);
        Self { site, ..self }
    }

    /// Whether it is known what the shop calls itself.
    pub(super) fn has_site(&self) -> bool {
        self.site.is_known()
    }

    /// Whether a text is the shop's name and nothing more.
    pub(super) fn is_site(&self, text: &str) -> bool {
        self.site.is(text)
    }

    /// From 0 to 1: how much of the shorter of two names stands in the other, for the best of the
    /// page's names. One word in common is not much.
    pub(super) fn likeness(&self, name: &str) -> f32 {
        let words = words(name);
        self.names
            .iter()
            .map(|own| likeness(own, &words))
            .fold(0.0, f32::max)
    }

    /// From 0 to 1: how much two names have in common of all their words, for the best of the
    /// page's names. `Beard oil` is much less the same as `Winter beard oil` than it is like it.
    pub(super) fn sameness(&self, name: &str) -> f32 {
        let words = words(name);
        self.names
            .iter()
            .map(|own| share(own.intersection(&words).count(), own.union(&words).count()))
            .fold(0.0, f32::max)
    }
}

fn share(part: usize, whole: usize) -> f32 {
    f32::from(u16::try_from(part).unwrap_or(u16::MAX))
        / f32::from(u16::try_from(whole.max(1)).unwrap_or(u16::MAX))
}

/// From 0 to 1: the share of words in common, of the shorter name.
pub(super) fn likeness(a: &HashSet<String>, b: &HashSet<String>) -> f32 {
    let shorter = a.len().min(b.len());
    if shorter == 0 {
        return 0.0;
    }
    let longer = a.len().max(b.len());
    let common = a.intersection(b).count();
    // Mostly whether the shorter is within the longer, a little how much of the longer that is.
    0.8 * share(common, shorter) + 0.2 * share(common, longer)
}

/// Whether an address in a page's data is that of the page: same host and path.
pub(super) fn same_page(address: &str, url: &Url) -> bool {
    let Ok(address) = url.join(address.trim()) else {
        return false;
    };
    let host = |url: &Url| {
        url.host_str()
            .map(|host| host.trim_start_matches("www.").to_owned())
    };
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    host(&address) == host(url) && path(&address) == path(url)
}
