//! Text that is drawn and not written, so that only looking at it tells what it says.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};

use super::Pdf;

/// A stroke, from here to there.
type Stroke = [f32; 4];

/// The strokes of a letter in a box four wide and six high; its foot is at 0.
fn strokes(letter: char) -> &'static [Stroke] {
    match letter {
        'A' => &[
            [0.0, 0.0, 2.0, 6.0],
            [2.0, 6.0, 4.0, 0.0],
            [0.8, 2.2, 3.2, 2.2],
        ],
        'E' => &[
            [0.0, 0.0, 0.0, 6.0],
            [0.0, 6.0, 3.6, 6.0],
            [0.0, 3.1, 3.0, 3.1],
            [0.0, 0.0, 3.6, 0.0],
        ],
        'H' => &[
            [0.0, 0.0, 0.0, 6.0],
            [4.0, 0.0, 4.0, 6.0],
            [0.0, 3.1, 4.0, 3.1],
        ],
        'I' => &[[2.0, 0.0, 2.0, 6.0]],
        'K' => &[
            [0.0, 0.0, 0.0, 6.0],
            [0.0, 2.2, 3.8, 6.0],
            [1.3, 3.4, 4.0, 0.0],
        ],
        'L' => &[[0.0, 6.0, 0.0, 0.0], [0.0, 0.0, 3.6, 0.0]],
        'M' => &[
            [0.0, 0.0, 0.0, 6.0],
            [0.0, 6.0, 2.0, 1.5],
            [2.0, 1.5, 4.0, 6.0],
            [4.0, 6.0, 4.0, 0.0],
        ],
        'N' => &[
            [0.0, 0.0, 0.0, 6.0],
            [0.0, 6.0, 4.0, 0.0],
            [4.0, 0.0, 4.0, 6.0],
        ],
        'T' => &[[2.0, 0.0, 2.0, 6.0], [0.0, 6.0, 4.0, 6.0]],
        'W' => &[
            [-0.4, 6.0, 0.8, 0.0],
            [0.8, 0.0, 2.0, 5.0],
            [2.0, 5.0, 3.2, 0.0],
            [3.2, 0.0, 4.4, 6.0],
        ],
        _ => &[],
    }
}

/// Width of a letter with the gap behind it.
const ADVANCE: f32 = 6.0;

/// All strokes of a line.
fn line(text: &str) -> Vec<Stroke> {
    let mut at = 0.0;
    let mut all = Vec::new();
    for letter in text.chars() {
        let own = strokes(letter).iter();
        all.extend(own.map(|[x, y, to_x, to_y]| [x + at, *y, to_x + at, *to_y]));
        at += ADVANCE;
    }
    all
}

/// A PDF with a page on which this is drawn in lines: no font, no text.
pub(crate) fn drawn_page(text: &str) -> Vec<u8> {
    let mut content = "3 0 0 3 60 600 cm 0.8 w 1 J 1 j\n".to_owned();
    for [x, y, to_x, to_y] in line(text) {
        content.push_str(&format!("{x} {y} m {to_x} {to_y} l S\n"));
    }
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    pdf.add("<< /Type /Pages /Kids [4 0 R] /Count 1 >>");
    pdf.stream("", content.as_bytes());
    pdf.add("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R >>");
    pdf.finish()
}

/// Pixels of a unit, and around the text.
const SCALE: f32 = 6.0;
const MARGIN: f32 = 60.0;

/// A picture on which this is drawn, black on white.
pub(crate) fn picture(text: &str) -> GrayImage {
    let all = line(text);
    let letters = f32::from(u8::try_from(text.chars().count()).expect("a short line"));
    let size = |units: f32| {
        let pixels = units * SCALE + 2.0 * MARGIN;
        (0..)
            .find(|whole: &u16| f32::from(*whole) >= pixels)
            .map_or(0, u32::from)
    };
    let (width, height) = (size(letters * ADVANCE), size(6.0));
    GrayImage::from_fn(width, height, |column, row| {
        let place = |pixel: u32| f32::from(u16::try_from(pixel).expect("a small picture"));
        let x = (place(column) - MARGIN) / SCALE;
        let y = 6.0 - (place(row) - MARGIN) / SCALE;
        let is_ink = all.iter().any(|stroke| distance(*stroke, x, y) < 0.45);
        Luma([if is_ink { 0 } else { 255 }])
    })
}

/// From a point to a stroke.
fn distance([x, y, to_x, to_y]: Stroke, at_x: f32, at_y: f32) -> f32 {
    let (along_x, along_y) = (to_x - x, to_y - y);
    let length = along_x * along_x + along_y * along_y;
    let part = (((at_x - x) * along_x + (at_y - y) * along_y) / length).clamp(0.0, 1.0);
    (at_x - x - part * along_x).hypot(at_y - y - part * along_y)
}

/// The file of such a picture.
pub(crate) fn picture_file(text: &str, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    // JPEG and others without shades of grey are written in colours.
    DynamicImage::ImageLuma8(picture(text))
        .into_rgb8()
        .write_to(&mut file, format)
        .expect("an encoder");
    file.into_inner()
}

/// A TIFF (6.0, section 2) with a picture for each line, one directory behind the other.
pub(crate) fn pages_of_tiff(lines: &[&str]) -> Vec<u8> {
    let mut file = b"II*\0".to_vec();
    // Where the place of the next directory is to be written.
    let mut link = file.len();
    file.extend_from_slice(&[0; 4]);
    for text in lines {
        let picture = picture(text);
        let strip = file.len();
        file.extend_from_slice(picture.as_raw());
        file.resize(file.len().next_multiple_of(2), 0);
        let directory = file.len();
        let little = |number: usize| u32::try_from(number).expect("a small file").to_le_bytes();
        file[link..link + 4].copy_from_slice(&little(directory));
        let (width, height) = picture.dimensions();
        let bytes = little(picture.as_raw().len());
        let entries = [
            (256_u16, width.to_le_bytes()),
            (257, height.to_le_bytes()),
            (258, little(8)),
            (259, little(1)),
            // Black is zero.
            (262, little(1)),
            (273, little(strip)),
            (277, little(1)),
            (278, height.to_le_bytes()),
            (279, bytes),
        ];
        file.extend_from_slice(&u16::try_from(entries.len()).expect("few").to_le_bytes());
        for (tag, value) in entries {
            file.extend_from_slice(&tag.to_le_bytes());
            // One LONG.
            file.extend_from_slice(&[4, 0, 1, 0, 0, 0]);
            file.extend_from_slice(&value);
        }
        link = file.len();
        file.extend_from_slice(&[0; 4]);
    }
    file
}
