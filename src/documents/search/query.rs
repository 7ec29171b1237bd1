//! What is asked for: words, `"phrases"`, and what a hit must not hold (`-word`, `-"phrase"`).

/// Longest query, in code points.
const LONGEST: usize = 400;
/// Phrases, and parts that a hit must not hold.
const MOST_PARTS: usize = 16;

/// A query that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// It says nothing.
    #[error("q is empty: say what to look for")]
    Empty,
    /// It is longer than any that is meant.
    #[error("q may have {LONGEST} characters")]
    TooLong,
    /// It only says what is not to be there.
    #[error("q only says what to leave out: say what to look for")]
    OnlyUnwanted,
    /// There are more phrases than are looked for.
    #[error("q may have {MOST_PARTS} phrases, and as many parts to leave out")]
    TooMany,
}

/// What to look for. A hit holds all phrases and nothing unwanted; the more of the words, and the rarer they are, the better it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    all_words: String,
    phrases: Vec<String>,
    unwanted: Vec<String>,
}

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn parse(text: &str) -> Result<Self, BadQuery> {
        if text.chars().nth(LONGEST).is_some() {
            return Err(BadQuery::TooLong);
        }
        // What stands for nothing separates.
        let text = text.replace(|sign: char| sign.is_control(), " ");
        let mut parsed = Self {
            all_words: String::new(),
            phrases: Vec::new(),
            unwanted: Vec::new(),
        };
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (is_unwanted, part) = match rest.strip_prefix('-') {
                Some(part) if !part.starts_with(char::is_whitespace) => (true, part),
                _ => (false, rest),
            };
            let (part, is_phrase, behind) = match part.strip_prefix('"') {
                Some(quoted) => {
                    let (phrase, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
                    (phrase, true, behind)
                }
                None => {
                    // A quotation mark begins a phrase wherever it stands.
                    let end = part.find(|sign: char| sign.is_whitespace() || sign == '"');
                    let (word, behind) = part.split_at(end.unwrap_or(part.len()));
                    (word, false, behind)
                }
            };
            rest = behind.trim_start();
            if !part.chars().any(char::is_alphanumeric) {
                continue;
            }
            if is_unwanted {
                parsed.unwanted.push(part.to_owned());
                continue;
            }
            parsed.all_words.push_str(part);
            parsed.all_words.push(' ');
            if is_phrase {
                parsed.phrases.push(part.to_owned());
            }
        }
        if parsed.phrases.len() > MOST_PARTS || parsed.unwanted.len() > MOST_PARTS {
            return Err(BadQuery::TooMany);
        }
        match (parsed.all_words.is_empty(), parsed.unwanted.is_empty()) {
            (false, _) => Ok(parsed),
            (true, true) => Err(BadQuery::Empty),
            (true, false) => Err(BadQuery::OnlyUnwanted),
        }
    }

    /// All that is asked for, words of phrases among it.
    pub(super) fn all_words(&self) -> &str {
        &self.all_words
    }

    pub(super) fn phrases(&self) -> &[String] {
        &self.phrases
    }

    pub(super) fn unwanted(&self) -> &[String] {
        &self.unwanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_what_is_unwanted_are_told_apart() {
        let table: [(&str, &str, &[&str], &[&str]); 9] = [
            ("copper kettle", "copper kettle ", &[], &[]),
            (
                "\"copper kettle\" steel",
                "copper kettle steel ",
                &["copper kettle"],
                &[],
            ),
            ("kettle -steel", "kettle ", &[], &["steel"]),
            (
                "kettle -\"stainless steel\" lid",
                "kettle lid ",
                &[],
                &["stainless steel"],
            ),
            (
                "kettle\"copper lid",
                "kettle copper lid ",
                &["copper lid"],
                &[],
            ),
            ("well-known a - b", "well-known a b ", &[], &[]),
            ("\"\" \" \" -\"\" kettle", "kettle ", &[], &[]),
            ("ke\0ttle", "ke ttle ", &[], &[]),
            ("Tee \u{1f375} für", "Tee für ", &[], &[]),
        ];
        for (text, words, phrases, unwanted) in table {
            let query = Query::parse(text).expect(text);
            assert_eq!(query.all_words(), words, "{text}");
            assert_eq!(query.phrases(), phrases, "{text}");
            assert_eq!(query.unwanted(), unwanted, "{text}");
        }
        let long = "é".repeat(LONGEST);
        assert!(Query::parse(&long).is_ok());
        for (text, wrong) in [
            (String::new(), BadQuery::Empty),
            (" \" ' ".to_owned(), BadQuery::Empty),
            ("-kettle".to_owned(), BadQuery::OnlyUnwanted),
            (long + "e", BadQuery::TooLong),
            ("\"a\" ".repeat(MOST_PARTS + 1), BadQuery::TooMany),
        ] {
            assert_eq!(Query::parse(&text), Err(wrong), "{text}");
        }
    }
}
