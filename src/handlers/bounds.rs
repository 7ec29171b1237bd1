//! What a handler may say at most, and what is wrong with one that says otherwise.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Columns;

/// The version of what is described here.
pub const VERSION: u32 = 1;

/// The longest line, in bytes, either way.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// How deep objects and lists may lie in each other.
pub const MAX_DEPTH: usize = 64;

/// The longest reason, error or step that is kept, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 << 10;

/// No table has more columns.
pub const MAX_COLUMNS: usize = 1_600;

/// At most so many items are handed over in one line.
pub const MAX_BATCH: usize = 10_000;

/// How much of a line that is no message goes into an error.
const EXCERPT_CHARS: usize = 120;

/// What a handler says that it should not.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// More than [`MAX_LINE_BYTES`].
    #[error("it wrote a line of more than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_DEPTH`].
    #[error("it wrote a message with more than {MAX_DEPTH} levels")]
    TooDeep,
    /// No message of this protocol.
    #[error("it wrote \"{excerpt}\" to descriptor 4, which is no message of this protocol")]
    NoMessage {
        excerpt: String,
        #[source]
        source: serde_json::Error,
    },
    /// A message that lacks something, or has what does not belong there.
    #[error("its message of the type {kind} {problem}")]
    Unfit { kind: &'static str, problem: String },
    /// Another version.
    #[error("it speaks version {0} of the protocol, and not version {VERSION}")]
    Version(u32),
    /// Something else before its hello, or a second one.
    #[error("it said {said} where {wanted} was due")]
    OutOfTurn {
        said: &'static str,
        wanted: &'static str,
    },
    /// An answer for what it does not have.
    #[error("it answered for the item with the id {0}, which it was never given")]
    NotGiven(u64),
    /// A second answer.
    #[error("it answered twice for the item with the id {0}")]
    Twice(u64),
}

/// The beginning of what is no message, fit to be printed.
pub(super) fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.get(..4 * EXCERPT_CHARS).unwrap_or(line));
    printable(&text).chars().take(EXCERPT_CHARS).collect()
}

/// Without what would move a terminal's cursor or break a line of the log.
pub fn printable(text: &str) -> String {
    let visible = |character: char| match character {
        '\t' => '\t',
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    text.chars().map(visible).collect()
}

/// At most [`MAX_TEXT_BYTES`] of a text.
pub(super) fn short(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
    text
}

/// A list of at most `MOST` values.
#[derive(Debug)]
pub(super) struct Bounded<T, const MOST: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Take<T, MOST> {
            type Value = Bounded<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MOST}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut taken = Vec::new();
                while let Some(value) = list.next_element()? {
                    if taken.len() == MOST {
                        return Err(A::Error::invalid_length(MOST + 1, &self));
                    }
                    taken.push(value);
                }
                Ok(Bounded(taken))
            }
        }
        deserializer.deserialize_seq(Take::<T, MOST>(PhantomData))
    }
}

/// Columns, at most [`MAX_COLUMNS`] of them: for `deserialize_with`.
pub(super) fn columns<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Columns>, D::Error> {
    struct Take;
    impl<'de> Visitor<'de> for Take {
        type Value = Columns;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an object of at most {MAX_COLUMNS} columns")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
            let mut columns = Columns::new();
            while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                if columns.len() == MAX_COLUMNS {
                    return Err(A::Error::invalid_length(MAX_COLUMNS + 1, &self));
                }
                if columns.contains_key(&name) {
                    return Err(A::Error::custom("a column is there twice"));
                }
                columns.insert(name, value);
            }
            Ok(columns)
        }
    }
    deserializer.deserialize_map(Take).map(Some)
}
