//! The region of a page that holds its main text.

use super::Kind;
use super::measure::{Measure, Measured};
use super::part::Part;

/// What a region must hold of the one around it, in percent, for the rest to be beside the text.
const NEARLY_ALL: usize = 80;

/// The same for pages that are no articles, whose few words beside the paragraphs count too.
const ALL_BUT_A_LITTLE: usize = 90;

/// The same for a region that says that it is the text.
const MOST: usize = 60;

/// Fewest words in paragraphs of a page that is read as an article without saying that it is one.
const ARTICLE_WORDS: usize = 150;

/// The region with the main text: what is to be left out is outside of it or marked.
pub(super) fn root(measured: &Measured<'_>, kind: Kind) -> usize {
    let whole = measured.places[0].inside;
    let is_article = match kind {
        Kind::Article => true,
        Kind::Thread => false,
        Kind::Other => whole.prose >= ARTICLE_WORDS && whole.prose * 100 >= whole.words * NEARLY_ALL,
    };
    let (weight, share): (fn(Measure) -> usize, _) = if is_article {
        (|inside| inside.prose, NEARLY_ALL)
    } else {
        (Measure::plain, ALL_BUT_A_LITTLE)
    };
    let start = said(measured, weight).unwrap_or(0);
    descend(measured, start, weight, share)
}

/// The first region that says that it is the text and holds most of what counts.
fn said(measured: &Measured<'_>, weight: fn(Measure) -> usize) -> Option<usize> {
    let whole = weight(measured.places[0].inside);
    let mut places = measured.places.iter().enumerate();
    places
        .find(|(_, place)| {
            place.part == Part::Body
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
