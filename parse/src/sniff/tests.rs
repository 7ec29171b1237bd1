//! Files of all kinds, and some that pretend.

use std::io::Cursor;

use super::*;
use crate::testing::zip;

fn kind(name: &str, bytes: &[u8]) -> Kind {
    sniff(&mut Cursor::new(bytes), Some(name)).expect("a kind")
}

#[test]
fn kinds_are_told_by_what_they_hold() {
    let late_pdf = [&[0_u8; 1_000][..], b"\n%PDF-1.4"].concat();
    let too_late_pdf = [&[0_u8; 1_030][..], b"\n%PDF-1.4"].concat();
    let mail = "Received: from x\r\n by y\r\nSubject: A\r\n\r\nText";
    for (name, bytes, expected) in [
        ("a.exe", &b"%PDF-1.7\n"[..], Kind::Pdf),
        ("a", &late_pdf, Kind::Pdf),
        (
            "a.pdf",
            &too_late_pdf,
            Kind::Unsupported("of no known type"),
        ),
        ("a", b"junk\n%PDF-1.4\n", Kind::Pdf),
        ("a.txt", b"The header %PDF-1.4 begins a PDF.", Kind::Text),
        ("a.txt", b"Dear all,\n\x00well", Kind::Text),
        ("a.pdf", b"not a PDF at all", Kind::Text),
        ("a.doc", b"{\\rtf1 x}", Kind::Rtf),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", Kind::Image("image/png")),
        (
            "a.pdf",
            b"\x7fELF\x02\x01",
            Kind::Unsupported("a program (ELF)"),
        ),
        (
            "a.pdf",
            b"MZ\x90\0\x03",
            Kind::Unsupported("a program (Windows)"),
        ),
        ("a.txt", b"MZ is the mark of a program", Kind::Text),
        (
            "a",
            b"\0\0\0\x18ftypmp42",
            Kind::Unsupported("sound or video (MP4)"),
        ),
        ("a", b"\0\0\0\x18ftypheic", Kind::Image("image/heif")),
        ("a.txt", b"  <!-- c -->\n<!DOCTYPE HTML><p>", Kind::Html),
        ("a.html", b"<p>x", Kind::Html),
        ("a.md", b"<p align=center>", Kind::Markdown),
        ("a", b"<?xml version='1.0'?><html xmlns=''>", Kind::Html),
        ("a.xml", b"<?xml version='1.0'?><rss>", Kind::Text),
        ("a.MD", b"# x", Kind::Markdown),
        ("a.csv", b"a,b\n=1+1,2\n", Kind::Csv),
        ("a.json", b"[1, 2]", Kind::Json),
        ("a", b"{\"a\": ", Kind::Json),
        ("a", b"[[wiki]] link", Kind::Text),
        ("a", mail.as_bytes(), Kind::Eml),
        ("a.txt", mail.as_bytes(), Kind::Eml),
        ("a.eml", b"From: a\nTo: b\n\n", Kind::Eml),
        ("a.txt", b"From: a\nTo: b\n\n", Kind::Text),
        ("a.txt", b"Note: buy milk\nTime: now", Kind::Text),
        (
            "a",
            b"From a@b Mon\nFrom: a\nSubject: b\n\n",
            Kind::Unsupported("a box of messages (mbox)"),
        ),
        ("a", b"", Kind::Text),
        ("a", b"\xff\xfeh\0i\0", Kind::Text),
        ("a", b"h\0i\0 \0y\0o\0u\0", Kind::Text),
        ("a", b"caf\xe9 cr\xe8me", Kind::Text),
        ("a", "日本".as_bytes(), Kind::Text),
        // A character cut in two by the end of the head.
        (
            "a",
            &[&[b'x'; HEAD_BYTES - 1][..], "é and more".as_bytes()].concat(),
            Kind::Text,
        ),
        (
            "a",
            &(0..=255).cycle().take(5_000).collect::<Vec<u8>>(),
            Kind::Unsupported("of no known type"),
        ),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]);
        assert_eq!(kind(name, bytes), expected, "{name}: {shown}");
    }
}

