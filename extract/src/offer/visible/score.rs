//! Which of the prices on a page is the product's.
//!
//! A candidate's score is a sum of weights, set by hand, each for one observation on how shops build
//! pages; the best candidate above a threshold is the price. What stands around both the candidate and
//! the title of the product says nothing (the whole page is in there), so only what is around the
//! candidate and not the title counts against it.

use std::collections::{HashMap, HashSet};

use ego_tree::NodeId;

use super::{Candidate, Heading, NoteKind, Seen, Visible};
use crate::html::{Attributes, ego::NodeRef};
use crate::offer::availability::Availability;
use crate::offer::name::Names;
use crate::offer::region::{Traits, traits};
use crate::price::Amount;

/// How far from the title a note on stock may stand, in bytes of visible text.
const MAX_NOTE_DISTANCE: usize = 6_000;

/// How far up the tree a region is looked for, in elements.
const MAX_CLIMB: usize = 40;

/// The least score of a price.
const MIN_SCORE: f32 = 3.3;

/// From how many elements that are alike a list of products is made.
const MIN_REPEATED: usize = 3;

/// Most text from one card's price to the next's, in bytes.
const MAX_CARD_BYTES: usize = 600;

/// How much of a card is looked at for a link or picture, in nodes.
const MAX_CARD_NODES: usize = 80;

/// The title's place, against which all else is measured.
struct Anchor {
    start: usize,
    end: usize,
    around: HashSet<NodeId>,
}

