//! The names in a compound file (OLE), which tell what it is.

use std::io::{self, Read, Seek, SeekFrom};

use super::Kind;

/// What such a file begins with.
pub(crate) const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// The most sectors of its directory that are read.
const MAX_SECTORS: usize = 1_000;
/// Where a chain of sectors ends; greater ones are no sectors either.
const END: u32 = 0xffff_fffa;
/// How many parts of the table of sectors the header itself names.
const HEADER_PARTS: u32 = 109;
const ENTRY_BYTES: usize = 128;

/// What a compound file is.
///
/// # Errors
///
/// If it cannot be read, or is damaged.
pub(super) fn kind(file: &mut (impl Read + Seek)) -> io::Result<Kind> {
    let names = names(file)?;
    let has = |name: &str| names.iter().any(|other| other == name);
    Ok(if has("EncryptedPackage") || has("EncryptionInfo") {
        Kind::Encrypted
    } else if has("Workbook") || has("Book") {
        Kind::Xls
    } else if has("WordDocument") {
        Kind::Unsupported("an old Word document (doc)")
    } else if has("PowerPoint Document") {
        Kind::Unsupported("an old PowerPoint presentation (ppt)")
    } else if has("__properties_version1.0") {
        Kind::Unsupported("an Outlook message (msg)")
    } else if has("VisioDocument") {
        Kind::Unsupported("a Visio drawing")
    } else if has("FileHeader") && has("DocInfo") {
        Kind::Unsupported("a Hangul document (hwp)")
    } else {
        Kind::Unsupported("a compound file (OLE)")
    })
}

/// The names of all storages and streams in it, as far as its directory can be read.
pub(crate) fn names(file: &mut (impl Read + Seek)) -> io::Result<Vec<String>> {
    let mut header = [0; 512];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut header)?;
    let shift = header.get(30).copied().unwrap_or_default();
    if !matches!(shift, 9 | 12) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its sectors have no size that there is",
        ));
    }
    let mut sectors = Sectors {
        file,
        bytes: 1 << shift,
        parts: (0..HEADER_PARTS)
            .filter_map(|part| number(&header, 76 + 4 * part))
            .collect(),
    };
    let mut names = Vec::new();
    let mut next = number(&header, 48).unwrap_or(END);
    for _ in 0..MAX_SECTORS {
        let Some(sector) = sectors.read(next)? else {
            break;
        };
        names.extend(sector.chunks_exact(ENTRY_BYTES).filter_map(entry_name));
        next = sectors.after(next)?;
    }
    Ok(names)
}

struct Sectors<'a, F> {
    file: &'a mut F,
    /// Of one sector.
    bytes: u32,
    /// The sectors that hold the table of which follows which.
    parts: Vec<u32>,
}

impl<F: Read + Seek> Sectors<'_, F> {
    /// Nothing where there is none.
    fn read(&mut self, sector: u32) -> io::Result<Option<Vec<u8>>> {
        if sector >= END {
            return Ok(None);
        }
        let at = (u64::from(sector) + 1) * u64::from(self.bytes);
        self.file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        let mut part = Read::take(&mut *self.file, u64::from(self.bytes));
        part.read_to_end(&mut bytes)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn after(&mut self, sector: u32) -> io::Result<u32> {
        let in_one = self.bytes / 4;
        let part = usize::try_from(sector / in_one).unwrap_or(usize::MAX);
        let Some(part) = self.parts.get(part).copied() else {
            return Ok(END);
        };
        let table = self.read(part)?.unwrap_or_default();
        Ok(number(&table, 4 * (sector % in_one)).unwrap_or(END))
    }
}

fn number(bytes: &[u8], at: u32) -> Option<u32> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn entry_name(entry: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(entry.get(64..66)?.try_into().ok()?));
    let is_used = entry.get(66).is_some_and(|kind| *kind != 0);
    // With a NUL at its end.
    let bytes = entry.get(..length.checked_sub(2)?.min(62))?;
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| {
            u16::from_le_bytes([
                pair.first().copied().unwrap_or_default(),
                pair.get(1).copied().unwrap_or_default(),
            ])
        })
        .collect();
    is_used.then(|| String::from_utf16_lossy(&units))
}
