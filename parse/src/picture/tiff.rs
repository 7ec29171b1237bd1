//! The pictures of a TIFF, of which it may have many: what is scanned or faxed often has one for each page.
//!
//! TIFF 6.0 (Adobe, 1992), section 2: a directory describes a picture and says where the next one stands. What decodes pictures
//! decodes the first.

use std::collections::BTreeSet;
use std::ops::Range;

/// Where a file says where its first directory stands.
const FIRST: Range<usize> = 4..8;

/// Bytes of an entry in a directory.
const ENTRY: usize = 12;

/// `NewSubfileType`, whose lowest bit says that a picture is another one, only smaller.
const SUBFILE_TYPE: u32 = 254;

/// Where a directory stands, as the file writes it.
pub(super) type Place = [u8; 4];

/// Has the file begin with the picture that is described there.
pub(super) fn put_first(bytes: &mut [u8], place: Place) {
    if let Some(first) = bytes.get_mut(FIRST) {
        first.copy_from_slice(&place);
    }
}

/// Where the pictures of a file are described, in order, `most` of them at most; those that are only smaller ones of others left out.
pub(super) fn pictures(bytes: &[u8], most: u32) -> Vec<Place> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let file = Reading {
        bytes,
        is_little: bytes.starts_with(b"II"),
    };
    let mut found = Vec::new();
    // A file may lead in circles.
    let mut seen = BTreeSet::new();
    let mut at = FIRST.start;
    while let Some(place) = file.bytes_at(at) {
        let directory = file.number(place);
        if directory == 0 || seen.len() > most || !seen.insert(directory) {
            break;
        }
        let Some((is_smaller, next)) = file.directory(directory) else {
            break;
        };
        if !is_smaller && found.len() < most {
            found.push(place);
        }
        at = next;
    }
    found
}

struct Reading<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl Reading<'_> {
    fn bytes_at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn number(&self, bytes: [u8; 4]) -> usize {
        let number = if self.is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn short(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes_at(at)?;
        Some(u32::from(if self.is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }))
    }

    /// Whether a directory describes a smaller one of another picture, and where it says what follows.
    fn directory(&self, at: usize) -> Option<(bool, usize)> {
        let entries = usize::try_from(self.short(at)?).ok()?;
        let begin = at.checked_add(2)?;
        let is_smaller = (0..entries).any(|entry| self.is_smaller(begin + entry * ENTRY));
        Some((is_smaller, begin.checked_add(entries * ENTRY)?))
    }

    fn is_smaller(&self, entry: usize) -> bool {
        self.short(entry) == Some(SUBFILE_TYPE)
            && self
                .bytes_at(entry + 8)
                .is_some_and(|value| self.number(value) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    /// A file with directories of one entry each.
    fn file(subfile_types: &[u32]) -> Vec<u8> {
        let mut bytes = b"MM\0*\0\0\0\x08".to_vec();
        for (index, kind) in subfile_types.iter().enumerate() {
            bytes.extend_from_slice(&[0, 1, 0, 254, 0, 4, 0, 0, 0, 1]);
            bytes.extend_from_slice(&kind.to_be_bytes());
            let is_last = index + 1 == subfile_types.len();
            let next = if is_last { 0 } else { bytes.len() + 4 };
            bytes.extend_from_slice(&u32::try_from(next).unwrap().to_be_bytes());
        }
        bytes
    }

    #[test]
    fn all_pictures_are_found_but_smaller_ones_and_those_beyond_the_most() {
        let places = pictures(&file(&[0, 1, 2]), 10);
        assert_eq!(places, [[0, 0, 0, 8], [0, 0, 0, 44]]);
        assert_eq!(pictures(&file(&[0; 5]), 3).len(), 3);
        let mut bytes = file(&[0, 0]);
        put_first(&mut bytes, places[1]);
        assert_eq!(bytes[FIRST], places[1]);
    }

    #[test]
    fn circles_and_nonsense_end() {
        let mut circle = file(&[0, 0]);
        let end = circle.len();
        circle[end - 4..].copy_from_slice(&[0, 0, 0, 8]);
        assert_eq!(pictures(&circle, 10).len(), 2);
        for bytes in [
            &b""[..],
            b"II*\0",
            b"II*\0\xff\xff\xff\xff",
            b"MM\0*\0\0\0\0",
        ] {
            assert_eq!(pictures(bytes, 10).len(), 0);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken(mut bytes in proptest::collection::vec(any::<u8>(), 8..200)) {
            for place in pictures(&bytes.clone(), 10) {
                put_first(&mut bytes, place);
            }
        }
    }
}
