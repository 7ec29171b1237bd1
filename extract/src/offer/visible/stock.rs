//! Whether the product can be bought, by the buttons and words that a buyer sees.

use std::collections::HashMap;

use super::anchor::Anchor;
use super::others::Others;
use super::{NoteKind, Visible};
use crate::offer::availability::Availability;
use crate::offer::region::Traits;

/// How far from the title a note on stock may stand, in bytes of visible text.
const MAX_NOTE_DISTANCE: usize = 6_000;

/// What a page shows about stock.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent observations, not states"
)]
pub(in super::super) struct Stock {
    /// A button that buys and can be pressed.
    has_cart: bool,
    /// One that cannot be pressed, yet.
    has_disabled_cart: bool,
    /// One that can be pressed, below a heading of other products.
    has_cart_of_others: bool,
    /// One that offers to tell when there is something to buy.
    has_notify: bool,
    /// What an element that speaks of stock says, and whether it is but a badge.
    said: Option<(Availability, bool)>,
    /// What a text of nothing but words about stock says.
    noted: Option<Availability>,
}

impl Stock {
    /// What buttons and notes say together.
    ///
    /// A button that buys and can be pressed outweighs a badge ("Sold out"), which themes keep in every
    /// page and hide by a style. A button that cannot be pressed says little by itself: scripts
    /// enable it.
    pub(in super::super) fn availability(self) -> Option<Availability> {
        let noted = self.noted.map(|noted| (noted, true));
        match self.said.or(noted) {
            Some((said, is_badge)) if said.is_available() || !is_badge || !self.has_cart => {
                Some(said)
            }
            _ if self.has_cart => Some(Availability::InStock),
            _ if self.has_notify => Some(Availability::OutOfStock),
            // Where nothing says "sold out", a script enables it, or puts it where the others' stand already.
            _ if self.has_disabled_cart || self.has_cart_of_others => Some(Availability::InStock),
            _ => None,
        }
    }

    /// What the page says so plainly that data which say the contrary are out of date: sold out where stock is spoken of, and nothing to press.
    pub(in super::super) fn plainly_sold_out(self) -> Option<Availability> {
        self.said
            .filter(|(said, is_badge)| !is_badge && !said.is_available() && !self.has_cart)
            .map(|(said, _)| said)
    }
}

impl Visible<'_> {
    /// What buttons and notes near the title say.
    pub(in super::super) fn stock(&self, anchor: Option<&Anchor>) -> Stock {
        let others = Others::new(self, anchor);
        let mut memo = HashMap::new();
        let mut stock = Stock::default();
        for note in &self.notes {
            let reach = match note.kind {
                NoteKind::Cart { .. } => MAX_NOTE_DISTANCE * 4,
                _ => MAX_NOTE_DISTANCE,
            };
            let is_far = anchor.is_some_and(|anchor| {
                note.start > anchor.end + reach || note.start + reach / 2 < anchor.end
            });
            let (around, _) = self.surroundings(note.node, anchor, &mut memo);
            if is_far || around.iter().any(Traits::is_foreign) {
                continue;
            }
            if others.has(note.start, note.node) {
                stock.has_cart_of_others |= note.kind == NoteKind::Cart { is_disabled: false };
                continue;
            }
            let is_hidden = around.iter().take(6).any(|t| t.is_hidden);
            let is_choice = around.iter().take(4).any(|t| t.is_choice);
            match &note.kind {
                NoteKind::Cart { is_disabled } => {
                    stock.has_cart |= !is_disabled;
                    stock.has_disabled_cart |= is_disabled;
                }
                NoteKind::Notify => stock.has_notify |= !is_hidden,
                NoteKind::Stock(_) | NoteKind::Text(_) if is_hidden || is_choice => {}
                NoteKind::Stock(found) => {
                    let is_badge = around.iter().take(3).any(|t| t.is_badge || t.is_price);
                    stock.said = stock.said.or(Some((*found, is_badge)));
                }
                NoteKind::Text(found) => stock.noted = stock.noted.or(Some(*found)),
            }
        }
        stock
    }
}
