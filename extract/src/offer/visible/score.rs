//! Which of the prices on a page is the product's.
//!
//! A candidate's score is a sum of weights, set by hand, each for one observation on how shops build
//! pages; the best candidate above a threshold is the price. What stands around both the candidate and
//! the title of the product says nothing (the whole page is in there), so only what is around the
//! candidate and not the title counts against it.

use std::collections::{HashMap, HashSet};

use ego_tree::NodeId;

use super::anchor::Anchor;
use super::others::Others;
use super::{Candidate, Heading, NAMED_LEVEL, Seen, Visible};
use crate::html::{Attributes, ego::NodeRef};
use crate::offer::name::Names;
use crate::offer::region::{Traits, traits};
use crate::price::{self, Amount, Labels, is_with_tax};

/// How many of the best candidates have the words around them read.
const LABELLED: usize = 12;

/// How much text before and after an amount may say whose price it is, in bytes.
const LABEL_REACH: usize = 120;

/// How near two amounts stand that are one price without and with tax, or before and after a reduction, in bytes.
const PAIR_REACH: usize = 200;

/// How far up a link is looked for that leads from a price to another product, in elements.
const MAX_CARD_CLIMB: usize = 3;

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
            .any(|heading| heading.level == 1);
        self.headings
            .iter()
            .filter(counts)
            .filter(|heading| match heading.level {
                1 => true,
                2 | 3 | NAMED_LEVEL => !has_first_level,
                _ => false,
            })
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
            .filter(|heading| heading.level == 1)
            .map(|heading| heading.text.as_str())
    }

    /// The heading most like the page's names, as what a price or a number stands near.
    pub(in super::super) fn anchor(&self, names: &Names) -> Option<Anchor> {
        let (heading, _) = self.best_heading(names)?;
        let node = self.page.document().tree.get(heading.node)?;
        Some(Anchor::new(heading.start, heading.end, node))
    }

    /// The traits of what is around a node and not around the title, nearest first, and how many
    /// elements that are.
    pub(super) fn surroundings(
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
            if anchor.is_some_and(|anchor| anchor.is_within(around.id())) {
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

    /// Scores all candidates and gives the best, if it is good enough. Of a product that is sold out, a price beside a link to another
    /// product is that product's.
    pub(in super::super) fn price(
        &self,
        anchor: Option<&Anchor>,
        is_sold_out: bool,
    ) -> Option<Seen> {
        let mut scored = self.scored(anchor, is_sold_out);
        self.label_best(&mut scored);
        // Of equals the first: `max_by` would give the last.
        let first = scored
            .iter()
            .rev()
            .max_by(|a, b| a.score.total_cmp(&b.score))?;
        if first.score < MIN_SCORE && !(anchor.is_none() && self.is_only_price(first)) {
            return None;
        }
        let best = self.with_tax(first, &scored).unwrap_or(first);
        let rival = scored
            .iter()
            .filter(|other| other.amount != best.amount && !other.is_struck)
            .filter(|other| !is_with_tax(other.labels, other.amount, best.labels, best.amount))
            .map(|other| other.score)
            .fold(0.0, f32::max);
        let list_price = best
            .old_amount
            .filter(|old| *old > best.amount)
            .or_else(|| former_of(best, &scored));
        let currency = best.currency.or_else(|| {
            scored
                .iter()
                .filter(|other| other.score > 0.0)
                .find_map(|other| other.currency)
        });
        Some(Seen {
            amount: best.amount,
            currency,
            sign: best.sign.clone(),
            list_price,
            labels: best.labels,
            confidence: confidence(first.score, first.score - rival),
            shown: scored
                .iter()
                .map(|other| (other.amount, other.currency))
                .collect(),
        })
    }

    /// Every candidate with its score, by what stands around it and beside it.
    fn scored(&self, anchor: Option<&Anchor>, is_sold_out: bool) -> Vec<Candidate> {
        let mut memo = HashMap::new();
        let others = Others::new(self, anchor);
        let carts = self.main_carts(anchor, &others, &mut memo);
        let repeated = self.repeated(anchor);
        let mut scored = self.candidates.clone();
        for candidate in &mut scored {
            self.score(candidate, anchor, &carts, &mut memo);
            let is_other = others.has(candidate.start, candidate.node);
            let is_neighbours = is_sold_out && self.is_beside_link(candidate, anchor);
            let mut weigh = |holds: bool, weight: f32| {
                if holds {
                    candidate.score += weight;
                }
            };
            weigh(repeated.contains(&candidate.node), -3.0);
            weigh(is_other, -5.0);
            weigh(is_neighbours, -4.0);
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
        mark_former(&mut scored);
        scored
    }

    /// Reads the words around the best candidates, and takes back what they say is no price of today or not everybody's.
    fn label_best(&self, scored: &mut [Candidate]) {
        let mut order: Vec<usize> = (0..scored.len()).collect();
        let score = |place: &usize| {
            scored
                .get(*place)
                .map_or(f32::MIN, |candidate| candidate.score)
        };
        order.sort_by(|a, b| score(b).total_cmp(&score(a)));
        order.truncate(LABELLED);
        for place in order {
            let Some(candidate) = scored.get_mut(place) else {
                continue;
            };
            candidate.labels = self.labels_of(candidate);
            if candidate.labels.is_lowest_before {
                candidate.is_struck = true;
                candidate.score -= 5.0;
            }
            candidate.score -= if candidate.labels.is_for_some {
                3.0
            } else {
                0.0
            };
        }
    }

    /// What the words around a candidate say, as far as they are not around a neighbour.
    fn labels_of(&self, candidate: &Candidate) -> Labels {
        let name_end = self
            .headings
            .iter()
            .filter(|heading| heading.level <= 2 && heading.end <= candidate.start)
            .map(|heading| heading.end)
            .max();
        // Words in the block of another amount are about that one.
        let (block_start, block_end) = self.block_of(candidate);
        let others = || {
            self.candidates
                .iter()
                .map(|other| (other, self.block_of(other)))
        };
        let others_end = others()
            .filter(|(_, (_, end))| *end <= block_start)
            .map(|(_, (_, end))| end)
            .max();
        let others_start = others()
            .filter(|(_, (start, _))| *start >= block_end)
            .map(|(_, (start, _))| start)
            .min();
        let begin = candidate
            .start
            .saturating_sub(LABEL_REACH)
            .max(name_end.unwrap_or(0))
            .max(others_end.unwrap_or(0));
        let end = (candidate.end + LABEL_REACH).min(others_start.unwrap_or(usize::MAX));
        let begin = self.text.floor_char_boundary(begin);
        let end = self.text.floor_char_boundary(end);
        let amounts: Vec<(usize, usize)> = self
            .candidates
            .iter()
            .filter(|other| other.start >= begin && other.end <= end)
            .map(|other| (other.start - begin, other.end - begin))
            .collect();
        let own = amounts
            .iter()
            .position(|(start, _)| start + begin == candidate.start);
        let text = self.text.get(begin..end).unwrap_or_default();
        own.and_then(|own| price::labels(text, &amounts).get(own).copied())
            .unwrap_or_default()
    }

    /// Where the block begins and ends in which a candidate stands.
    fn block_of(&self, candidate: &Candidate) -> (usize, usize) {
        let before = self.edges.partition_point(|edge| *edge <= candidate.start);
        let start = before
            .checked_sub(1)
            .and_then(|place| self.edges.get(place));
        let after = self.edges.partition_point(|edge| *edge < candidate.end);
        let end = self.edges.get(after);
        (
            start.copied().unwrap_or(0),
            end.copied().unwrap_or(self.text.len()),
        )
    }

    /// The candidate that is the same price with tax.
    fn with_tax<'c>(&self, net: &Candidate, scored: &'c [Candidate]) -> Option<&'c Candidate> {
        scored
            .iter()
            .filter(|other| other.start.abs_diff(net.start) < PAIR_REACH)
            .filter(|other| !other.is_struck && other.amount > net.amount)
            .find(|other| is_with_tax(net.labels, net.amount, self.labels_of(other), other.amount))
    }

    /// Whether a page without any title shows but this one amount, in an element that calls itself a price.
    fn is_only_price(&self, candidate: &Candidate) -> bool {
        let (around, _) = self.surroundings(candidate.node, None, &mut HashMap::new());
        candidate.score >= 0.0
            && around.iter().any(|traits| traits.is_price)
            && self
                .candidates
                .iter()
                .all(|other| other.amount == candidate.amount)
    }

    /// Whether a link with words to another page stands beside a price, as in the card of another product.
    fn is_beside_link(&self, candidate: &Candidate, anchor: Option<&Anchor>) -> bool {
        let Some((node, anchor)) = self.page.document().tree.get(candidate.node).zip(anchor) else {
            return false;
        };
        std::iter::once(node)
            .chain(node.ancestors())
            .take(MAX_CARD_CLIMB)
            .take_while(|around| !anchor.is_within(around.id()))
            .flat_map(|around| around.descendants().take(MAX_CARD_NODES))
            .filter(|inner| {
                inner
                    .value()
                    .as_element()
                    .is_some_and(|element| traits(element).is_link)
            })
            .any(|link| crate::html::node_text(link, 20).contains(char::is_alphabetic))
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
                .take_while(|around| !anchor.is_some_and(|anchor| anchor.is_within(around.id())))
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
        others: &Others<'_>,
        memo: &mut HashMap<NodeId, Traits>,
    ) -> Vec<usize> {
        self.notes
            .iter()
            .filter(|note| note.is_button())
            .filter(|note| !others.has(note.start, note.node))
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
        candidate.has_old_name = near(2, |t| t.is_old);
        candidate.has_name_of_today = near(3, |t| t.is_now);
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
}

/// Tells former prices by the prices of today beside them, and the other way round.
fn mark_former(scored: &mut [Candidate]) {
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
    // `original current`: an element called both is the former price beside a lower one that is called today's alone.
    let today: Vec<(usize, Amount)> = scored
        .iter()
        .filter(|c| c.has_name_of_today && !c.has_old_name && !c.is_struck)
        .map(|c| (c.start, c.amount))
        .collect();
    for candidate in scored.iter_mut().filter(|c| c.has_old_name && !c.is_struck) {
        let is_former = today.iter().any(|(start, amount)| {
            start.abs_diff(candidate.start) < PAIR_REACH && *amount < candidate.amount
        });
        if is_former && !candidate.is_named_old {
            candidate.is_named_old = true;
            candidate.score -= 3.0;
        }
    }
}

/// The former price beside a price: the nearest higher one that is struck out or called so.
fn former_of(best: &Candidate, scored: &[Candidate]) -> Option<Amount> {
    scored
        .iter()
        .filter(|other| other.is_struck || other.is_named_old)
        .filter(|other| other.amount > best.amount)
        .filter(|other| other.start.abs_diff(best.start) < PAIR_REACH)
        .min_by_key(|other| other.start.abs_diff(best.start))
        .map(|other| other.amount)
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
