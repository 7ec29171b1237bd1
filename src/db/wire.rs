//! Has every error that the server sends tell its SQLSTATE to whoever gets it through diesel.
//!
//! What went wrong the server says in a code of five characters; the message beside it is for people, in their language, and
//! may quote anything. diesel hands on message, detail and hint, knows eight of the codes as kinds, and calls all others
//! `Unknown`, whether the server shuts down or a row breaks a rule of its own. So the code is put where diesel looks: between
//! the socket and the client library stands a reader that writes it in front of the hint of each `ErrorResponse`. Everything
//! else passes as it came. It can go once diesel hands on the code itself.
//!
//! The messages are those of protocol 3: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// In front of the code in a hint.
const MARK: &str = "SQLSTATE ";

/// Bytes of a code.
const CODE_BYTES: usize = 5;

/// Bytes before the body of a message: its type and its length, which counts itself.
const HEAD_BYTES: usize = 5;

/// The code that a [`Coded`] has written into a hint.
#[must_use]
pub(super) fn code(hint: &str) -> Option<&str> {
    hint.strip_prefix(MARK)?.get(..CODE_BYTES)
}

/// A stream from the server, each of whose errors tells its code.
#[derive(Debug)]
pub(super) struct Coded<S> {
    stream: S,
    editor: Editor,
    /// Edited, and not asked for yet; the part before `taken` has been.
    ready: Vec<u8>,
    taken: usize,
}

impl<S> Coded<S> {
    /// The messages come in the clear, or this is inside TLS.
    pub(super) fn messages(stream: S) -> Self {
        Self::from(stream, Place::Start)
    }

    /// The server is asked for TLS first: its answer is one byte, and only after a no come messages.
    pub(super) fn negotiating(stream: S) -> Self {
        Self::from(stream, Place::Answer)
    }

    /// TLS from the first byte: the messages are for another reader, inside.
    pub(super) fn opaque(stream: S) -> Self {
        Self::from(stream, Place::Opaque)
    }

    fn from(stream: S, place: Place) -> Self {
        Self {
            stream,
            editor: Editor {
                place,
                error: Vec::new(),
            },
            ready: Vec::new(),
            taken: 0,
        }
    }
}

/// Where in the stream it stands.
#[derive(Debug)]
enum Place {
    /// Before the answer to the question for TLS.
    Answer,
    /// For ever.
    Opaque,
    /// Before a message.
    Start,
    /// In the length of a message, of which so many bytes are in.
    Length { bytes: u32, have: u8 },
    /// In the body of a message, so many bytes before its end.
    Body(u32),
    /// In an error.
    Error,
}

#[derive(Debug)]
struct Editor {
    place: Place,
    /// What is in of an error.
    error: Vec<u8>,
}

impl Editor {
    /// How many of these bytes, from the front, stay as they are: all before the next error.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            match self.place {
                Place::Opaque => return bytes.len(),
                Place::Error => break,
                Place::Answer => {
                    self.place = if first == b'S' {
                        Place::Opaque
                    } else {
                        Place::Start
                    };
                    rest = after;
                }
                Place::Start if first == b'E' => self.place = Place::Error,
                Place::Start => {
                    self.place = Place::Length { bytes: 0, have: 0 };
                    rest = after;
                }
                Place::Length { bytes, have } => {
                    let bytes = bytes << 8 | u32::from(first);
                    self.place = match (have, bytes.saturating_sub(4)) {
                        (..3, _) => Place::Length {
                            bytes,
                            have: have + 1,
                        },
                        (_, 0) => Place::Start,
                        (_, body) => Place::Body(body),
                    };
                    rest = after;
                }
                Place::Body(left) => {
                    let here =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let left = left - u32::try_from(here).unwrap_or(left);
                    self.place = if left == 0 {
                        Place::Start
                    } else {
                        Place::Body(left)
                    };
                    rest = rest.get(here..).unwrap_or_default();
                }
            }
        }
        bytes.len() - rest.len()
    }

    /// Adds to `out` what these bytes come to, but for an error that is not whole yet.
    fn edit(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (same, rest) = bytes.split_at(self.pass(bytes));
            out.extend_from_slice(same);
            let missing = whole(&self.error).saturating_sub(self.error.len());
            let (more, rest) = rest.split_at(missing.min(rest.len()));
            self.error.extend_from_slice(more);
            bytes = rest;
            if self.error.len() >= HEAD_BYTES && self.error.len() == whole(&self.error) {
                match coded(&self.error) {
                    Some(coded) => out.extend_from_slice(&coded),
                    None => out.extend_from_slice(&self.error),
                }
                self.error.clear();
                self.place = Place::Start;
            }
        }
    }
}