impl Visible<'_> {
    /// The heading most like the page's names, and how much it is the same.
    pub(in super::super) fn heading(&self, names: &Names) -> Option<(&str, f32)> {
        self.best_heading(names)
            .map(|(heading, likeness)| (heading.text.as_str(), likeness))
    }

    fn best_heading(&self, names: &Names) -> Option<(&Heading, f32)> {
        // Some themes make the shop's name, in the header, the first heading.
        let counts = |heading: &&Heading| !names.is_site(&heading.text);
        let has_first_level = self
            .headings
            .iter()
            .filter(counts)
            .any(|heading| heading.is_first_level);
        self.headings
            .iter()
            .filter(counts)
            .filter(|heading| heading.is_first_level == has_first_level)
            .map(|heading| {
                (
                    heading,
                    names.likeness(&heading.text),
                    names.sameness(&heading.text),
                )
            })
            .filter(|(_, likeness, _)| has_first_level || *likeness > 0.5)
            // Of equals the first: `max_by` would give the last.
            .rev()
            .max_by(|(_, a, x), (_, b, y)| (a + x).total_cmp(&(b + y)))
            .map(|(heading, _, sameness)| (heading, sameness))
    }

    /// The texts of all level-one headings.
    pub(in super::super) fn headings(&self) -> impl Iterator<Item = &str> {
        self.headings
            .iter()
            .filter(|heading| heading.is_first_level)
            .map(|heading| heading.text.as_str())
    }

    fn anchor(&self, names: &Names) -> Option<Anchor> {
        let (heading, _) = self.best_heading(names)?;
        let node = self.page.document().tree.get(heading.node)?;
        Some(Anchor {
            start: heading.start,
            end: heading.end,
            around: node.ancestors().map(|ancestor| ancestor.id()).collect(),
        })
    }

    /// The traits of what is around a node and not around the title, nearest first, and how many
    /// elements that are.
    fn surroundings(
        &self,
        id: NodeId,
        anchor: Option<&Anchor>,
        memo: &mut HashMap<NodeId, Traits>,
    ) -> (Vec<Traits>, usize) {
        let Some(node) = self.page.document().tree.get(id) else {
            return (Vec::new(), 0);
        };
        let mut found = Vec::new();
        for around in std::iter::once(node)
            .chain(node.ancestors())
            .take(MAX_CLIMB)
        {
            if anchor.is_some_and(|anchor| anchor.around.contains(&around.id())) {
                break;
            }
            if let Some(element) = around.value().as_element() {
                if matches!(element.name(), "body" | "html") {
                    break;
                }
                found.push(*memo.entry(around.id()).or_insert_with(|| traits(element)));
            }
        }
        let steps = found.len();
        // `nav-col` within the box that buys is no navigation.
        let mut is_in_area = false;
        for traits in found.iter_mut().rev() {
            traits.is_boilerplate &= !is_in_area;
            is_in_area |= traits.is_product_area;
        }
        (found, steps)
    }

    /// Scores all candidates and gives the best, if it is good enough.
    pub(in super::super) fn price(&self, names: &Names) -> Option<Seen> {
        let anchor = self.anchor(names);
        let mut memo = HashMap::new();
        let carts = self.main_carts(anchor.as_ref(), &mut memo);
        let mut scored: Vec<Candidate> = self
            .candidates
            .iter()
            .map(|candidate| {
                let mut candidate = candidate.clone();
                self.score(&mut candidate, anchor.as_ref(), &carts, &mut memo);
                candidate
            })
            .collect();
        let repeated = self.repeated(anchor.as_ref());
        for candidate in &mut scored {
            candidate.score -= if repeated.contains(&candidate.node) {
                3.0
            } else {
                0.0
            };
        }
        // The same amount shown again where it may be the price (a sticky bar, a button).
        let good: Vec<Amount> = scored
            .iter()
            .filter(|c| c.score > 1.0 && !repeated.contains(&c.node))
            .map(|c| c.amount)
            .collect();
        for candidate in &mut scored {
            let again = good
                .iter()
                .filter(|amount| **amount == candidate.amount)
                .count();
            candidate.score += match again {
                0 | 1 => 0.0,
                2 => 0.6,
                _ => 1.0,
            };
        }
        // A former price beside it, higher, marks the price of today.
        let former: Vec<(usize, Amount)> = scored
            .iter()
            .filter(|c| c.is_struck)
            .map(|c| (c.start, c.amount))
            .collect();
        for candidate in scored.iter_mut().filter(|c| !c.is_struck) {
            let is_reduced = former.iter().any(|(start, amount)| {
                start.abs_diff(candidate.start) < 60 && *amount > candidate.amount
            });
            candidate.score += if is_reduced { 1.5 } else { 0.0 };
        }
        // Of equals the first: `max_by` would give the last.
        let best = scored
            .iter()
            .rev()
            .max_by(|a, b| a.score.total_cmp(&b.score))?;
        if best.score < MIN_SCORE {
            return None;
        }
        let rival = scored
            .iter()
            .filter(|other| other.amount != best.amount && !other.is_struck)
            .map(|other| other.score)
            .fold(0.0, f32::max);
        let list_price = best.old_amount.or_else(|| {
            scored
                .iter()
                .filter(|other| other.is_struck || other.is_named_old)
                .filter(|other| other.amount > best.amount)
                .filter(|other| other.start.abs_diff(best.start) < 200)
                .min_by_key(|other| other.start.abs_diff(best.start))
                .map(|other| other.amount)
        });
        let currency = best.currency.or_else(|| {
            scored
                .iter()
                .filter(|other| other.score > 0.0)
                .find_map(|other| other.currency)
        });
        Some(Seen {
            amount: best.amount,
            currency,
            list_price,
            confidence: confidence(best.score, best.score - rival),
        })
    }

    /// The prices in one of several elements that are alike, each with a link or picture: a list of products.
    fn repeated(&self, anchor: Option<&Anchor>) -> HashSet<NodeId> {
        let tree = &self.page.document().tree;
        let mut found = HashSet::new();
        if self.candidates.len() < MIN_REPEATED {
            return found;
        }
        let climb = |candidate: &Candidate| {
            tree.get(candidate.node)
                .into_iter()
                .flat_map(|node| std::iter::once(node).chain(node.ancestors()))
                .take(MAX_CLIMB)
                .take_while(|around| {
                    !anchor.is_some_and(|anchor| anchor.around.contains(&around.id()))
                })
        };
        // The members of each group, in document order, with the place of their first price.
        let mut groups: HashMap<_, Vec<(NodeId, usize)>> = HashMap::new();
        let mut visited = HashSet::new();
        for candidate in &self.candidates {
            for around in climb(candidate) {
                if !visited.insert(around.id()) {
                    break;
                }
                if let Some(key) = likeness_key(around) {
                    groups
                        .entry(key)
                        .or_default()
                        .push((around.id(), candidate.start));
                }
            }
        }
        let cards: HashSet<NodeId> = groups
            .into_values()
            .filter(|group| is_regular(group))
            .flatten()
            .map(|(id, _)| id)
            .filter(|id| tree.get(*id).is_some_and(leads_elsewhere))
            .collect();
        if cards.is_empty() {
            return found;
        }
        for candidate in &self.candidates {
            if climb(candidate).any(|around| cards.contains(&around.id())) {
                found.insert(candidate.node);
            }
        }
        found
    }

    /// Whether it says "free" where a price stands, or shows an amount of nothing.
    pub(in super::super) fn shows_free(&self) -> bool {
        self.candidates.iter().any(|candidate| {
            candidate.amount.is_zero() && !candidate.is_struck || candidate.is_free
        })
    }

    /// Where the buttons stand that buy this product rather than another.
    fn main_carts(
        &self,
        anchor: Option<&Anchor>,
        memo: &mut HashMap<NodeId, Traits>,
    ) -> Vec<usize> {
        self.notes
            .iter()
            .filter(|note| matches!(note.kind, NoteKind::Cart { .. } | NoteKind::Notify))
            .filter(|note| {
                !self
                    .surroundings(note.node, anchor, memo)
                    .0
                    .iter()
                    .any(|traits| traits.is_foreign())
            })
            .map(|note| note.start)
            .collect()
    }

    fn score(
        &self,
        candidate: &mut Candidate,
        anchor: Option<&Anchor>,
        carts: &[usize],
        memo: &mut HashMap<NodeId, Traits>,
    ) {
        let (around, steps) = self.surroundings(candidate.node, anchor, memo);
        let near = |reach: usize, test: fn(&Traits) -> bool| around.iter().take(reach).any(test);
        let mut score = 0.0;
        let mut weigh = |holds: bool, weight: f32| {
            if holds {
                score += weight;
            }
        };
        // Shops name the element of the price so; styles and scripts need it.
        weigh(near(4, |t| t.is_price), 2.0);
        weigh(near(3, |t| t.is_now), 1.0);
        // Prices of products are set larger than those in text.
        weigh(near(3, |t| t.is_large), 0.7);
        weigh(near(12, |t| t.is_product_area), 1.0);
        // A former price: struck out, or its words or class say so.
        let is_struck = near(3, |t| t.is_struck);
        let is_named_old = !is_struck && near(2, |t| t.is_old && !t.is_now);
        candidate.is_struck = is_struck || candidate.flags.is_old;
        weigh(is_struck, -5.0);
        // Themes name the only price of a product `regular` as well.
        weigh(is_named_old, -1.5);
        candidate.is_named_old = is_named_old;
        weigh(candidate.flags.is_old, -4.0);
        // Regions of other products, of the shop, of the basket.
        weigh(near(MAX_CLIMB, |t| t.is_related), -6.0);
        weigh(near(MAX_CLIMB, |t| t.is_boilerplate), -6.0);
        weigh(near(MAX_CLIMB, |t| t.is_basket), -5.0);
        // The price of this page's product leads nowhere; that of another is within its link or card.
        weigh(near(8, |t| t.is_link), -3.0);
        weigh(near(12, |t| t.is_card), -1.5);
        weigh(near(8, |t| t.is_hidden), -2.5);
        weigh(near(3, |t| t.is_extra), -2.5);
        weigh(near(8, |t| t.is_extra), -1.0);
        weigh(near(6, |t| t.is_choice), -1.0);
        weigh(candidate.flags.is_per_unit, -3.0);
        weigh(candidate.flags.is_periodic, -2.5);
        weigh(!candidate.has_sign && !candidate.is_free, -1.0);
        // Texts around a price are short.
        weigh(candidate.end - candidate.start > 40, -1.0);
        if let Some(anchor) = anchor {
            let place = candidate.start;
            // An amount within the name of the product.
            score -= if (anchor.start..anchor.end).contains(&place) {
                6.0
            } else {
                0.0
            };
            if place >= anchor.end {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a distance of at most a megabyte"
                )]
                let distance = (place - anchor.end) as f32;
                // The price follows the title; after some screens of text it is another's.
                score += 3.0 * (1.0 - distance / 2_000.0).max(0.0);
                score -= if distance > 5_000.0 { 2.0 } else { 0.0 };
            } else {
                // Some shops set the box with price and button before the title.
                score -= match anchor.end - place {
                    0..=400 => 0.3,
                    401..=1_500 => 1.0,
                    _ => 2.5,
                };
            }
            score += match steps {
                0..=4 => 1.5,
                5..=7 => 0.8,
                8..=12 => 0.0,
                _ => -0.7,
            };
        } else {
            score -= 1.5;
        }
        // The button that buys stands below or beside the price.
        let nearest = carts
            .iter()
            .map(|cart| cart.abs_diff(candidate.start))
            .min();
        score += match nearest {
            Some(0..=300) => 2.0,
            Some(301..=1_200) => 1.2,
            Some(1_201..=3_000) => 0.4,
            Some(_) => 0.0,
            None => -0.5,
        };
        candidate.score = score;
    }

    /// What buttons and notes near the title say.
    ///
    /// A button that buys and can be pressed outweighs a badge ("Sold out"), which themes keep in every
    /// page and hide by a style. A button that cannot be pressed says little by itself: scripts
    /// enable it.
    pub(in super::super) fn availability(&self, names: &Names) -> Option<Availability> {
        let anchor = self.anchor(names);
        let mut memo = HashMap::new();
        let (mut has_cart, mut has_notify, mut has_disabled) = (false, false, false);
        let (mut stock, mut text) = (None, None);
        for note in &self.notes {
            let reach = match note.kind {
                NoteKind::Cart { .. } => MAX_NOTE_DISTANCE * 4,
                _ => MAX_NOTE_DISTANCE,
            };
            let is_far = anchor.as_ref().is_some_and(|anchor| {
                note.start > anchor.end + reach || note.start + reach / 2 < anchor.end
            });
            let (around, _) = self.surroundings(note.node, anchor.as_ref(), &mut memo);
            if is_far || around.iter().any(Traits::is_foreign) {
                continue;
            }
            let is_hidden = around.iter().take(6).any(|t| t.is_hidden);
            let is_choice = around.iter().take(4).any(|t| t.is_choice);
            match &note.kind {
                NoteKind::Cart { is_disabled } => {
                    has_cart |= !is_disabled;
                    has_disabled |= is_disabled;
                }
                NoteKind::Notify => has_notify |= !is_hidden,
                NoteKind::Stock(_) | NoteKind::Text(_) if is_hidden || is_choice => {}
                NoteKind::Stock(found) => {
                    let is_badge = around.iter().take(3).any(|t| t.is_badge || t.is_price);
                    stock = stock.or(Some((*found, is_badge)));
                }
                NoteKind::Text(found) => text = text.or(Some((*found, true))),
            }
        }
        let said = stock.or(text);
        match said {
            Some((said, is_badge)) if said.is_available() || !is_badge || !has_cart => Some(said),
            _ if has_cart => Some(Availability::InStock),
            _ if has_notify => Some(Availability::OutOfStock),
            // Where nothing says "sold out", a script enables it.
            _ if has_disabled => Some(Availability::InStock),
            _ => None,
        }
    }
}