#[test]
fn archives_are_told_by_their_files() {
    let opf = &[("META-INF/container.xml", &b"<container/>"[..])][..];
    let types = ("[Content_Types].xml", &b"<Types/>"[..]);
    let open = |mime: &'static str| vec![("mimetype", mime.as_bytes())];
    for (files, expected) in [
        (vec![types, ("word/document.xml", b"")], Kind::Docx),
        (vec![types, ("xl/workbook.xml", b"")], Kind::Xlsx),
        (
            vec![types, ("xl/workbook.bin", b"")],
            Kind::Unsupported("a binary Excel workbook (xlsb)"),
        ),
        (vec![types, ("ppt/presentation.xml", b"")], Kind::Pptx),
        (open("application/vnd.oasis.opendocument.text"), Kind::Odt),
        (
            open("application/vnd.oasis.opendocument.spreadsheet\n"),
            Kind::Ods,
        ),
        (open("application/epub+zip"), Kind::Epub),
        (opf.to_vec(), Kind::Epub),
        (
            vec![("Index/Document.iwa", b"")],
            Kind::Unsupported("an Apple iWork document"),
        ),
        (
            vec![("META-INF/MANIFEST.MF", b"")],
            Kind::Unsupported("a program (Java)"),
        ),
        (vec![("a.txt", b"")], Kind::Unsupported("an archive (ZIP)")),
    ] {
        assert_eq!(kind("a.docx", &zip(&files)), expected, "{files:?}");
    }
    // What holds a PDF is no PDF.
    let inside = zip(&[("a.pdf", b"%PDF-1.4\n%%EOF")]);
    assert_eq!(
        kind("a.pdf", &inside),
        Kind::Unsupported("an archive (ZIP)")
    );
    let mut cut = zip(&[types, ("word/document.xml", b"x")]);
    cut.truncate(cut.len() - 30);
    assert!(sniff(&mut Cursor::new(&cut), None).is_err());
}

/// A compound file whose directory has these names.
fn compound(names: &[&str]) -> Vec<u8> {
    let mut file = vec![0_u8; 512];
    file[..8].copy_from_slice(ole::MAGIC);
    file[30] = 9;
    file[48..52].copy_from_slice(&1_u32.to_le_bytes());
    for part in 0..109 {
        let sector = if part == 0 { 0_u32 } else { u32::MAX };
        file[76 + 4 * part..80 + 4 * part].copy_from_slice(&sector.to_le_bytes());
    }
    // The table: the directory is one sector, or goes round in a circle.
    let mut table = vec![0xff_u8; 512];
    let next = if names.contains(&"circle") {
        1_u32
    } else {
        0xffff_fffe
    };
    table[4..8].copy_from_slice(&next.to_le_bytes());
    file.extend(table);
    let mut directory = vec![0_u8; 512];
    for (entry, name) in directory.chunks_exact_mut(128).zip(names) {
        for (at, unit) in name.encode_utf16().enumerate() {
            entry[2 * at..2 * at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entry[64] = u8::try_from(2 * name.len() + 2).expect("a short name");
        entry[66] = 2;
    }
    file.extend(directory);
    file
}

#[test]
fn compound_files_are_told_by_their_streams() {
    for (names, expected) in [
        (&["Root Entry", "Workbook"][..], Kind::Xls),
        (
            &["Root Entry", "EncryptionInfo", "EncryptedPackage"],
            Kind::Encrypted,
        ),
        (
            &["WordDocument"],
            Kind::Unsupported("an old Word document (doc)"),
        ),
        (
            &["PowerPoint Document"],
            Kind::Unsupported("an old PowerPoint presentation (ppt)"),
        ),
        (
            &["__properties_version1.0"],
            Kind::Unsupported("an Outlook message (msg)"),
        ),
        (&["circle", "Book"], Kind::Xls),
        (&[], Kind::Unsupported("a compound file (OLE)")),
    ] {
        assert_eq!(kind("a", &compound(names)), expected, "{names:?}");
    }
    let file = compound(&["Workbook"]);
    for length in 8..512 {
        assert!(sniff(&mut Cursor::new(&file[..length]), None).is_err());
    }
}

#[test]
fn the_head_is_enough_to_refuse() {
    for (head, expected) in [
        (&b"PK\x03\x04rest"[..], Head::Container),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Head::Container),
        (b"\x7fELF", Head::Refused("a program (ELF)")),
        (b"text", Head::Accepted(Kind::Text)),
        (
            b"From a\nFrom: a\nTo: b\n",
            Head::Refused("a box of messages (mbox)"),
        ),
    ] {
        assert_eq!(sniff_head(head, Some("a.pdf")), expected);
    }
}
