//! Looking at an element quicker than the parser's own way.

use scraper::node::Element;

/// The attributes of an element.
pub(in super::super) trait Attributes {
    /// The value of an attribute without a namespace.
    ///
    /// [`Element::attr`] does the same by making an interned name of `name` first and then searching for that, which costs several
    /// times as much as to look at the few attributes that an element has.
    fn attribute(&self, name: &str) -> Option<&str>;
}

impl Attributes for Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|(known, _)| &*known.local == name && known.ns.is_empty())
            .map(|(_, value)| &**value)
    }
}
