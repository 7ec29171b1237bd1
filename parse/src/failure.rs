//! Why a document cannot be read.

use std::error::Error;
use std::fmt;
use std::io;

use crate::protocol::Code;

/// The end of a reading that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// In plain words, for the one who sent the document.
    pub message: String,
    /// The pages concerned, if it is about pages.
    pub pages: Vec<u32>,
}

impl Failure {
    /// One that is about no page.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            pages: Vec::new(),
        }
    }

    /// A damaged file: what is wrong with it.
    pub fn corrupt(what: impl fmt::Display) -> Self {
        Self::new(Code::Corrupt, format!("The file is damaged: {what}."))
    }

    /// A file that costs more than files may: what goes too far.
    pub fn limit(what: impl fmt::Display) -> Self {
        Self::new(
            Code::SecurityLimit,
            format!("The file goes beyond what is safe to read: {what}."),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for Failure {}

/// So that a failure passes through what reads from us and knows I/O errors alone.
impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

/// The failure that went into it; else the file cannot be read to its end, which is damage of the file: the disk's own
/// faults do not come up in a file that was hashed as a whole before.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::corrupt(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_passes_through_io() {
        let failure = Failure::limit("too deep");
        let through = Failure::from(io::Error::from(failure.clone()));
        assert_eq!(through, failure);
        let other = Failure::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(other.code, Code::Corrupt);
    }
}
