//! Which language a text is in.

use whatlang::Lang;

/// How many letters there must be before a guess is worth anything.
const MIN_LETTERS: usize = 24;

/// The text search configuration of PostgreSQL for what is in no language that it knows.
pub const SIMPLE: &str = "simple";

/// The language of a text as ISO 639-1 if it is beyond doubt, and the text search configuration of PostgreSQL for it.
#[must_use]
pub fn of(text: &str) -> (Option<&'static str>, &'static str) {
    let letters = text.chars().filter(|character| character.is_alphabetic());
    if letters.take(MIN_LETTERS).count() < MIN_LETTERS {
        return (None, SIMPLE);
    }
    match whatlang::detect(text) {
        Some(info) if info.is_reliable() => named(info.lang()),
        _ => (None, SIMPLE),
    }
}

/// PostgreSQL stems 28 languages; Basque and Irish among them are never guessed.
fn named(language: Lang) -> (Option<&'static str>, &'static str) {
    let (code, config) = match language {
        Lang::Ara => ("ar", "arabic"),
        Lang::Hye => ("hy", "armenian"),
        Lang::Cat => ("ca", "catalan"),
        Lang::Dan => ("da", "danish"),
        Lang::Nld => ("nl", "dutch"),
        Lang::Eng => ("en", "english"),
        Lang::Fin => ("fi", "finnish"),
        Lang::Fra => ("fr", "french"),
        Lang::Deu => ("de", "german"),
        Lang::Ell => ("el", "greek"),
        Lang::Hin => ("hi", "hindi"),
        Lang::Hun => ("hu", "hungarian"),
        Lang::Ind => ("id", "indonesian"),
        Lang::Ita => ("it", "italian"),
        Lang::Lit => ("lt", "lithuanian"),
        Lang::Nep => ("ne", "nepali"),
        Lang::Nob => ("nb", "norwegian"),
        Lang::Por => ("pt", "portuguese"),
        Lang::Ron => ("ro", "romanian"),
        Lang::Rus => ("ru", "russian"),
        Lang::Srp => ("sr", "serbian"),
        Lang::Spa => ("es", "spanish"),
        Lang::Swe => ("sv", "swedish"),
        Lang::Tam => ("ta", "tamil"),
        Lang::Tur => ("tr", "turkish"),
        Lang::Yid => ("yi", "yiddish"),
        Lang::Epo => ("eo", SIMPLE),
        Lang::Cmn => ("zh", SIMPLE),
        Lang::Ben => ("bn", SIMPLE),
        Lang::Ukr => ("uk", SIMPLE),
        Lang::Kat => ("ka", SIMPLE),
        Lang::Jpn => ("ja", SIMPLE),
        Lang::Heb => ("he", SIMPLE),
        Lang::Pol => ("pl", SIMPLE),
        Lang::Amh => ("am", SIMPLE),
        Lang::Jav => ("jv", SIMPLE),
        Lang::Kor => ("ko", SIMPLE),
        Lang::Ces => ("cs", SIMPLE),
        Lang::Bul => ("bg", SIMPLE),
        Lang::Bel => ("be", SIMPLE),
        Lang::Mar => ("mr", SIMPLE),
        Lang::Kan => ("kn", SIMPLE),
        Lang::Slv => ("sl", SIMPLE),
        Lang::Hrv => ("hr", SIMPLE),
        Lang::Mkd => ("mk", SIMPLE),
        Lang::Lav => ("lv", SIMPLE),
        Lang::Est => ("et", SIMPLE),
        Lang::Vie => ("vi", SIMPLE),
        Lang::Urd => ("ur", SIMPLE),
        Lang::Tha => ("th", SIMPLE),
        Lang::Guj => ("gu", SIMPLE),
        Lang::Uzb => ("uz", SIMPLE),
        Lang::Pan => ("pa", SIMPLE),
        Lang::Aze => ("az", SIMPLE),
        Lang::Tel => ("te", SIMPLE),
        Lang::Pes => ("fa", SIMPLE),
        Lang::Mal => ("ml", SIMPLE),
        Lang::Ori => ("or", SIMPLE),
        Lang::Mya => ("my", SIMPLE),
        Lang::Sin => ("si", SIMPLE),
        Lang::Khm => ("km", SIMPLE),
        Lang::Tuk => ("tk", SIMPLE),
        Lang::Aka => ("ak", SIMPLE),
        Lang::Zul => ("zu", SIMPLE),
        Lang::Sna => ("sn", SIMPLE),
        Lang::Afr => ("af", SIMPLE),
        Lang::Lat => ("la", SIMPLE),
        Lang::Slk => ("sk", SIMPLE),
        Lang::Tgl => ("tl", SIMPLE),
        Lang::Cym => ("cy", SIMPLE),
    };
    (Some(code), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart_where_there_is_enough() {
        for (text, expected) in [
            ("", (None, "simple")),
            ("Hello", (None, "simple")),
            ("12 345 678 901 234 567 890 123 456", (None, "simple")),
            (
                "The committee will meet again next week to discuss what has been found and which of the proposals should be kept.",
                (Some("en"), "english"),
            ),
            (
                "Der Ausschuss trifft sich in der kommenden Woche wieder, um zu besprechen, was gefunden wurde und was bleiben soll.",
                (Some("de"), "german"),
            ),
            (
                "Комитет соберётся снова на следующей неделе, чтобы обсудить, что было найдено и какие предложения следует сохранить.",
                (Some("ru"), "russian"),
            ),
            (
                "委员会将于下周再次开会，讨论已经发现的问题以及哪些建议应当予以保留，并决定下一步的工作安排。",
                (Some("zh"), "simple"),
            ),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
