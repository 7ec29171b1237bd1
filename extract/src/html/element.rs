//! Looking at an element quicker than the parser's own way.

use scraper::node::Element;

/// The attributes of an element.
pub(in super::super) trait Attributes {
    /// The value of an attribute without a namespace.
    ///
    /// [`Element::attr`] does the same by making an interned name of `name` first and then searching for that, which costs several
    /// times as much as to look at the few attributes that an element has.
    fn attribute(&self, name: &str) -> Option<&str>;

    /// As [`Attributes::attribute`] for several names, in one walk.
    fn attributes<const N: usize>(&self, names: [&str; N]) -> [Option<&str>; N];
}

impl Attributes for Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|(known, _)| &*known.local == name && known.ns.is_empty())
            .map(|(_, value)| &**value)
    }

    fn attributes<const N: usize>(&self, names: [&str; N]) -> [Option<&str>; N] {
        let mut values = [None; N];
        for (known, value) in self.attrs.iter().filter(|(known, _)| known.ns.is_empty()) {
            let local = &*known.local;
            let place = names.iter().position(|name| *name == local);
            if let Some(slot) = place.and_then(|place| values.get_mut(place)) {
                slot.get_or_insert(&**value);
            }
        }
        values
    }
}
