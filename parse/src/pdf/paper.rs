//! Pages as pictures in shades of grey.

use image::GrayImage;

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

/// A picture from rows of grey pixels, which may be longer than it is wide. None for what are no such rows.
pub(super) fn picture(width: i32, height: i32, rows: &[u8]) -> Option<GrayImage> {
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let (columns, lines) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
    let stride = rows.len().checked_div(lines)?;
    if stride < columns || columns == 0 {
        return None;
    }
    let rows = rows.chunks_exact(stride).take(lines);
    let pixels = rows.flat_map(|row| row.iter().take(columns).copied());
    GrayImage::from_raw(width, height, pixels.collect())
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
    fn a_picture_has_the_rows_without_their_padding() {
        let drawn = picture(3, 2, &[1, 2, 3, 0, 4, 5, 6, 0]).unwrap();
        assert_eq!(drawn.dimensions(), (3, 2));
        assert_eq!(drawn.as_raw(), &[1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_no_picture_makes_none() {
        assert_eq!(picture(3, 2, &[1, 2]), None);
        assert_eq!(picture(0, 2, &[1, 2]), None);
        assert_eq!(picture(-1, 2, &[1, 2]), None);
        assert_eq!(picture(3, 0, &[]), None);
    }
}
