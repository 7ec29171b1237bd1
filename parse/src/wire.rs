//! Messages between parent and child, as bytes; see [`crate::protocol`]. This is the child's side, and the limits of both.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes that the JSON of a request has.
pub const MAX_REQUEST: u32 = 1 << 20;

/// The most bytes that the JSON of a frame has: a page of eight million characters fits into it, whatever they are.
pub const MAX_FRAME: u32 = 64 << 20;

/// The most characters that a page has: what is longer would not fit into a frame.
pub const MAX_PAGE_CHARS: u64 = 8_000_000;

/// The most bytes that follow a frame. What is attached and bigger is left out and named.
pub const MAX_BYTES: u32 = 64 << 20;

/// Writes a message, and what follows it.
///
/// # Errors
/// Those of the stream; [`io::ErrorKind::InvalidData`] for a message that is too big, of which nothing is written.
pub fn send(stream: &mut impl Write, message: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    // One write for small ones: the length stands before what is not there yet.
    let mut buffer = vec![0; 4];
    serde_json::to_writer(&mut buffer, message)?;
    let length = u32::try_from(buffer.len() - 4)
        .ok()
        .filter(|length| *length <= MAX_FRAME)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the message is too big"))?;
    if let Some(head) = buffer.first_chunk_mut() {
        *head = length.to_be_bytes();
    }
    stream.write_all(&buffer)?;
    stream.write_all(bytes)
}

/// Reads a message of at most `limit` bytes.
///
/// # Errors
/// Those of the stream; [`io::ErrorKind::InvalidData`] for what is no such message.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read, limit: u32) -> io::Result<T> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head);
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes; {limit} are taken"),
        ));
    }
    let mut json = Vec::new();
    let read = stream.take(u64::from(length)).read_to_end(&mut json)?;
    if read
        < json
            .len()
            .max(usize::try_from(length).unwrap_or(usize::MAX))
    {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Frame, Page, Request, Source};

    #[test]
    fn messages_come_out_as_they_went_in() {
        let request = Request {
            name: Some("a.pdf".to_owned()),
            ..Request::default()
        };
        let page = Frame::Page(Page {
            number: 1,
            locator: None,
            start: 0,
            text: "é\n\"".to_owned(),
            source: Source::Ocr,
        });
        let mut bytes = Vec::new();
        send(&mut bytes, &request, b"").unwrap();
        send(&mut bytes, &page, b"xyz").unwrap();
        let mut stream = bytes.as_slice();
        assert_eq!(
            receive::<Request>(&mut stream, MAX_REQUEST).unwrap(),
            request
        );
        assert_eq!(receive::<Frame>(&mut stream, MAX_FRAME).unwrap(), page);
        assert_eq!(stream, b"xyz");
    }

    #[test]
    fn what_is_too_big_or_breaks_off_is_refused() {
        let mut bytes = Vec::new();
        send(&mut bytes, &"0123456789", b"").unwrap();
        let kind = |mut stream: &[u8], limit| {
            receive::<String>(&mut stream, limit)
                .map_err(|error| error.kind())
                .unwrap_err()
        };
        assert_eq!(kind(&bytes, 11), io::ErrorKind::InvalidData);
        assert_eq!(kind(&bytes[..9], 100), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&bytes[..3], 100), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(b"\0\0\0\x01\"", 100), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(b"\0\0\0\x01x", 100), io::ErrorKind::InvalidData);
    }
}
