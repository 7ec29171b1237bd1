//! CSS selectors, with every element that is looked at counted.
//!
//! The matcher is that of scraper (and of Servo), which has no bound. What it does it does through the element it is given, so the
//! bound stands there: once a selector has used up its budget, an element has no neighbours any more and nothing fits it, and
//! the matcher comes to its end by itself.

use std::collections::{BTreeSet, HashMap};

use html5ever::Namespace;
use scraper::ElementRef;
use scraper::selector::{CssLocalName, CssString, NonTSPseudoClass, Parser, PseudoElement, Simple};
use selectors::attr::{AttrSelectorOperation, CaseSensitivity, NamespaceConstraint};
use selectors::bloom::BloomFilter;
use selectors::matching::{
    self, ElementSelectorFlags, MatchingContext, MatchingForInvalidation, MatchingMode,
    NeedsSelectorFlags, QuirksMode, SelectorCaches,
};
use selectors::parser::{Component, ParseRelative, SelectorList};
use selectors::{Element, OpaqueElement};

use super::limits::MAX_SELECTOR_BYTES;
use super::work::Work;
use crate::html::{Page, ego::NodeRef};

/// Bytes of a selector that cost a step at every element it is tried on.
const SELECTOR_BYTES_PER_STEP: usize = 8;

/// Bytes of an attribute that a test goes through in a step.
const VALUE_BYTES_PER_STEP: usize = 32;

/// What it costs to note the position of an element.
const POSITION_STEPS: u64 = 4;

/// The first element that a selector fits; `None` also where it is no selector, or has used up its budget.
pub(super) fn first<'a>(selector: &str, page: &'a Page, work: &Work) -> Option<ElementRef<'a>> {
    // What looks below every element is not for pages that anybody may have written: the matcher keeps notes on all it has seen.
    if selector.len() > MAX_SELECTOR_BYTES || selector.to_ascii_lowercase().contains(":has(") {
        return None;
    }
    let mut parser = cssparser::Parser::new(selector);
    let parsed: SelectorList<Simple> =
        SelectorList::parse(&Parser, &mut parser, ParseRelative::No).ok()?;
    let visit = 1 + u64::try_from(selector.len() / SELECTOR_BYTES_PER_STEP).unwrap_or(u64::MAX);
    let mut positions = BTreeSet::new();
    add_positions(parsed.slice(), &mut positions);
    let mut caches = SelectorCaches::default();
    if !note_positions(page, &positions, &mut caches, work) {
        return None;
    }
    for node in page.document().tree.nodes() {
        let Some(element) = ElementRef::wrap(node) else {
            continue;
        };
        if !work.spend(visit) {
            return None;
        }
        if element.parent().is_none() {
            continue;
        }
        let counted = Counted {
            element,
            work,
            visit,
        };
        let mut context = MatchingContext::new(
            MatchingMode::Normal,
            None,
            &mut caches,
            QuirksMode::NoQuirks,
            NeedsSelectorFlags::No,
            MatchingForInvalidation::No,
        );
        let fits = parsed
            .slice()
            .iter()
            .any(|own| matching::matches_selector(own, 0, None, &counted, &mut context));
        if work.is_used_up() {
            return None;
        }
        if fits {
            return Some(element);
        }
    }
    None
}

/// A way to count an element among its siblings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    is_of_type: bool,
    is_from_end: bool,
}

/// Adds the positions that selectors ask for, those within `:not()`, `:is()` and `:where()` too.
fn add_positions(selectors: &[selectors::parser::Selector<Simple>], all: &mut BTreeSet<Position>) {
    for component in selectors.iter().flat_map(|own| own.iter_raw_match_order()) {
        match component {
            Component::Nth(data) => {
                let is_of_type = data.ty.is_of_type();
                // `:first-child`, `:last-child` and `:only-child` are seen without counting.
                if !data.is_simple_edge() && (is_of_type || !data.ty.is_only()) {
                    let ends = [false, true].into_iter();
                    all.extend(
                        ends.filter(|end| data.ty.is_only() || *end == data.ty.is_from_end())
                            .map(|is_from_end| Position {
                                is_of_type,
                                is_from_end,
                            }),
                    );
                }
            }
            Component::Negation(list) | Component::Is(list) | Component::Where(list) => {
                add_positions(list.slice(), all);
            }
            _ => {}
        }
    }
}

/// Counts all siblings once, and notes their positions where the matcher looks for them; `false` if the budget does not reach.
///
/// Left to itself the matcher counts an element's siblings up to the nearest whose position it knows. That is one step when it
/// goes through the page in order, but a combinator leads it backwards (`b:nth-of-type(3) ~ i`), and then it counts all of them
/// for each.
fn note_positions<'a>(
    page: &'a Page,
    positions: &BTreeSet<Position>,
    caches: &mut SelectorCaches,
    work: &Work,
) -> bool {
    positions.iter().all(|position| {
        let cache = caches
            .nth_index
            .get::<Simple>(position.is_of_type, position.is_from_end, &[]);
        page.document().tree.nodes().all(|parent| {
            let mut counts = HashMap::new();
            let note = |node: NodeRef<'a>| {
                let Some(element) = ElementRef::wrap(node) else {
                    return work.spend(1);
                };
                let name = position.is_of_type.then(|| &element.value().name);
                let count: &mut i32 = counts.entry(name).or_default();
                *count = count.saturating_add(1);
                cache.insert(element.opaque(), *count);
                work.spend(POSITION_STEPS)
            };
            let mut children = parent.children();
            if position.is_from_end {
                children.rev().all(note)
            } else {
                children.all(note)
            }
        })
    })
}

