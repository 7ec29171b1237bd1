//! Text for people: aligned columns, ages, and outside text made harmless.

/// Rows of cells with a head, in aligned columns.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    to_the_right: Vec<bool>,
}

impl Table {
    /// With these headings; one that starts with `>` is for numbers, aligned to the right.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            to_the_right: head.iter().map(|name| name.starts_with('>')).collect(),
            rows: vec![
                head.iter()
                    .map(|name| name.trim_start_matches('>').to_owned())
                    .collect(),
            ],
        }
    }

    pub(crate) fn push(&mut self, cells: Vec<String>) {
        let cells = cells.into_iter().map(|cell| plain(&cell));
        self.rows.push(cells.collect());
    }

    /// The lines, without trailing space.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: Vec<usize> = (0..self.to_the_right.len())
            .map(|column| {
                let widths = self.rows.iter().filter_map(|row| row.get(column));
                widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        self.rows
            .iter()
            .map(|row| {
                let mut line = String::new();
                for ((cell, width), to_the_right) in row.iter().zip(&widths).zip(&self.to_the_right)
                {
                    if !line.is_empty() {
                        line.push_str("  ");
                    }
                    let space = " ".repeat(width.saturating_sub(cell.chars().count()));
                    let (before, after) = if *to_the_right {
                        (space.as_str(), "")
                    } else {
                        ("", space.as_str())
                    };
                    line.push_str(before);
                    line.push_str(cell);
                    line.push_str(after);
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

/// Text from outside on a terminal: what could steer it is shown, not sent.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Neither a control character nor one that turns the direction of writing (Unicode Bidirectional Algorithm, table 3).
fn is_harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// A span of time in its two largest units: `3m 20s`.
pub(crate) fn age(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    // A clock that was set back gives less than nothing.
    let duration = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 || !parts.is_empty() {
            parts.push((count, unit));
        }
    }
    let shown: Vec<String> = parts
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", ">rows", "note"]);
        table.push(vec!["bücher".into(), "7".into(), String::new()]);
        table.push(vec!["x".into(), "1000".into(), "a\u{1b}[2Jb".into()]);
        assert_eq!(
            table.lines(),
            [
                "name    rows  note",
                "bücher     7",
                "x       1000  a\u{fffd}[2Jb"
            ]
        );
    }

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (-3.0, "0s"),
            (0.4, "0s"),
            (59.9, "59s"),
            (60.0, "1m"),
            (200.0, "3m 20s"),
            (3_605.0, "1h"),
            (90_000.0, "1d 1h"),
            (f64::NAN, "0s"),
            (f64::INFINITY, "0s"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüßa", 4), "äöü…");
    }
}
