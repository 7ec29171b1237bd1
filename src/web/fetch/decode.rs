//! Content codings, taken off a body as it arrives, within bounds of what that costs.
//!
//! A decoder of an HTTP library counts nothing but what comes out. Gzip members and blocks of any coding may hold nothing, and
//! cost time all the same, for as long as a server likes to send them; on one of the runtime's threads at that. So each body
//! has a bound on its members, on compressed bytes that hold nothing, and on the processor time of all of it; it is worked on in
//! small steps, between which others have their turn. And no window is larger than HTTP allows, whatever the body asks for.
//!
//! What a server says of the coding is often wrong (RFC 9110, 8.4, is for those who keep to it): it names the charset, or a coding
//! that somebody on the way has taken off. So a body that begins as text is text, whatever it is called.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::GzDecoder;
use http::header::{self, HeaderMap, HeaderValue};

use super::guard::shortened;
use super::{Cause, FetchError};
use crate::compute::timed;

/// What is offered to servers.
pub(super) const OFFERED: HeaderValue = HeaderValue::from_static("gzip, br");

/// Most gzip members of one body. Servers send one; a file that was put together from others may have some more.
const MAX_MEMBERS: u64 = 4_096;

/// So many compressed bytes may hold nothing, beyond what comes out and an eighth more.
const MAX_IDLE_BYTES: u64 = 256 * 1024;

/// Most processor time for one body: that of hundreds of megabytes.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Gzip inflated at once. Deflate grows data at most 1,032 times, so this bounds what comes of it to 129 KiB, and what the
/// decoder held back.
const GZIP_PIECE: usize = 128;

/// Brotli taken at once, and the room for what comes of it.
const BROTLI_PIECE: usize = 4 * 1024;
const BROTLI_ROOM: usize = 64 * 1024;

/// A step ends when so much has come out, or gone in.
const STEP_BYTES: usize = 16 * 1024;

/// So much of a body tells whether it is text.
const SNIFF_BYTES: usize = 64;

/// The least of a body that is told to be text where its coding has no mark of its own: fewer bytes may look like that by chance.
const LEAST_TEXT: usize = 16;

/// How each gzip member begins (RFC 1952, 2.3.1).
const GZIP_MARK: [u8; 2] = [0x1f, 0x8b];

/// Codings that change the bytes, by the registry of HTTP (RFC 9110, 16.6.1), and what their older names are. Whatever else stands
/// in the header names none: a charset, a type, `none`.
const CODINGS: [&str; 12] = [
    "aes128gcm",
    "br",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "pack200-gzip",
    "x-compress",
    "x-gzip",
    "zstd",
];

/// What a body is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    /// Something that was not offered, as it was sent.
    Other(String),
}

impl Coding {
    /// The one that the headers name, if they name any.
    ///
    /// # Errors
    /// [`FetchError::ContentCoding`] for several on top of each other, of which none were offered.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, FetchError> {
        let named = headers.get_all(header::CONTENT_ENCODING);
        let named: Vec<String> = named
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
            .filter(|name| !matches!(name.as_str(), "" | "identity"))
            .collect();
        let mut real = named.iter().filter(|name| CODINGS.contains(&name.as_str()));
        match (real.next(), real.next()) {
            (Some(_), Some(_)) => Err(unknown(&named.join(", "))),
            (Some(one), None) => Ok(Some(Self::named(one))),
            (None, _) => Ok(named.first().map(|junk| Self::named(junk))),
        }
    }

    fn named(name: &str) -> Self {
        match name {
            // The older name is the same (RFC 9110, 8.4.1.3).
            "gzip" | "x-gzip" => Self::Gzip,
            "br" => Self::Brotli,
            other => Self::Other(other.to_owned()),
        }
    }

    /// What takes the coding off a body that begins so.
    fn decoder(&self, head: &[u8]) -> Result<Decoder, FetchError> {
        Ok(match self {
            Self::Gzip if head.starts_with(&GZIP_MARK) || !is_text(head) => {
                Decoder::Gzip(Box::new(Gzip::new()))
            }
            Self::Brotli if head.len() < LEAST_TEXT || !is_text(head) => {
                Decoder::Brotli(Box::new(Brotli::new()))
            }
            Self::Other(name) if !is_text(head) => return Err(unknown(name)),
            Self::Gzip | Self::Brotli | Self::Other(_) => Decoder::Plain,
        })
    }
}