/// An element that counts what is asked of it.
#[derive(Clone, Debug)]
struct Counted<'a, 'w> {
    element: ElementRef<'a>,
    work: &'w Work,
    /// What it costs to come to an element.
    visit: u64,
}

impl<'a> Counted<'a, '_> {
    /// The first element among these nodes, each of which is looked at.
    fn first_of(&self, nodes: impl Iterator<Item = NodeRef<'a>>) -> Option<Self> {
        for node in nodes {
            if !self.work.spend(1) {
                return None;
            }
            if let Some(element) = ElementRef::wrap(node) {
                return self.at(element);
            }
        }
        None
    }

    fn at(&self, element: ElementRef<'a>) -> Option<Self> {
        self.work.spend(self.visit).then_some(Self {
            element,
            work: self.work,
            visit: self.visit,
        })
    }

    /// The length of an attribute's value.
    fn length_of(&self, name: &str) -> usize {
        self.element.value().attr(name).map_or(0, str::len)
    }
}

impl Element for Counted<'_, '_> {
    type Impl = Simple;

    fn opaque(&self) -> OpaqueElement {
        self.element.opaque()
    }

    fn parent_element(&self) -> Option<Self> {
        self.at(self.element.parent_element()?)
    }

    fn parent_node_is_shadow_root(&self) -> bool {
        self.element.parent_node_is_shadow_root()
    }

    fn containing_shadow_host(&self) -> Option<Self> {
        None
    }

    fn is_pseudo_element(&self) -> bool {
        self.element.is_pseudo_element()
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        self.first_of(self.element.prev_siblings())
    }

    fn next_sibling_element(&self) -> Option<Self> {
        self.first_of(self.element.next_siblings())
    }

    fn first_element_child(&self) -> Option<Self> {
        self.first_of(self.element.children())
    }

    fn is_html_element_in_html_document(&self) -> bool {
        self.element.is_html_element_in_html_document()
    }

    fn has_local_name(&self, name: &CssLocalName) -> bool {
        self.work.spend(1) && self.element.has_local_name(name)
    }

    fn has_namespace(&self, namespace: &Namespace) -> bool {
        self.work.spend(1) && self.element.has_namespace(namespace)
    }

    fn is_same_type(&self, other: &Self) -> bool {
        self.work.spend(1) && self.element.is_same_type(&other.element)
    }

    fn attr_matches(
        &self,
        namespace: &NamespaceConstraint<&Namespace>,
        name: &CssLocalName,
        operation: &AttrSelectorOperation<&CssString>,
    ) -> bool {
        let attributes = self.element.value().attrs.len();
        self.work
            .spend_bytes(self.length_of(&name.0), VALUE_BYTES_PER_STEP)
            && self
                .work
                .spend(u64::try_from(attributes / 8).unwrap_or(u64::MAX))
            && self.element.attr_matches(namespace, name, operation)
    }

    fn match_non_ts_pseudo_class(
        &self,
        pseudo: &NonTSPseudoClass,
        context: &mut MatchingContext<'_, Self::Impl>,
    ) -> bool {
        self.element.match_non_ts_pseudo_class(pseudo, context)
    }

    fn match_pseudo_element(
        &self,
        pseudo: &PseudoElement,
        context: &mut MatchingContext<'_, Self::Impl>,
    ) -> bool {
        self.element.match_pseudo_element(pseudo, context)
    }

    fn apply_selector_flags(&self, flags: ElementSelectorFlags) {
        self.element.apply_selector_flags(flags);
    }

    fn is_link(&self) -> bool {
        self.element.is_link()
    }

    fn is_html_slot_element(&self) -> bool {
        self.element.is_html_slot_element()
    }

    fn has_id(&self, id: &CssLocalName, case: CaseSensitivity) -> bool {
        self.work.spend(1) && self.element.has_id(id, case)
    }

    fn has_class(&self, name: &CssLocalName, case: CaseSensitivity) -> bool {
        self.work
            .spend_bytes(self.length_of("class"), VALUE_BYTES_PER_STEP)
            && self.element.has_class(name, case)
    }

    fn has_custom_state(&self, name: &CssLocalName) -> bool {
        self.element.has_custom_state(name)
    }

    fn imported_part(&self, name: &CssLocalName) -> Option<CssLocalName> {
        self.element.imported_part(name)
    }

    fn is_part(&self, name: &CssLocalName) -> bool {
        self.element.is_part(name)
    }

    fn is_empty(&self) -> bool {
        for child in self.element.children() {
            if !self.work.spend(1) || child.value().is_element() || child.value().is_text() {
                return false;
            }
        }
        true
    }

    fn is_root(&self) -> bool {
        self.element.is_root()
    }

    fn add_element_unique_hashes(&self, filter: &mut BloomFilter) -> bool {
        self.element.add_element_unique_hashes(filter)
    }
}
