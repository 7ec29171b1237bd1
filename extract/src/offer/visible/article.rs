//! Which of the numbers on a page are its product's.

use std::collections::HashMap;

use super::Visible;
use super::anchor::Anchor;
use super::others::Others;
use crate::offer::article::{Article, Kind};

/// How far from the title a number may stand, in bytes of visible text.
const MAX_DISTANCE: usize = 30_000;

/// How near elements that make a number another's stand around it, in elements.
const CHOICE_REACH: usize = 4;

/// The numbers of the page's product.
#[derive(Debug, Default)]
pub(in super::super) struct Numbers {
    /// The shop's.
    pub(in super::super) sku: Option<String>,
    /// The maker's.
    pub(in super::super) mpn: Option<String>,
    pub(in super::super) gtin: Option<String>,
}

impl Visible<'_> {
    /// The numbers that stand with the page's product: not those of another product or of one variant of
    /// several; of these the one with the plainest mark, nearest to the title.
    pub(in super::super) fn numbers(&self, anchor: Option<&Anchor>) -> Numbers {
        if self.articles.found.is_empty() {
            return Numbers::default();
        }
        let others = Others::new(self, anchor);
        let mut memo = HashMap::new();
        let place = anchor.map_or(0, |anchor| anchor.start);
        let own: Vec<(&Article, _)> = self
            .articles
            .found
            .iter()
            .filter(|article| article.start.abs_diff(place) <= MAX_DISTANCE)
            .filter(|article| !others.has(article.start, article.node))
            .filter_map(|article| {
                let (around, _) = self.surroundings(article.node, anchor, &mut memo);
                let is_choice = around.iter().take(CHOICE_REACH).any(|t| t.is_choice);
                // What leads to the page ends in its number too.
                let is_boilerplate = around.iter().any(|t| t.is_boilerplate);
                let worth = (
                    !is_choice,
                    !is_boilerplate,
                    article.mark,
                    std::cmp::Reverse(article.start.abs_diff(place)),
                );
                let is_others = around
                    .iter()
                    .any(|t| t.is_related || t.is_card || t.is_basket);
                (!is_others).then_some((article, worth))
            })
            .collect();
        let best = |kind: Kind| {
            let of_kind = || own.iter().filter(|(article, _)| article.kind == kind);
            let (best, (is_own, ..)) = of_kind().max_by_key(|(_, worth)| *worth)?;
            // Of the numbers of several variants none is the product's.
            let is_only = || of_kind().all(|(other, _)| other.value == best.value);
            (*is_own || is_only()).then(|| best.value.clone())
        };
        Numbers {
            sku: best(Kind::Sku).or_else(|| best(Kind::Asin)),
            mpn: best(Kind::Mpn),
            gtin: best(Kind::Gtin),
        }
    }
}
