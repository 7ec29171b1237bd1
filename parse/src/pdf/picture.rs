//! Pages as pictures in shades of grey.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// Dots per inch: what text recognition wants.
const FINENESS: f32 = 200.0;

/// Points per inch.
const POINTS: f32 = 72.0;

/// Pixels on the longer side at most, so that no page comes to more than 100 million: an A0 sheet is drawn less finely.
const MAX_SIDE: f32 = 10_000.0;

/// The size in pixels of a page that is so large, in points.
pub(super) fn size(width: f32, height: f32) -> (i32, i32) {
    let longer = width.max(height).max(1.0);
    let scale = (FINENESS / POINTS).min(MAX_SIDE / longer);
    (pixels(width * scale), pixels(height * scale))
}

/// Rounded, and at least one.
fn pixels(side: f32) -> i32 {
    let side = side.clamp(1.0, MAX_SIDE).round();
    // What is left of the range has an exact place in `i32`; `as` is a cast that lints forbid, with reason.
    (1..=10_000)
        .find(|pixels| f64::from(*pixels) >= f64::from(side))
        .unwrap_or(1)
}

/// A PNG of rows of grey pixels; rows may be longer than the picture is wide. None for what are no such rows.
pub(super) fn png(width: i32, height: i32, rows: &[u8]) -> Option<Vec<u8>> {
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let (columns, lines) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
    let stride = rows.len().checked_div(lines)?;
    if stride < columns || columns == 0 {
        return None;
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    for row in rows.chunks_exact(stride).take(lines) {
        // Each row as it is, without a filter.
        packed.write_all(&[0]).ok()?;
        packed.write_all(row.get(..columns)?).ok()?;
    }
    let mut head = Vec::new();
    head.extend_from_slice(&width.to_be_bytes());
    head.extend_from_slice(&height.to_be_bytes());
    // Eight bits, grey; one way each to compress, filter and order.
    head.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [
        (b"IHDR", head),
        (b"IDAT", packed.finish().ok()?),
        (b"IEND", Vec::new()),
    ] {
        png.extend_from_slice(&u32::try_from(content.len()).ok()?.to_be_bytes());
        let mut sum = Crc::new();
        sum.update(kind);
        sum.update(&content);
        png.extend_from_slice(kind);
        png.extend_from_slice(&content);
        png.extend_from_slice(&sum.sum().to_be_bytes());
    }
    Some(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_drawn_finely_and_never_hugely() {
        assert_eq!(size(612.0, 792.0), (1_700, 2_200));
        assert_eq!(size(72_000.0, 7_200.0), (10_000, 1_000));
        assert_eq!(size(0.0, f32::NAN), (1, 1));
        let (width, height) = size(f32::INFINITY, 5.0);
        assert!((1..=10_000).contains(&width) && (1..=10_000).contains(&height));
    }

    #[test]
    fn a_picture_has_its_parts_and_the_rows_without_their_padding() {
        let png = png(3, 2, &[1, 2, 3, 0, 4, 5, 6, 0]).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x03\0\0\0\x02\x08\0"));
        // The end is the same in all of them.
        assert!(png.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
        let at = png.windows(4).position(|four| four == b"IDAT").unwrap() + 4;
        let mut rows = Vec::new();
        let mut packed = flate2::read::ZlibDecoder::new(&png[at..]);
        std::io::Read::read_to_end(&mut packed, &mut rows).unwrap();
        assert_eq!(rows, [0, 1, 2, 3, 0, 4, 5, 6]);
    }

    #[test]
    fn what_is_no_picture_makes_none() {
        assert_eq!(png(3, 2, &[1, 2]), None);
        assert_eq!(png(0, 2, &[1, 2]), None);
        assert_eq!(png(-1, 2, &[1, 2]), None);
        assert_eq!(png(3, 0, &[]), None);
    }
}
