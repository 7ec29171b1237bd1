//! Makes PDFs: plain ones, odd ones and hostile ones.

mod drawn;
mod encrypted;

use std::fs::File;
use std::io::{Seek as _, Write as _};

use flate2::{Compress, Compression, FlushCompress};

pub(crate) use self::drawn::{drawn_page, pages_of_tiff, picture_file};
pub(crate) use self::encrypted::{Cipher, encrypted};

/// A PDF in the making: objects by their number from 1. The first is the catalogue.
#[derive(Debug, Default)]
pub(crate) struct Pdf {
    objects: Vec<Vec<u8>>,
}

impl Pdf {
    /// Adds an object: its number.
    pub(crate) fn add(&mut self, object: impl Into<Vec<u8>>) -> usize {
        self.objects.push(object.into());
        self.objects.len()
    }

    /// Adds a stream: its number.
    pub(crate) fn stream(&mut self, dictionary: &str, content: &[u8]) -> usize {
        let mut object =
            format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
        object.extend_from_slice(content);
        object.extend_from_slice(b"\nendstream");
        self.add(object)
    }

    /// The file, with a table of its objects that is right, and these entries in the trailer.
    pub(crate) fn finish_with(&self, trailer: &str) -> Vec<u8> {
        let mut file = b"%PDF-1.7\n".to_vec();
        let mut places = Vec::new();
        for (index, object) in self.objects.iter().enumerate() {
            places.push(file.len());
            file.extend_from_slice(format!("{} 0 obj\n", index + 1).as_bytes());
            file.extend_from_slice(object);
            file.extend_from_slice(b"\nendobj\n");
        }
        let table = file.len();
        let count = places.len() + 1;
        file.extend_from_slice(format!("xref\n0 {count}\n0000000000 65535 f \n").as_bytes());
        for place in places {
            file.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
        }
        let trailer = trailer.replace("TABLE", &table.to_string());
        file.extend_from_slice(
            format!(
                "trailer\n<< /Size {count} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n"
            )
            .as_bytes(),
        );
        file
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        self.finish_with("")
    }
}

/// What a page of a PDF is made of.
pub(crate) enum Sheet {
    /// Lines of text.
    Text(&'static str),
    /// A picture and no text.
    Picture,
    /// Seven kilobytes that unpack to a gigabyte of text.
    Bomb,
}

/// A PDF with these pages.
pub(crate) fn pdf(sheets: &[Sheet]) -> Vec<u8> {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    // Two objects a page, from 5 on.
    let kids: Vec<String> = (0..sheets.len())
        .map(|index| format!("{} 0 R", 6 + 2 * index))
        .collect();
    pdf.add(format!(
        "<< /Type /Pages /Kids [{}] /Count {} >>",
        kids.join(" "),
        kids.len()
    ));
    pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.stream(
        "/Type /XObject /Subtype /Image /Width 2 /Height 2 /ColorSpace /DeviceGray /BitsPerComponent 8",
        &[0, 255, 255, 0],
    );
    for sheet in sheets {
        let content = match sheet {
            Sheet::Text(lines) => pdf.stream("", &shown(lines)),
            Sheet::Picture => pdf.stream("", b"q 100 0 0 100 100 500 cm /X Do Q"),
            Sheet::Bomb => pdf.stream("/Filter [/FlateDecode /FlateDecode]", &bomb()),
        };
        pdf.add(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {content} 0 R \
             /Resources << /Font << /F 3 0 R >> /XObject << /X 4 0 R >> >> >>"
        ));
    }
    pdf.finish()
}

/// The content of a page that shows these lines.
fn shown(lines: &str) -> Vec<u8> {
    let mut content = b"BT /F 12 Tf 14 TL 72 720 Td\n".to_vec();
    for line in lines.lines() {
        let escaped = line
            .replace('\\', "\\\\")
            .replace('(', "\\(")
            .replace(')', "\\)");
        content.extend_from_slice(format!("({escaped}) Tj T*\n").as_bytes());
    }
    content.extend_from_slice(b"ET");
    content
}

/// A gigabyte of text operators, deflated twice. A block that ends in a full flush stands by itself: it is made once, and repeated.
fn bomb() -> Vec<u8> {
    const BLOCK: usize = 1 << 20;
    let text = b"BT /F 1 Tf (aaaaaaaa) Tj ET\n".repeat(BLOCK / 28);
    let mut packed = Vec::with_capacity(BLOCK);
    let mut compress = Compress::new(Compression::best(), false);
    compress
        .compress_vec(&text, &mut packed, FlushCompress::Full)
        .expect("memory");
    let mut inner = vec![0x78, 0x9c];
    for _ in 0..1_024 {
        inner.extend_from_slice(&packed);
    }
    let mut outer = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    outer.write_all(&inner).expect("memory");
    outer.finish().expect("memory")
}