/// Whether a body that begins so is text: no controls but those of lines, and UTF-8, or the markup of any charset.
fn is_text(head: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c);
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character may be cut at the end of what was looked at.
        Err(error) => error.error_len().is_none(),
    };
    let is_markup = head.trim_ascii_start().starts_with(b"<");
    !head.iter().any(is_control) && (is_utf8 || is_markup)
}

fn unknown(coding: &str) -> FetchError {
    FetchError::ContentCoding {
        coding: shortened(coding),
    }
}

/// A body on its way out of its coding.
pub(super) struct Decoding {
    coding: Coding,
    /// `None` until enough has come to tell.
    decoder: Option<Decoder>,
    /// What has come until then.
    head: BytesMut,
    /// Compressed bytes that have come and were not taken yet.
    input: Bytes,
    consumed: u64,
    produced: u64,
    spent: Duration,
    max_time: Duration,
}

enum Decoder {
    Plain,
    Gzip(Box<Gzip>),
    Brotli(Box<Brotli>),
}

struct Gzip {
    inflater: GzDecoder<Vec<u8>>,
    members: u64,
    /// What follows the last member is not gzip, and nobody's business.
    is_over: bool,
}

struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    room: Vec<u8>,
    total: usize,
    has_more: bool,
    is_over: bool,
}

impl std::fmt::Debug for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoding")
            .field("consumed", &self.consumed)
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

impl Decoding {
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            decoder: None,
            head: BytesMut::new(),
            input: Bytes::new(),
            consumed: 0,
            produced: 0,
            spent: Duration::ZERO,
            max_time: MAX_TIME,
        }
    }

    /// Takes bytes as they were sent, once all before are taken.
    ///
    /// # Errors
    /// [`FetchError::ContentCoding`] for what is in a coding that was not offered.
    pub(super) fn feed(&mut self, input: Bytes) -> Result<(), FetchError> {
        if self.decoder.is_some() {
            self.input = input;
            return Ok(());
        }
        self.head.extend_from_slice(&input);
        if self.head.len() < SNIFF_BYTES {
            return Ok(());
        }
        self.decide()
    }

    /// Nothing more comes. There may be something to do all the same, where little has come.
    ///
    /// # Errors
    /// As [`Decoding::feed`].
    pub(super) fn end(&mut self) -> Result<(), FetchError> {
        if self.decoder.is_some() || self.head.is_empty() {
            return Ok(());
        }
        self.decide()
    }

    fn decide(&mut self) -> Result<(), FetchError> {
        let head = self.head.get(..SNIFF_BYTES).unwrap_or(&self.head);
        self.decoder = Some(self.coding.decoder(head)?);
        self.input = self.head.split().freeze();
        Ok(())
    }

    /// Whether there is something to do without more input.
    pub(super) fn has_work(&self) -> bool {
        let has_more = match &self.decoder {
            Some(Decoder::Brotli(brotli)) => brotli.has_more,
            Some(Decoder::Plain | Decoder::Gzip(_)) | None => false,
        };
        has_more || !self.input.is_empty()
    }

    /// Whether whatever still comes is not looked at.
    pub(super) fn is_over(&self) -> bool {
        match &self.decoder {
            Some(Decoder::Gzip(gzip)) => gzip.is_over,
            Some(Decoder::Brotli(brotli)) => brotli.is_over,
            Some(Decoder::Plain) | None => false,
        }
    }

    /// Does a step's work: what has come out of it, which may be nothing.
    ///
    /// # Errors
    /// [`FetchError::Body`] for what is no such coding, [`FetchError::Decompression`] for what costs too much.
    pub(super) fn step(&mut self) -> Result<Bytes, FetchError> {
        let before = self.input.len();
        let Self { decoder, input, .. } = self;
        let (output, took) = timed(|| match decoder {
            Some(Decoder::Gzip(gzip)) => gzip.step(input).map(Bytes::from),
            Some(Decoder::Brotli(brotli)) => brotli.step(input).map(Bytes::from),
            Some(Decoder::Plain) | None => Ok(std::mem::take(input)),
        });
        let output = output?;
        self.spent += took;
        self.consumed += count(before - self.input.len());
        self.produced += count(output.len());
        if self.spent > self.max_time {
            return Err(given_up(format!(
                "more than {:?} of processor time",
                self.max_time
            )));
        }
        let accounted = self.produced.saturating_add(self.produced / 8);
        if self.consumed.saturating_sub(accounted) > MAX_IDLE_BYTES {
            return Err(given_up(format!(
                "more than {MAX_IDLE_BYTES} compressed bytes that hold nothing"
            )));
        }
        Ok(output)
    }

    /// The end of the body, after all work: what was held back, and whether the end of the coding is missing.
    ///
    /// # Errors
    /// [`FetchError::Body`] for what is no such coding.
    pub(super) fn finish(&mut self) -> Result<(Bytes, bool), FetchError> {
        match &mut self.decoder {
            Some(Decoder::Gzip(gzip)) if !gzip.is_over => gzip.finish(),
            Some(Decoder::Brotli(brotli)) => Ok((Bytes::new(), !brotli.is_over)),
            // A body of no bytes is one of none.
            Some(Decoder::Gzip(_) | Decoder::Plain) | None => Ok((Bytes::new(), false)),
        }
    }
}