/// How long a message is, as far as that is known.
fn whole(message: &[u8]) -> usize {
    let length = message.get(1..HEAD_BYTES).and_then(|length| {
        let length = u32::from_be_bytes(length.try_into().ok()?);
        usize::try_from(length).ok()?.checked_add(1)
    });
    length.unwrap_or(HEAD_BYTES).max(HEAD_BYTES)
}

/// An error with its code in front of its hint; nothing for one that has no code, or is no error as the protocol has it.
fn coded(message: &[u8]) -> Option<Vec<u8>> {
    let (mut code, mut hint): (Option<&[u8]>, &[u8]) = (None, &[]);
    let mut fields = Vec::with_capacity(message.len() + MARK.len() + 10);
    let mut rest = message.get(HEAD_BYTES..)?;
    loop {
        let (&kind, after) = rest.split_first()?;
        if kind == 0 {
            break;
        }
        let end = after.iter().position(|&byte| byte == 0)?;
        let (value, after) = after.split_at(end);
        match kind {
            b'H' => hint = value,
            b'C' => code = Some(value),
            _ => {}
        }
        if kind != b'H' {
            fields.push(kind);
            fields.extend_from_slice(value);
            fields.push(0);
        }
        rest = after.get(1..)?;
    }
    fields.push(b'H');
    fields.extend_from_slice(MARK.as_bytes());
    fields.extend_from_slice(code.filter(|code| code.len() == CODE_BYTES)?);
    if !hint.is_empty() {
        fields.extend_from_slice(b": ");
        fields.extend_from_slice(hint);
    }
    fields.extend_from_slice(&[0, 0]);
    let length = u32::try_from(fields.len()).ok()?.checked_add(4)?;
    let mut coded = vec![b'E'];
    coded.extend_from_slice(&length.to_be_bytes());
    coded.extend_from_slice(&fields);
    Some(coded)
}

