//! UTF-32, which XML allows (XML 1.0, appendix F) and the web's table of encodings does not have.

/// Turns UTF-32 into text, piece by piece.
pub(super) struct Utf32 {
    is_big_endian: bool,
    /// The bytes of a character that has begun.
    begun: Vec<u8>,
}

impl Utf32 {
    /// Recognises it by its byte order mark, or by a `<` with its zeros.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let is_big_endian = match head {
            [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, b'<', ..] => true,
            [0xff, 0xfe, 0, 0, ..] | [b'<', 0, 0, 0, ..] => false,
            _ => return None,
        };
        Some(Self {
            is_big_endian,
            begun: Vec::new(),
        })
    }

    /// The characters that `bytes` complete, without byte order marks. What is none becomes U+FFFD; one that is cut by the end of
    /// the file is dropped.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() / 4);
        let missing = (4 - self.begun.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(missing);
        self.begun.extend_from_slice(first);
        if self.begun.len() < 4 {
            return text;
        }
        let whole = rest.chunks_exact(4);
        let begun = std::mem::replace(&mut self.begun, whole.remainder().to_vec());
        for unit in begun.chunks_exact(4).chain(whole) {
            let unit: [u8; 4] = unit.try_into().unwrap_or_default();
            let code = if self.is_big_endian {
                u32::from_be_bytes(unit)
            } else {
                u32::from_le_bytes(unit)
            };
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            if character != '\u{feff}' {
                text.push(character);
            }
        }
        text
    }
}
