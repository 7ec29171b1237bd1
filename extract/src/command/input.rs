//! The document of a request: given in the line, or a file, perhaps compressed. Never more of it than the kind looks at.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

/// Compressed bytes that are read to get at a document.
const MAX_COMPRESSED_BYTES: u64 = 1024 * 1024 * 1024;

/// The start of a gzip member (RFC 1952, section 2.3).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// There is no such file, or it may not be read.
    #[error("cannot read {path}")]
    Unreadable {
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder, a pipe or a device, named in a line.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The input ends, or breaks, before its first byte came out.
    #[error("the input cannot be read")]
    Broken(#[source] io::Error),
}

/// A reader of lines, behind gzip where the first bytes show it.
pub(super) fn lines(
    input: impl Read + Send + 'static,
    buffer_bytes: usize,
) -> io::Result<Box<dyn BufRead + Send>> {
    let mut input = BufReader::with_capacity(buffer_bytes, input);
    Ok(if input.fill_buf()?.starts_with(&GZIP_MAGIC) {
        Box::new(BufReader::with_capacity(
            buffer_bytes,
            MultiGzDecoder::new(input),
        ))
    } else {
        Box::new(input)
    })
}

/// Reads at most `limit` bytes, after taking off gzip where the first bytes show it.
///
/// Damaged gzip gives what came before the damage, if anything did.
///
/// # Errors
/// When the input breaks before anything came out.
pub fn read(mut input: impl Read, limit: usize) -> Result<Vec<u8>, InputError> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut head = Vec::new();
    input
        .by_ref()
        .take(2)
        .read_to_end(&mut head)
        .map_err(InputError::Broken)?;
    let is_gzip = head == GZIP_MAGIC;
    let whole = Cursor::new(head).chain(input);
    let mut bytes = Vec::new();
    let read = if is_gzip {
        MultiGzDecoder::new(whole.take(MAX_COMPRESSED_BYTES))
            .take(limit)
            .read_to_end(&mut bytes)
    } else {
        whole.take(limit).read_to_end(&mut bytes)
    };
    match read {
        Err(error) if !is_gzip || bytes.is_empty() => Err(InputError::Broken(error)),
        Ok(_) | Err(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_taken_off_by_its_first_bytes_and_within_the_limit() {
        let plain = b"<title>x</title>".repeat(10);
        let packed = gzip(&plain);
        let twice = [packed.as_slice(), &packed].concat();
        for (input, limit, expected) in [
            (&plain[..], 1_000, &plain[..]),
            (&plain, 7, b"<title>"),
            (&packed, 1_000, &plain),
            (&twice, 1_000, &plain.repeat(2)),
            (&twice, 7, b"<title>"),
            (b"", 10, b""),
            (b"\x1f", 10, b"\x1f"),
        ] {
            assert_eq!(read(input, limit).unwrap(), expected);
        }
    }

    #[test]
    fn lines_may_be_compressed() {
        let plain = b"{\"id\": 1}\n{\"id\": 2}\n";
        for input in [plain.to_vec(), gzip(plain)] {
            let mut read = Vec::new();
            let mut lines = lines(Cursor::new(input), 16).unwrap();
            lines.read_to_end(&mut read).unwrap();
            assert_eq!(read, plain);
        }
        assert!(
            lines(Cursor::new(b""), 16)
                .unwrap()
                .fill_buf()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let bomb = gzip(&gzip(&vec![0; 200 * 1024 * 1024]));
        assert!(bomb.len() < 5_000, "{}", bomb.len());
        let bomb = gzip(&vec![b'x'; 100 * 1024 * 1024]);
        assert_eq!(read(&bomb[..], 1_000_000).unwrap().len(), 1_000_000);
    }

    #[test]
    fn damage_keeps_what_came_before() {
        let noise: Vec<u8> = (0..200_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        let packed = gzip(&noise);
        let kept = read(&packed[..packed.len() / 2], 1_000_000).unwrap();
        assert!(!kept.is_empty() && noise.starts_with(&kept));
        assert!(matches!(
            read(&b"\x1f\x8bnonsense"[..], 10),
            Err(InputError::Broken(_))
        ));
    }
}
