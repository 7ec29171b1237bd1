//! Names of files as clients send them: data to show, and never part of a path.

use unicode_normalization::UnicodeNormalization as _;

/// The longest, in bytes.
const LONGEST: usize = 255;
/// The longest ending that is told from the rest, in bytes.
const LONGEST_ENDING: usize = 16;
/// What a file is called that came without a name.
const NAMELESS: &str = "document";

/// A name as it is stored: the last part of a path, in NFC, without control characters and those that turn the direction of writing,
/// at most 255 bytes. Of a longer one its ending is kept.
#[must_use]
pub fn clean(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    // Of what is longer by far nothing is looked at.
    let visible: String = last
        .chars()
        .rev()
        .take(4 * LONGEST)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .filter(|sign| !is_hidden(*sign))
        .nfc()
        .collect();
    let name = visible.trim().trim_start_matches('.').trim_start();
    if name.is_empty() {
        return NAMELESS.to_owned();
    }
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    let room = LONGEST - ending.len();
    let mut short = String::with_capacity(LONGEST);
    for sign in stem.chars() {
        if short.len() + sign.len_utf8() > room {
            break;
        }
        short.push(sign);
    }
    short + ending
}

/// What a document is called from now on: the new name with the ending that the old one has.
#[must_use]
pub fn renamed(old: &str, new: &str) -> String {
    let (_, kept) = split(old);
    let new = clean(new);
    if kept.is_empty() || split(&new).1.eq_ignore_ascii_case(kept) {
        return new;
    }
    clean(&(new + kept))
}

/// A name and its ending, with the dot.
fn split(name: &str) -> (&str, &str) {
    let at = name.rfind('.').filter(|at| *at > 0);
    let (stem, ending) = name.split_at(at.unwrap_or(name.len()));
    let is_ending = (2..=LONGEST_ENDING).contains(&ending.len())
        && ending.chars().skip(1).all(char::is_alphanumeric);
    if is_ending {
        (stem, ending)
    } else {
        (name, "")
    }
}

/// Characters that do not show, or have others show elsewhere than they stand.
fn is_hidden(sign: char) -> bool {
    sign.is_control()
        || matches!(sign,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path_and_shows_as_it_is() {
        for (sent, stored) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("/etc/cron.d/x.pdf", "x.pdf"),
            ("C:\\Users\\me\\a b.docx", "a b.docx"),
            ("..", "document"),
            ("/", "document"),
            ("", "document"),
            (".htaccess", "htaccess"),
            ("a\0b\r\n\tc.txt", "abc.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("e\u{301}te\u{301}.pdf", "été.pdf"),
            ("данные.csv", "данные.csv"),
            ("  spaced .txt ", "spaced .txt"),
        ] {
            assert_eq!(clean(sent), stored, "{sent:?}");
        }
        let long = clean(&("ä".repeat(5_000) + ".pdf"));
        assert!(long.len() <= 255 && long.ends_with("ä.pdf"), "{long}");
        let no_ending = clean(&"x".repeat(10_000));
        assert_eq!(no_ending.len(), 255);
    }

    #[test]
    fn a_new_name_keeps_the_ending() {
        for (old, new, stored) in [
            ("a.pdf", "b", "b.pdf"),
            ("a.pdf", "b.pdf", "b.pdf"),
            ("a.pdf", "b.PDF", "b.PDF"),
            ("a.pdf", "b.exe", "b.exe.pdf"),
            ("a", "b.txt", "b.txt"),
            ("a.tar.gz", "../b", "b.gz"),
        ] {
            assert_eq!(renamed(old, new), stored, "{old} {new}");
        }
    }
}