impl<S: AsyncRead + Unpin> AsyncRead for Coded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = &mut *self;
        loop {
            if let Some(waiting) = own.ready.get(own.taken..).filter(|rest| !rest.is_empty()) {
                let (now, later) = waiting.split_at(waiting.len().min(buffer.remaining()));
                buffer.put_slice(now);
                own.taken += now.len();
                if later.is_empty() {
                    own.ready.clear();
                    own.taken = 0;
                }
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut own.stream).poll_read(context, buffer))?;
            let fresh = buffer.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                // The end, in the middle of an error perhaps: the client library says so of what it has.
                own.ready.append(&mut own.editor.error);
                if own.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                own.editor.place = Place::Opaque;
                continue;
            }
            // Rows and all else stay where they were read to.
            let same = own.editor.pass(fresh);
            if same == fresh.len() {
                return Poll::Ready(Ok(()));
            }
            let from_error = fresh.get(same..).unwrap_or_default().to_vec();
            buffer.set_filled(before + same);
            own.editor.edit(&from_error, &mut own.ready);
            if same > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Coded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn error(fields: &str) -> Vec<u8> {
        message(b'E', format!("{fields}\0").replace('|', "\0").as_bytes())
    }

    /// A server's answers: a row that looks like an error inside, an error without a hint, an empty message, an error with a
    /// hint before its code, an error without a code, a large row.
    fn conversation() -> (Vec<u8>, Vec<u8>) {
        let row = message(b'D', b"E\0\0\0\x20SERROR\0C57P01\0");
        let empty = message(b'I', b"");
        let large = message(b'D', &[b'E'; 70_000]);
        let ready = message(b'Z', b"I");
        let sent = [
            &row,
            &error("SFEHLER|VERROR|C57P01|Mbreche Verbindung ab|"),
            &empty,
            &error("HVielleicht.|SERROR|CP0001|Mconnection closed|"),
            &error("SERROR|Mno code|"),
            &large,
            &ready,
        ]
        .map(Vec::as_slice)
        .concat();
        let expected = [
            &row,
            &error("SFEHLER|VERROR|C57P01|Mbreche Verbindung ab|HSQLSTATE 57P01|"),
            &empty,
            &error("SERROR|CP0001|Mconnection closed|HSQLSTATE P0001: Vielleicht.|"),
            &error("SERROR|Mno code|"),
            &large,
            &ready,
        ]
        .map(Vec::as_slice)
        .concat();
        (sent, expected)
    }

    #[tokio::test]
    async fn errors_tell_their_codes_however_the_bytes_arrive() {
        let (sent, expected) = conversation();
        for (arrives, asked) in [
            (1, 1),
            (1, 4_096),
            (3, 7),
            (61, 64),
            (8_192, 1),
            (100_000, 100),
        ] {
            let mut stream = Coded::messages(pieces(&sent, arrives));
            let mut seen = Vec::new();
            let mut buffer = vec![0; asked];
            loop {
                let read = stream.read(&mut buffer).await.unwrap();
                if read == 0 {
                    break;
                }
                seen.extend_from_slice(&buffer[..read]);
            }
            assert!(
                seen == expected,
                "{arrives} bytes arrive, {asked} are asked for"
            );
        }
    }

    /// A stream that yields so many bytes at a time.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        piece: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let end = self
                .bytes
                .len()
                .min(self.at + self.piece.min(buffer.remaining()));
            buffer.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    fn pieces(bytes: &[u8], piece: usize) -> Pieces {
        Pieces {
            bytes: bytes.to_vec(),
            at: 0,
            piece,
        }
    }

    #[tokio::test]
    async fn inside_tls_nothing_is_touched_and_after_a_no_everything_is() {
        let (sent, expected) = conversation();
        for (answer, behind) in [("S", &sent), ("N", &expected)] {
            let bytes = [answer.as_bytes(), &sent].concat();
            let mut seen = Vec::new();
            let mut stream = Coded::negotiating(pieces(&bytes, 1_000));
            stream.read_to_end(&mut seen).await.unwrap();
            assert!(seen == [answer.as_bytes(), behind].concat(), "{answer}");
        }
        let mut seen = Vec::new();
        let mut stream = Coded::opaque(pieces(&sent, 1_000));
        stream.read_to_end(&mut seen).await.unwrap();
        assert!(seen == sent);
    }

    /// Cut off or malformed, it is for the client library to say so: nothing is lost and nothing is made up.
    #[tokio::test]
    async fn what_is_no_whole_error_passes_as_it_came() {
        let whole = error("SERROR|C40P01|Mdeadlock|");
        let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
        let malformed = [
            message(b'E', b""),
            message(b'E', b"C40P01"),
            message(b'E', b"C40P01\0"),
            message(b'E', b"C40\0\0"),
            vec![b'E', 0, 0, 0, 0],
            vec![b'E', 0, 0, 0, 3, b'Z', 0, 0, 0, 5, b'I'],
            vec![b'E', 255, 255, 255, 255, 1, 2, 3],
        ];
        for bytes in cut.chain(malformed) {
            let mut seen = Vec::new();
            let mut stream = Coded::messages(pieces(&bytes, 4));
            stream.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, bytes);
        }
    }

    #[test]
    fn a_hint_is_asked_for_its_code() {
        for (hint, expected) in [
            ("SQLSTATE 40P01", Some("40P01")),
            ("SQLSTATE P0001: SQLSTATE 57P01", Some("P0001")),
            ("SQLSTATE 4", None),
            ("Perhaps SQLSTATE 40P01", None),
            ("", None),
        ] {
            assert_eq!(code(hint), expected, "{hint}");
        }
    }
}
