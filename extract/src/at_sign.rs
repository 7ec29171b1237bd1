//! What people write, say or draw in place of the signs of an e-mail address.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::table::rows;

/// How a word is used for a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It is called so, and nothing else is.
    Name,
    /// Something else is called so too.
    Noun,
    /// A small word of a language.
    Word,
    /// It stands for the sign only in brackets.
    Bracket,
}

/// The words for one sign, in lower case, each with its form.
pub(super) type Words = HashMap<&'static str, Form>;

/// Words for `@`.
pub(super) static AT: LazyLock<Words> = LazyLock::new(|| words_for("at"));

/// Words for the full stop.
pub(super) static DOT: LazyLock<Words> = LazyLock::new(|| words_for("dot"));

fn words_for(sign: &str) -> Words {
    rows(include_str!("data/email_signs.txt"))
        .filter_map(|row| {
            let [of, form, word] = *row.as_slice() else {
                return None;
            };
            let form = match form {
                "name" => Form::Name,
                "noun" => Form::Noun,
                "word" => Form::Word,
                "bracket" => Form::Bracket,
                _ => return None,
            };
            (of == sign).then_some((word, form))
        })
        .collect()
}

/// Whether a picture with this description, file name or class shows `@`: `(at)`, `icon-at`, `at.png`, `Symbol @`.
pub(super) fn is_picture(name: &str) -> bool {
    /// Longest such name, in bytes.
    const MOST: usize = 40;
    /// What such names hold beside the sign's.
    const BESIDE: &[&str] = &[
        "bi",
        "fa",
        "fas",
        "far",
        "gif",
        "glyphicon",
        "ico",
        "icon",
        "image",
        "img",
        "jpg",
        "la",
        "las",
        "mail",
        "mdi",
        "png",
        "sign",
        "signe",
        "signo",
        "simbolo",
        "svg",
        "symbol",
        "symbole",
        "ti",
        "webp",
        "zeichen",
    ];
    if name.len() > MOST {
        return false;
    }
    let name = name.to_lowercase();
    let mut parts = name
        .split(|c: char| !c.is_alphanumeric() && c != '@')
        .filter(|part| !part.is_empty())
        .filter(|part| !BESIDE.contains(part));
    let is_sign = |part: &str| {
        let form = AT.get(part);
        part == "@" || form.is_some_and(|form| *form != Form::Bracket)
    };
    let is_named = AT
        .get(name.as_str())
        .is_some_and(|form| *form == Form::Name);
    is_named || parts.next().is_some_and(is_sign) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_the_sign_are_known_by_their_names() {
        let check = |name: &str, expected: bool| assert_eq!(is_picture(name), expected, "{name}");
        check("@", true);
        check("(at)", true);
        check("[AT]", true);
        check("fa-at", true);
        check("icon_at.png", true);
        check("Arroba", true);
        check("snabel-a", true);
        check("simbolo chiocciola", true);
        check("@-Zeichen", true);
        check("", false);
        check("icon", false);
        check("a", false);
        check("look-at-me", false);
        check("fa-phone", false);
    }

    #[test]
    fn every_word_has_a_form() {
        let table = include_str!("data/email_signs.txt");
        let count = rows(table).count();
        assert_eq!(AT.len() + DOT.len(), count);
    }
}
