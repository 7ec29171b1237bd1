//! Percent-encoding, octet by octet (RFC 3986, section 2.1).

/// The octet that `text` escapes at its beginning, and what follows: `%7Ex` is `~` and `x`.
pub(crate) fn escape_at(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else {
        return None;
    };
    Some((digit(*high)? * 16 + digit(*low)?, rest))
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Writes the escape of an octet, with digits in upper case as section 6.2.2.1 has them.
pub(crate) fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from(
            DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'),
        ));
    }
}

/// Whether an octet means the same escaped and plain (section 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