/// That the end of a body is missing.
pub(super) fn cut() -> FetchError {
    broken(std::io::ErrorKind::UnexpectedEof.into())
}

impl Gzip {
    fn new() -> Self {
        Self {
            inflater: GzDecoder::new(Vec::new()),
            members: 1,
            is_over: false,
        }
    }

    fn finish(&mut self) -> Result<(Bytes, bool), FetchError> {
        self.inflater.flush().map_err(broken)?;
        let rest = std::mem::take(self.inflater.get_mut()).into();
        // A member that has ended takes nothing more.
        let has_ended = matches!(self.inflater.write(&[0]), Ok(0));
        if has_ended {
            self.inflater.try_finish().map_err(broken)?;
        }
        Ok((rest, !has_ended))
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Vec<u8>, FetchError> {
        let mut taken_in = 0;
        while !input.is_empty() && taken_in < STEP_BYTES && !self.is_over {
            let piece = input.get(..GZIP_PIECE.min(input.len())).unwrap_or_default();
            let taken = self.inflater.write(piece).map_err(broken)?;
            if taken == 0 {
                // The member has ended.
                self.inflater.try_finish().map_err(broken)?;
                if !input.starts_with(&GZIP_MARK[..1]) {
                    self.is_over = true;
                    input.clear();
                    break;
                }
                self.members += 1;
                if self.members > MAX_MEMBERS {
                    return Err(given_up(format!("more than {MAX_MEMBERS} gzip members")));
                }
                let output = std::mem::take(self.inflater.get_mut());
                self.inflater = GzDecoder::new(output);
            }
            taken_in += taken;
            input.advance(taken);
            if self.inflater.get_ref().len() >= STEP_BYTES {
                break;
            }
        }
        Ok(std::mem::take(self.inflater.get_mut()))
    }
}

impl Brotli {
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        let mut state = BrotliState::new(alloc(), alloc(), alloc());
        // Windows beyond 16 MiB are no part of RFC 7932: a gigabyte of memory for a body of some bytes.
        state.large_window = false;
        Self {
            state,
            room: vec![0; BROTLI_ROOM],
            total: 0,
            has_more: false,
            is_over: false,
        }
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Vec<u8>, FetchError> {
        let (mut output, mut taken_in) = (Vec::new(), 0);
        while (self.has_more || !input.is_empty())
            && !self.is_over
            && taken_in < STEP_BYTES
            && output.len() < STEP_BYTES
        {
            let piece = input
                .get(..BROTLI_PIECE.min(input.len()))
                .unwrap_or_default();
            let (mut left, mut taken) = (piece.len(), 0);
            let (mut free, mut written) = (self.room.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                piece,
                &mut free,
                &mut written,
                &mut self.room,
                &mut self.total,
                &mut self.state,
            );
            output.extend_from_slice(self.room.get(..written).unwrap_or_default());
            input.advance(taken);
            taken_in += taken;
            self.has_more = matches!(result, BrotliResult::NeedsMoreOutput);
            match result {
                BrotliResult::ResultSuccess => {
                    self.is_over = true;
                    input.clear();
                }
                BrotliResult::ResultFailure => {
                    return Err(broken(std::io::Error::new(
                        std::io::ErrorKind::InvalidData,
                        "not brotli",
                    )));
                }
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
        }
        Ok(output)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn broken(error: std::io::Error) -> FetchError {
    let cause: Cause = Arc::new(error);
    FetchError::Body(cause)
}

fn given_up(limit: String) -> FetchError {
    FetchError::Decompression { limit }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(content: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        let params = brotli::enc::BrotliEncoderParams {
            quality: 5,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &content[..], &mut compressed, &params).unwrap();
        compressed
    }

    /// What comes out, fed in chunks of this size; or what is wrong.
    fn decoded(mut decoding: Decoding, body: &[u8], chunk: usize) -> Result<Vec<u8>, String> {
        let told = |error: FetchError| error.to_string();
        let mut out = Vec::new();
        for chunk in body.chunks(chunk) {
            decoding.feed(Bytes::copy_from_slice(chunk)).map_err(told)?;
            while decoding.has_work() && !decoding.is_over() {
                let piece = decoding.step().map_err(told)?;
                assert!(piece.len() <= 256 * 1024, "{}", piece.len());
                out.extend_from_slice(&piece);
            }
        }
        decoding.end().map_err(told)?;
        while decoding.has_work() && !decoding.is_over() {
            out.extend_from_slice(&decoding.step().map_err(told)?);
        }
        let (rest, is_cut) = decoding.finish().map_err(told)?;
        out.extend_from_slice(&rest);
        if is_cut {
            return Err(format!("cut after {}", out.len()));
        }
        Ok(out)
    }

    #[test]
    fn what_was_coded_comes_out_however_it_arrives() {
        let noise: Vec<u8> = (0..300_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        for content in [
            b"".to_vec(),
            b"kettle".to_vec(),
            vec![b'x'; 3_000_000],
            noise,
        ] {
            for chunk in [1, 1_000, usize::MAX] {
                if chunk == 1 && content.len() > 100_000 {
                    continue;
                }
                let chunk = chunk.min(10_000_000);
                let gz = decoded(Decoding::new(Coding::Gzip), &gzip(&content), chunk);
                assert!(gz.as_ref() == Ok(&content), "gzip, {} bytes", content.len());
                let br = decoded(Decoding::new(Coding::Brotli), &brotli(&content), chunk);
                assert!(br.as_ref() == Ok(&content), "br, {} bytes", content.len());
            }
        }
        // Members in a row are one body; what follows them is nobody's.
        let two = [gzip(b"one "), gzip(b"two"), b"\0\0\0".to_vec()].concat();
        let both = decoded(Decoding::new(Coding::Gzip), &two, 7);
        assert_eq!(both.unwrap(), b"one two");
        for coding in [Coding::Gzip, Coding::Brotli] {
            assert_eq!(
                decoded(Decoding::new(coding.clone()), b"", 1),
                Ok(Vec::new())
            );
            decoded(Decoding::new(coding), b"\xff neither", 3).unwrap_err();
        }
    }

    #[test]
    fn what_comes_before_a_missing_end_is_kept() {
        // Nothing that a coding could make shorter.
        let step = |state: &mut u32, _: u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(state.to_be_bytes()[0])
        };
        let noise: Vec<u8> = (0..40_000).scan(1, step).collect();
        for (coding, whole) in [
            (Coding::Gzip, gzip(&noise)),
            (Coding::Brotli, brotli(&noise)),
        ] {
            for missing in [1, 4, 8, 9, 5_000] {
                let body = &whole[..whole.len() - missing];
                let told = decoded(Decoding::new(coding.clone()), body, 700).unwrap_err();
                let kept: usize = told.strip_prefix("cut after ").unwrap().parse().unwrap();
                // All of it, but for what may stand in the bytes that are missing, and in the last block of brotli.
                assert!(
                    kept + missing + 16_384 >= noise.len(),
                    "{coding:?} {missing}: {kept}"
                );
                if coding == Coding::Gzip && missing <= 8 {
                    assert_eq!(kept, noise.len(), "{missing}");
                }
            }
        }
        // Not even a head.
        assert_eq!(
            decoded(Decoding::new(Coding::Gzip), &gzip(b"x")[..5], 9).unwrap_err(),
            "cut after 0"
        );
        // An end that is wrong is none that is missing.
        let mut wrong = gzip(b"brass kettle");
        let sum = wrong.len() - 6;
        wrong[sum] ^= 1;
        assert!(
            !decoded(Decoding::new(Coding::Gzip), &wrong, 9)
                .unwrap_err()
                .starts_with("cut")
        );
    }

    #[test]
    fn what_begins_as_text_is_text_whatever_it_is_called() {
        let page = "<!DOCTYPE html><title>Käse</title><p>Brass kettles since 1899, and tea.";
        let (legacy, ..) = encoding_rs::WINDOWS_1251.encode("<p>Чайники и самовары с 1899 года");
        let zstd = b"(\xb5/\xfd$\x0cwhatever";
        let junk = Coding::Other("utf-8".to_owned());
        for (coding, body, is_kept) in [
            (Coding::Gzip, page.as_bytes(), true),
            (Coding::Brotli, page.as_bytes(), true),
            (junk.clone(), page.as_bytes(), true),
            (Coding::Other("zstd".to_owned()), page.as_bytes(), true),
            (junk.clone(), &legacy, true),
            (Coding::Gzip, &legacy, true),
            (Coding::Gzip, b"short", true),
            (junk.clone(), b"ok", true),
            (junk.clone(), b"", true),
            (junk.clone(), zstd, false),
            (
                Coding::Other("compress".to_owned()),
                b"\x1f\x9d\x90whatever",
                false,
            ),
            (
                Coding::Other("deflate".to_owned()),
                b"\x78\x9c\x4b\x4c\x04\x00",
                false,
            ),
            (junk, &gzip(page.as_bytes()), false),
            (Coding::Gzip, b"\x00\x01 neither", false),
        ] {
            for chunk in [1, 1_000] {
                let found = decoded(Decoding::new(coding.clone()), body, chunk);
                assert_eq!(
                    found.is_ok_and(|kept| kept == body),
                    is_kept,
                    "{coding:?} {body:?}"
                );
            }
        }
    }

    #[test]
    fn a_coding_is_named_in_many_ways() {
        use Coding::{Brotli, Gzip};
        for (lines, expected) in [
            (&[][..], Some(None)),
            (&["gzip"], Some(Some(Gzip))),
            (&["GZIP"], Some(Some(Gzip))),
            (&["x-gzip"], Some(Some(Gzip))),
            (&[" X-GZip ,"], Some(Some(Gzip))),
            (&["Br"], Some(Some(Brotli))),
            (&["identity"], Some(None)),
            (&["Identity, gzip"], Some(Some(Gzip))),
            (&["identity", "gzip"], Some(Some(Gzip))),
            (&["utf-8", "gzip"], Some(Some(Gzip))),
            (&[""], Some(None)),
            (&["none"], Some(Some(Coding::Other("none".to_owned())))),
            (&["UTF-8"], Some(Some(Coding::Other("utf-8".to_owned())))),
            (&["zstd"], Some(Some(Coding::Other("zstd".to_owned())))),
            (&["gzip, br"], None),
            (&["gzip", "gzip"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
            }
            assert_eq!(Coding::of(&headers).ok(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_costs_more_than_it_holds_is_given_up() {
        let members = gzip(b"").repeat(10_000);
        let told = decoded(Decoding::new(Coding::Gzip), &members, 16_384).unwrap_err();
        assert_eq!(
            told,
            "decompression was given up: more than 4096 gzip members"
        );
        // Stored blocks of no bytes, none of which is the last.
        let head = &gzip(b"")[..10];
        let blocks = [head, &[0, 0, 0, 0xff, 0xff].repeat(200_000)[..]].concat();
        let told = decoded(Decoding::new(Coding::Gzip), &blocks, 16_384).unwrap_err();
        let idle =
            "decompression was given up: more than 262144 compressed bytes that hold nothing";
        assert_eq!(told, idle);
        // Empty blocks of metadata, which brotli may have any number of: a window of 64 KiB (one bit), then "not the last, no
        // size, metadata of no bytes" (six bits, to the end of the byte).
        let mut blocks = vec![0b0000_1100];
        blocks.extend([0b0000_0110].repeat(500_000));
        let told = decoded(Decoding::new(Coding::Brotli), &blocks, 16_384).unwrap_err();
        assert_eq!(told, idle);
        let quick = Decoding {
            max_time: Duration::ZERO,
            ..Decoding::new(Coding::Gzip)
        };
        let told = decoded(quick, &gzip(&vec![b'x'; 1 << 20]), 16_384).unwrap_err();
        assert_eq!(
            told,
            "decompression was given up: more than 0ns of processor time"
        );
    }

    /// A window of a gigabyte, which the large-window form of the coding can ask for.
    #[test]
    fn no_window_is_larger_than_the_coding_has() {
        let large = [0x11, 30, 0x03];
        assert!(decoded(Decoding::new(Coding::Brotli), &large, 3).is_err());
    }
}