/// A page with a text field, a choice and a note, none of them meant for print.
pub(crate) fn form() -> Vec<u8> {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R 7 0 R] /DA (/F 12 Tf 0 g) /DR << /Font << /F 3 0 R >> >> >> >>");
    pdf.add("<< /Type /Pages /Kids [5 0 R] /Count 1 >>");
    pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.stream("", &shown("Printed words"));
    pdf.add(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F 3 0 R >> >> /Annots [6 0 R 7 0 R 8 0 R] >>",
    );
    let field = |kind: &str, value: &str, place: u32, appearance: u32| {
        format!(
            "<< /Type /Annot /Subtype /Widget {kind} /T (name{place}) /V ({value}) /F 0 /Rect [72 {place} 300 {}] \
             /DA (/F 12 Tf 0 g) /P 5 0 R /AP << /N {appearance} 0 R >> >>",
            place + 20
        )
    };
    pdf.add(field("/FT /Tx", "Typed", 600, 9));
    pdf.add(field(
        "/FT /Ch /Ff 131072 /Opt [(Chosen) (Other)]",
        "Chosen",
        560,
        10,
    ));
    pdf.add(
        "<< /Type /Annot /Subtype /FreeText /Contents (Noted) /F 0 /Rect [72 500 300 520] \
         /DA (/F 12 Tf 0 g) /P 5 0 R /AP << /N 11 0 R >> >>",
    );
    for word in ["Typed", "Chosen", "Noted"] {
        let content = format!("/Tx BMC q BT /F 12 Tf 2 5 Td ({word}) Tj ET Q EMC");
        pdf.stream(
            "/Type /XObject /Subtype /Form /BBox [0 0 228 20] /Resources << /Font << /F 3 0 R >> >>",
            content.as_bytes(),
        );
    }
    pdf.finish()
}

/// Two pages in a file whose table of objects points beside all of them.
pub(crate) fn broken_table() -> Vec<u8> {
    let whole = pdf(&[
        Sheet::Text("Kettles of brass"),
        Sheet::Text("Pots of copper"),
    ]);
    let (head, rest) = whole.split_at(whole.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    [head, b"\n% Nobody has counted these letters.", rest].concat()
}

/// A page that is whole, and one whose packed content breaks off in the middle.
pub(crate) fn broken_stream() -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    packed
        .write_all(&shown(&"Lost words. ".repeat(400)))
        .expect("memory");
    let mut packed = packed.finish().expect("memory");
    let half = packed.len() / 2;
    for byte in &mut packed[half..] {
        *byte ^= 0xa5;
    }
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    pdf.add("<< /Type /Pages /Kids [4 0 R 6 0 R] /Count 2 >>");
    pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    for (dictionary, content) in [
        ("", shown("Kettles of brass")),
        ("/Filter /FlateDecode", packed),
    ] {
        let number = pdf.objects.len() + 2;
        pdf.add(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number} 0 R \
             /Resources << /Font << /F 3 0 R >> >> >>"
        ));
        pdf.stream(dictionary, &content);
    }
    pdf.finish()
}

/// A tree of pages that is its own child.
pub(crate) fn looping_pages() -> Vec<u8> {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    pdf.add("<< /Type /Pages /Kids [2 0 R] /Count 1 /Parent 2 0 R >>");
    pdf.finish()
}

/// A table of objects that has itself before it.
pub(crate) fn looping_table() -> Vec<u8> {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    pdf.add("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    pdf.add("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] >>");
    pdf.finish_with("/Prev TABLE")
}

/// More pages than are read.
pub(crate) fn many_pages(count: usize) -> Vec<u8> {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    let kids: Vec<String> = (0..count)
        .map(|index| format!("{} 0 R", 3 + index))
        .collect();
    pdf.add(format!(
        "<< /Type /Pages /Kids [{}] /Count {count} >>",
        kids.join(" ")
    ));
    for _ in 0..count {
        pdf.add("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] >>");
    }
    pdf.finish()
}

/// A file that has no name, with this in it.
pub(crate) fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(content).expect("room on the disk");
    file.rewind().expect("a file that can be sought in");
    file
}