/// What elements that are alike have in common: parent, name and class.
fn likeness_key(node: NodeRef<'_>) -> Option<(NodeId, &str, &str)> {
    let element = node.value().as_element()?;
    let class = element.attribute("class").unwrap_or_default().trim();
    // Sections of a page have no class in common, entries of a list need none.
    if class.is_empty() && !matches!(element.name(), "li" | "article") {
        return None;
    }
    Some((node.parent()?.id(), element.name(), class))
}

/// Whether elements are as many and as near to each other as the cards of a list, unlike sections of a page.
fn is_regular(group: &[(NodeId, usize)]) -> bool {
    let gaps = || {
        group
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.1.saturating_sub(pair.first()?.1)))
    };
    let (Some(least), Some(most)) = (gaps().min(), gaps().max()) else {
        return false;
    };
    group.len() >= MIN_REPEATED && most <= MAX_CARD_BYTES && most <= 4 * least
}

/// Whether an element holds a link or a picture, near its beginning.
fn leads_elsewhere(node: NodeRef<'_>) -> bool {
    node.descendants()
        .take(MAX_CARD_NODES)
        .filter_map(|inner| inner.value().as_element())
        .any(|element| element.name() == "img" || traits(element).is_link)
}

/// From the score and its lead over the next other amount to a number between 0.3 and 0.85.
fn confidence(score: f32, lead: f32) -> f32 {
    let by_score = ((score - MIN_SCORE) / 5.0).clamp(0.0, 1.0);
    let by_lead = (lead / 3.0).clamp(0.0, 1.0);
    0.3 + 0.3 * by_score + 0.25 * by_lead
}
