//! The region of a page that holds its main text.

use super::kind::Kind;
use super::measure::{Measure, Measured};
use super::part::Part;

/// What a region must hold of the one around it, in percent, for the rest to be beside the text.
const NEARLY_ALL: usize = 80;

/// The same for pages that are no articles, whose few words beside the paragraphs count too.
const ALL_BUT_A_LITTLE: usize = 90;

/// The same for a region that says that it is the text.
const MOST: usize = 60;

/// What one of several regions that say that they are the text must hold of all that do, in percent, not to be a teaser.
const A_PART: usize = 10;

/// Fewest words in paragraphs of a region that is called after the text in it.
const BODY_WORDS: usize = 50;

/// Fewest words in paragraphs of a page that is read as an article without saying that it is one.
const ARTICLE_WORDS: usize = 150;

/// The region with the main text: what is to be left out is outside of it or marked.
pub(super) fn root(measured: &Measured<'_>, kind: Kind) -> usize {
    match kind {
        Kind::Article => of_article(measured),
        Kind::Thread | Kind::Thing => of_page(measured),
        Kind::Unsaid => {
            let at = of_article(measured);
            if is_article(measured, at) {
                at
            } else {
                of_page(measured)
            }
        }
    }
}

/// The region of a page's paragraphs.
fn of_article(measured: &Measured<'_>) -> usize {
    let called = [Part::Body, Part::Article]
        .into_iter()
        .find_map(|part| called(measured, part));
    let start = match called.as_deref() {
        Some([only]) => return with_head(measured, *only),
        Some(several) => return around_all(measured, several),
        None => said(measured, |inside| inside.prose).unwrap_or(0),
    };
    descend(measured, start, |inside| inside.prose, NEARLY_ALL)
}

/// The region of all that is on the page, whatever it is.
fn of_page(measured: &Measured<'_>) -> usize {
    let start = said(measured, Measure::plain).unwrap_or(0);
    descend(measured, start, Measure::plain, ALL_BUT_A_LITTLE)
}

/// Whether a region reads like an article, and is most of what there is to read.
fn is_article(measured: &Measured<'_>, at: usize) -> bool {
    let (whole, inside) = (measured.places[0].inside, measured.places[at].inside);
    inside.prose >= ARTICLE_WORDS
        && inside.prose * 100 >= whole.prose * MOST
        && inside.prose * 100 >= inside.words * MOST
}

/// The region of an article whose paragraphs are in this one, with its head if that has paragraphs too.
pub(super) fn with_head(measured: &Measured<'_>, body: usize) -> usize {
    let start = climb(measured, body);
    descend(measured, start, |inside| inside.prose, NEARLY_ALL)
}

/// The outermost regions that say that they are this part of an article, teasers apart.
fn called(measured: &Measured<'_>, part: Part) -> Option<Vec<usize>> {
    let regions = measured.page.regions();
    let mut outermost: Vec<usize> = Vec::new();
    for (at, place) in measured.places.iter().enumerate() {
        let is_within = outermost.last().is_some_and(|last| at < regions[*last].end);
        if place.part == part && !place.is_out && place.inside.prose > 0 && !is_within {
            outermost.push(at);
        }
    }
    let prose = |at: usize| measured.places[at].inside.prose;
    let all: usize = outermost.iter().map(|at| prose(*at)).sum();
    outermost.retain(|at| prose(*at) * 100 >= all * A_PART);
    (all >= BODY_WORDS).then_some(outermost)
}

/// The smallest region around all of these, which are in document order.
fn around_all(measured: &Measured<'_>, several: &[usize]) -> usize {
    let (Some(first), Some(last)) = (several.first(), several.last()) else {
        return 0;
    };
    measured
        .page
        .regions_around(*first)
        .find(|at| *last < measured.page.regions()[*at].end)
        .unwrap_or(0)
}

/// The outermost article, or main part with a head, that holds little more than this region.
fn climb(measured: &Measured<'_>, at: usize) -> usize {
    let prose = |at: usize| measured.places[at].inside.prose;
    let around = measured.page.regions_around(at);
    around
        .take_while(|next| prose(*next) * NEARLY_ALL <= prose(at) * 100)
        .filter(|next| {
            let place = measured.places[*next];
            place.part == Part::Article || place.part == Part::Main && place.own_paragraphs > 0
        })
        .last()
        .unwrap_or(at)
}

/// The first region that says that it is the text and holds most of what counts.
fn said(measured: &Measured<'_>, weight: fn(Measure) -> usize) -> Option<usize> {
    let whole = weight(measured.places[0].inside);
    let mut places = measured.places.iter().enumerate();
    places
        .find(|(_, place)| {
            matches!(place.part, Part::Main | Part::Article | Part::Body)
                && !place.is_out
                && weight(place.inside) > 0
                && weight(place.inside) * 100 >= whole * MOST
        })
        .map(|(at, _)| at)
}

/// Goes into the region within that holds nearly all of what counts, as long as there is one with more than one paragraph, and
/// no paragraph stands beside it.
fn descend(
    measured: &Measured<'_>,
    start: usize,
    weight: fn(Measure) -> usize,
    share: usize,
) -> usize {
    let regions = measured.page.regions();
    let mut at = start;
    let mut next = start + 1;
    while next < regions[at].end && measured.places[at].own_paragraphs == 0 {
        let place = measured.places[next];
        let holds = weight(place.inside) * 100 >= weight(measured.places[at].inside) * share;
        if !place.is_out && holds && place.inside.paragraphs > 1 {
            at = next;
            next += 1;
        } else {
            // Over all that is in it.
            next = regions[next].end;
        }
    }
    at
}
