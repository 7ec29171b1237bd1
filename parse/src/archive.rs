//! ZIP archives within bounds: how many files, how much comes out of them, and how much of how little.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::failure::Failure;
use crate::protocol::{Code, Limits};

/// From here on what comes out is held against what went in.
const RATIO_FROM_BYTES: u64 = 1 << 20;
/// How many times as much may come out of a file.
const MAX_RATIO: u64 = 200;
/// The end of the directory, with the longest comment there may be.
const END_BYTES: u64 = 22 + 0xffff + 20;

/// An archive. What is unpacked of all files together is counted, and nothing but these files is read: no archive in it is opened.
#[derive(Debug)]
pub(crate) struct Archive<R> {
    zip: ZipArchive<R>,
    names: Vec<String>,
    /// Of the archive.
    bytes: u64,
    /// What may still come out.
    left: Rc<Cell<u64>>,
}

impl<R: Read + Seek> Archive<R> {
    /// # Errors
    ///
    /// It is damaged, or has too many files.
    pub(crate) fn open(mut file: R, limits: &Limits) -> Result<Self, Failure> {
        let bytes = file.seek(SeekFrom::End(0))?;
        // Before the directory is read: it is held as a whole.
        let told = entries(&mut file, bytes)?;
        within(told, limits)?;
        let zip = ZipArchive::new(file).map_err(|error| failure(&error))?;
        within(u64::try_from(zip.len()).unwrap_or(u64::MAX), limits)?;
        let names = zip
            .file_names_raw()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        Ok(Self {
            zip,
            names,
            bytes,
            left: Rc::new(Cell::new(limits.unpacked_bytes)),
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name_raw(name.as_bytes()).is_some()
    }

    /// A file in it; nothing if there is none of that name.
    ///
    /// # Errors
    ///
    /// It is packed in a way that nothing here unpacks, or encrypted, or the archive is damaged.
    pub(crate) fn entry(&mut self, name: &str) -> Result<Option<Entry<'_, R>>, Failure> {
        let Some(index) = self.zip.index_for_name_raw(name.as_bytes()) else {
            return Ok(None);
        };
        let file = self.zip.by_index(index).map_err(|error| failure(&error))?;
        Ok(Some(Entry {
            // It may say that it is longer than the archive.
            packed: file.compressed_size().min(self.bytes).max(1),
            file,
            came: 0,
            left: Rc::clone(&self.left),
        }))
    }

    /// All of a small file, or its first bytes.
    ///
    /// # Errors
    ///
    /// As [`Archive::entry`].
    pub(crate) fn small(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some(entry) = self.entry(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        entry.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Unpacks a file and keeps nothing of it, for what others will read without our bounds.
    ///
    /// # Errors
    ///
    /// As [`Archive::entry`], and it goes beyond the bounds.
    pub(crate) fn weigh(&mut self, name: &str) -> Result<(), Failure> {
        if let Some(mut entry) = self.entry(name)? {
            io::copy(&mut entry, &mut io::sink())?;
        }
        Ok(())
    }

    pub(crate) fn into_inner(self) -> R {
        self.zip.into_inner()
    }
}

/// A file in an archive, as it is unpacked.
pub(crate) struct Entry<'a, R: Read> {
    file: ZipFile<'a, R>,
    packed: u64,
    came: u64,
    left: Rc<Cell<u64>>,
}

impl<'a, R: Read> Entry<'a, R> {
    pub(crate) fn buffered(self) -> BufReader<Self> {
        BufReader::with_capacity(64 * 1024, self)
    }
}

impl<R: Read> Read for Entry<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let bytes = u64::try_from(read).unwrap_or(u64::MAX);
        self.came += bytes;
        let Some(left) = self.left.get().checked_sub(bytes) else {
            return Err(Failure::limit("it unpacks to more than is taken").into());
        };
        self.left.set(left);
        if self.came > RATIO_FROM_BYTES && self.came / MAX_RATIO > self.packed {
            return Err(Failure::limit(format_args!(
                "it unpacks to more than {MAX_RATIO} times what it is"
            ))
            .into());
        }
        Ok(read)
    }
}

fn within(entries: u64, limits: &Limits) -> Result<(), Failure> {
    let most = limits.entries;
    if entries > u64::from(most) {
        return Err(Failure::limit(format_args!(
            "it has more than {most} files in it"
        )));
    }
    Ok(())
}

fn failure(error: &ZipError) -> Failure {
    match error {
        ZipError::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(failure) => Failure::clone(failure),
            None => Failure::corrupt(error),
        },
        // What it says of a file that wants a password, and of one that is packed in an unusual way.
        ZipError::UnsupportedArchive(what) if what.to_ascii_lowercase().contains("password") => {
            Failure::new(Code::PasswordRequired, ENCRYPTED)
        }
        ZipError::UnsupportedArchive(what) => Failure::new(
            Code::UnsupportedType,
            format!("It is packed in a way that nothing here unpacks: {what}."),
        ),
        ZipError::CompressionMethodNotSupported(method) => Failure::new(
            Code::UnsupportedType,
            format!("It is packed in a way that nothing here unpacks: method {method}."),
        ),
        error => Failure::corrupt(error),
    }
}

/// What is said of documents that are encrypted in a way that nothing here decrypts.
pub(crate) const ENCRYPTED: &str = "It is encrypted, and nothing here opens encrypted documents of its type, with a password \
    or without. Save it without a password and send it again.";

/// How many files the end of the directory says there are; none where there is no end.
fn entries(file: &mut (impl Read + Seek), bytes: u64) -> io::Result<u64> {
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(bytes.saturating_sub(END_BYTES)))?;
    Read::take(&mut *file, END_BYTES).read_to_end(&mut end)?;
    let Some(at) = memchr::memmem::rfind(&end, b"PK\x05\x06") else {
        return Ok(0);
    };
    let small = end
        .get(at + 10..at + 12)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_le_bytes);
    if small != Some(u16::MAX) {
        return Ok(small.map_or(0, u64::from));
    }
    // The wider end stands where a locator right before says.
    let wide = at
        .checked_sub(20)
        .and_then(|start| end.get(start..at))
        .filter(|locator| locator.starts_with(b"PK\x06\x07"))
        .and_then(|locator| locator.get(8..16))
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_le_bytes);
    let Some(wide) = wide else {
        return Ok(u64::from(u16::MAX));
    };
    let mut count = [0; 8];
    file.seek(SeekFrom::Start(wide.saturating_add(32)))?;
    Ok(match file.read_exact(&mut count) {
        Ok(()) => u64::from_le_bytes(count),
        Err(_) => 0,
    })
}
