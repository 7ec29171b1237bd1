//! Files that are known by the bytes they begin with.

use super::{Head, Kind};

/// What is read, or is a picture.
const PICTURES: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\0\x0cjP  \r\n", "image/jp2"),
];

/// What is never read.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a program (ELF)"),
    (b"\xfe\xed\xfa\xce", "a program (Mach-O)"),
    (b"\xfe\xed\xfa\xcf", "a program (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a program (Java or Mach-O)"),
    (b"\0asm", "a program (WebAssembly)"),
    (b"dex\n", "a program (Android)"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"BZh", "a compressed file (bzip2)"),
    (b"\xfd7zXZ\0", "a compressed file (xz)"),
    (b"\x28\xb5\x2f\xfd", "a compressed file (zstd)"),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7z)"),
    (b"Rar!\x1a\x07", "an archive (RAR)"),
    (b"MSCF\0\0\0\0", "an archive (cabinet)"),
    (b"!<arch>\n", "an archive (ar)"),
    (b"SQLite format 3\0", "a database (SQLite)"),
    (b"\0\x01\0\0Standard Jet DB", "a database (Access)"),
    (b"\0\x01\0\0Standard ACE DB", "a database (Access)"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"AT&TFORM", "DjVu"),
    (b"ITSF\x03\0\0\0", "Windows help (CHM)"),
    (b"ID3", "sound"),
    (b"OggS", "sound or video (Ogg)"),
    (b"fLaC", "sound"),
    (b"MThd\0\0", "sound (MIDI)"),
    (b"\x1aE\xdf\xa3", "video (Matroska)"),
    (b"FLV\x01", "video (Flash)"),
    (b"\0\0\x01\xba", "video (MPEG)"),
    (b"\0\0\x01\xb3", "video (MPEG)"),
    (
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        "sound or video (Windows Media)",
    ),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"OTTO", "a font"),
    (b"\0\x01\0\0\0", "a font"),
    (b"\xed\xab\xee\xdb", "a package (RPM)"),
    (b"8BPS", "a drawing (Photoshop)"),
    (b"AC10", "a drawing (AutoCAD)"),
    (b"PAR1", "a table (Parquet)"),
    (b"-----BEGIN PGP MESSAGE", "an encrypted file (PGP)"),
    (b"-----BEGIN PRIVATE KEY", "a key"),
    (b"-----BEGIN RSA PRIVATE KEY", "a key"),
    (b"-----BEGIN OPENSSH PRIVATE KEY", "a key"),
];

/// What the first bytes say beyond doubt.
pub(super) fn of(head: &[u8]) -> Option<Head> {
    if head.starts_with(b"%PDF-") {
        return Some(Head::Accepted(Kind::Pdf));
    }
    if head.starts_with(b"PK\x03\x04")
        || head.starts_with(b"PK\x05\x06")
        || head.starts_with(super::ole::MAGIC)
    {
        return Some(Head::Container);
    }
    if head.starts_with(b"{\\rtf") {
        return Some(Head::Accepted(Kind::Rtf));
    }
    let picture = PICTURES.iter().find(|(magic, _)| head.starts_with(magic));
    if let Some((_, mime)) = picture {
        return Some(Head::Accepted(Kind::Image(mime)));
    }
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(Head::Refused(name));
    }
    // These begin with letters that a text may begin with too.
    let at = |place: usize, bytes: &[u8]| {
        head.get(place..)
            .is_some_and(|rest| rest.starts_with(bytes))
    };
    if at(0, b"MZ") && head.contains(&0) {
        return Some(Head::Refused("a program (Windows)"));
    }
    if at(0, b"BM") && at(6, &[0; 4]) {
        return Some(Head::Accepted(Kind::Image("image/bmp")));
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Some(Head::Accepted(Kind::Image("image/webp")));
    }
    if at(0, b"RIFF") && (at(8, b"AVI ") || at(8, b"WAVE")) {
        return Some(Head::Refused("sound or video (RIFF)"));
    }
    if at(4, b"ftyp") {
        let is_picture = [&b"heic"[..], b"heix", b"hevc", b"mif1", b"msf1", b"avif"];
        return Some(if is_picture.iter().any(|brand| at(8, brand)) {
            Head::Accepted(Kind::Image("image/heif"))
        } else {
            Head::Refused("sound or video (MP4)")
        });
    }
    if at(257, b"ustar") {
        return Some(Head::Refused("an archive (tar)"));
    }
    if at(60, b"BOOKMOBI") {
        return Some(Head::Refused("a book (Mobipocket)"));
    }
    let is_sound = matches!(head, [0xff, second, ..] if second & 0xe6 == 0xe2);
    if is_sound && !head.starts_with(b"\xff\xfe") {
        return Some(Head::Refused("sound (MP3)"));
    }
    None
}
