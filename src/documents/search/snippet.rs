//! The part of a piece that is shown of a hit.

/// Before and behind a marked word in what the database answers. Neither occurs in the text it marks.
pub(super) const OPEN: i16 = 1;
pub(super) const CLOSE: i16 = 2;

/// Longest snippet, in code points.
const LONGEST: usize = 240;
/// What is shown before the first mark of a snippet, where there is so much.
const LEAD: usize = 40;
/// A snippet begins and ends between words, where one ends so near.
const REACH: usize = 24;

/// A snippet; all places in code points of the piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) html: String,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) marks: Vec<(i64, i64)>,
}

/// Cuts the snippet of a piece. `marked` is the same text with marks; if it is not, nothing is marked.
pub(super) fn cut(text: &str, marked: &str) -> Snippet {
    let signs: Vec<char> = text.chars().collect();
    let all = marks(marked, signs.len());
    let (start, end) = window(&signs, &all);
    let marks: Vec<(usize, usize)> = all
        .into_iter()
        .filter(|(from, to)| *from >= start && *to <= end)
        .collect();
    let mut html = String::with_capacity(2 * (end - start));
    if start > 0 {
        html.push('…');
    }
    let mut at = start;
    for (from, to) in &marks {
        escape(signs.get(at..*from), &mut html);
        html.push_str("<mark>");
        escape(signs.get(*from..*to), &mut html);
        html.push_str("</mark>");
        at = *to;
    }
    escape(signs.get(at..end), &mut html);
    if end < signs.len() {
        html.push('…');
    }
    Snippet {
        html,
        start: whole(start),
        end: whole(end),
        marks: marks
            .into_iter()
            .map(|(from, to)| (whole(from), whole(to)))
            .collect(),
    }
}

fn whole(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// Where the marked words are, in order; none if it is not the marked form of a text of that length.
fn marks(marked: &str, length: usize) -> Vec<(usize, usize)> {
    let (open, close) = (sign(OPEN), sign(CLOSE));
    let (mut marks, mut begun, mut at) = (Vec::new(), None, 0);
    for own in marked.chars() {
        if own == open {
            begun = Some(at);
        } else if own == close {
            if let Some(begun) = begun.take().filter(|begun| *begun < at) {
                marks.push((begun, at));
            }
        } else {
            at += 1;
        }
    }
    if at == length { marks } else { Vec::new() }
}

fn sign(code: i16) -> char {
    u8::try_from(code).map_or(char::REPLACEMENT_CHARACTER, char::from)
}

/// The part that holds most marks, the first of such.
fn window(signs: &[char], marks: &[(usize, usize)]) -> (usize, usize) {
    if signs.len() <= LONGEST {
        return (0, signs.len());
    }
    let (mut best, mut held) = (0, 0);
    for (at, (from, _)) in marks.iter().enumerate() {
        let start = from.saturating_sub(LEAD);
        let within = marks.iter().skip(at);
        let count = within.take_while(|(_, to)| *to <= start + LONGEST).count();
        if count > held {
            (best, held) = (start, count);
        }
    }
    let last = signs.len() - LONGEST;
    let mut start = best.min(last);
    let mut end = start + LONGEST;
    let first_mark = marks
        .iter()
        .map(|(from, _)| *from)
        .find(|from| *from >= start);
    if start > 0 {
        let reach = (start + REACH).min(first_mark.unwrap_or(usize::MAX));
        let blank = (start..reach).find(|at| is_blank(signs, *at));
        start = blank.map_or(start, |blank| blank + 1);
    }
    if end < signs.len() {
        let last_mark = marks
            .iter()
            .map(|(_, to)| *to)
            .filter(|to| *to <= end)
            .max();
        let reach = (end - REACH).max(last_mark.unwrap_or(0)).max(start);
        end = (reach..end)
            .rev()
            .find(|at| is_blank(signs, *at))
            .unwrap_or(end);
    }
    (start, end)
}

fn is_blank(signs: &[char], at: usize) -> bool {
    signs.get(at).is_some_and(|sign| sign.is_whitespace())
}

/// For the text of HTML and for the values of attributes.
fn escape(signs: Option<&[char]>, html: &mut String) {
    for sign in signs.unwrap_or_default() {
        match sign {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(*sign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_stands_in_the_text_and_all_else_is_escaped() {
        let cut_one = cut(
            "a <b>kettle</b> & \u{1f375}",
            "a  b \u{1}kettle\u{2} /b    \u{1f375}",
        );
        assert_eq!(
            cut_one.html,
            "a &lt;b&gt;<mark>kettle</mark>&lt;/b&gt; &amp; \u{1f375}"
        );
        assert_eq!(cut_one.marks, [(5, 11)]);
        assert_eq!((cut_one.start, cut_one.end), (0, 19));
    }

    #[test]
    fn what_was_changed_is_not_marked() {
        let cut_one = cut("ab kettle", "a \u{1}kettle\u{2}");
        assert_eq!(
            (cut_one.html.as_str(), cut_one.marks.len()),
            ("ab kettle", 0)
        );
    }

    #[test]
    fn of_a_long_piece_the_part_with_most_marks_is_shown() {
        let (filler, far) = ("lorem ipsum ".repeat(30), "kettle and kettle again ");
        let text = format!("kettle {filler}{far}{filler}");
        let marked = text.replace("kettle", "\u{1}kettle\u{2}");
        let cut_one = cut(&text, &marked);
        let start = 7 + filler.len();
        assert_eq!(
            cut_one.marks,
            [
                (whole(start), whole(start + 6)),
                (whole(start + 11), whole(start + 17))
            ]
        );
        assert!(cut_one.html.starts_with('…') && cut_one.html.ends_with('…'));
        assert!(cut_one.end - cut_one.start <= whole(LONGEST));
        let shown: String = text
            .chars()
            .skip(usize::try_from(cut_one.start).expect("a place"))
            .take(usize::try_from(cut_one.end - cut_one.start).expect("a length"))
            .collect();
        assert_eq!(
            cut_one.html.replace("<mark>", "").replace("</mark>", ""),
            format!("…{shown}…")
        );
        assert!(shown.starts_with("lorem") || shown.starts_with("ipsum"));
        // One word without an end is cut anywhere.
        let endless = "x".repeat(1_000);
        assert_eq!(cut(&endless, &endless).end, whole(LONGEST));
    }
}
