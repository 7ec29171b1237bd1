//! Reads documents that are pictures. Nobody is shown a stranger's picture: it is taken apart here, and what text recognition gets is
//! drawn anew, in shades of grey.

mod tiff;

use std::fs::File;
use std::io::{Cursor, Read as _, Seek as _, SeekFrom};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder as _, ImageEncoder as _, ImageError,
    ImageFormat, ImageReader, imageops,
};

use crate::failure::Failure;
use crate::protocol::{Code, Limits, Opened, Recognised, Request};
use crate::reader::Sink;
use crate::watch::Watch;

/// Pixels of a picture at most: A0 at 300 dots per inch has 140 million, and nobody reads it in one go.
const MAX_PIXELS: u64 = 100_000_000;

/// Pixels of what is shown at most. An A4 page at 400 dots per inch has fewer; more of them cost time and are read no better.
const MAX_SHOWN: u64 = 24_000_000;

/// A file, and a picture that is unpacked, may take this share of the memory each.
const SHARE: u64 = 4;

/// Reads a picture, or all those of a file that has several, into the sink.
///
/// # Errors
/// Why it cannot be read. Of several pictures, one that cannot is no error, but told to the sink.
pub(crate) fn read(
    file: &mut File,
    mime: &'static str,
    request: &Request,
    watch: &Watch,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let Some(format) = format(mime) else {
        let message = format!("Pictures of this kind ({mime}) are not read.");
        return Err(Failure::new(Code::UnsupportedType, message));
    };
    let mut bytes = all(file, &request.limits)?;
    let places = match format {
        ImageFormat::Tiff => tiff::pictures(&bytes, request.limits.pages),
        _ => Vec::new(),
    };
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
    sink.opened(Opened {
        mime: mime.to_owned(),
        pages: Some(count),
        title: None,
        has_macros: false,
        parser: concat!("gleaner ", env!("CARGO_PKG_VERSION")).to_owned(),
    })?;
    for number in 1..=count {
        if let Some(place) = places.get(usize::try_from(number - 1).unwrap_or(usize::MAX)) {
            tiff::put_first(&mut bytes, *place);
        }
        let drawn = watch.guarded(number, || Ok(redrawn(&bytes, format, &request.limits)));
        match drawn.unwrap_or_else(|code| Err(Failure::new(code, BROKEN))) {
            Ok(png) => show(number, &png, watch, sink)?,
            Err(failure) if count == 1 => {
                return Err(Failure {
                    pages: vec![1],
                    ..failure
                });
            }
            Err(failure) => sink.page_failed(None, failure.code)?,
        }
    }
    Ok(())
}

const BROKEN: &str = "What reads pictures broke down over it.";

/// Those that are read; others are known, and no more.
fn format(mime: &str) -> Option<ImageFormat> {
    Some(match mime {
        "image/png" => ImageFormat::Png,
        "image/jpeg" => ImageFormat::Jpeg,
        "image/tiff" => ImageFormat::Tiff,
        "image/webp" => ImageFormat::WebP,
        "image/gif" => ImageFormat::Gif,
        "image/bmp" => ImageFormat::Bmp,
        _ => return None,
    })
}

fn all(file: &mut File, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    if length > limits.memory_bytes / SHARE {
        return Err(Failure::limit(format!("a picture of {length} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A picture as recognition is shown it: upright, on white, in shades of grey, as a PNG.
fn redrawn(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.memory_bytes / SHARE * 2);
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(|error| refused(&error))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS || decoder.total_bytes() > limits.memory_bytes / SHARE * 2 {
        return Err(Failure::limit(format!(
            "a picture of {width} by {height} pixels"
        )));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| refused(&error))?;
    picture.apply_orientation(orientation);
    let grey = shrunk(on_white(picture));
    png(&grey).ok_or_else(|| Failure::corrupt("a picture without pixels"))
}

fn refused(error: &ImageError) -> Failure {
    match error {
        ImageError::Limits(_) => Failure::limit(error),
        ImageError::Unsupported(_) => Failure::new(
            Code::UnsupportedType,
            format!("It is a picture of a kind that is not read: {error}."),
        ),
        _ => Failure::corrupt(error),
    }
}

/// In shades of grey; what can be seen through is seen on white.
fn on_white(picture: DynamicImage) -> GrayImage {
    if !picture.color().has_alpha() {
        return picture.into_luma8();
    }
    let seen = picture.into_luma_alpha8();
    let (width, height) = seen.dimensions();
    let grey = seen.pixels().map(|pixel| {
        let [value, alpha] = pixel.0.map(u16::from);
        let mixed = (value * alpha + 255 * (255 - alpha)) / 255;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    });
    GrayImage::from_raw(width, height, grey.collect()).unwrap_or_default()
}

/// Halved until it is small enough.
fn shrunk(grey: GrayImage) -> GrayImage {
    let (mut width, mut height) = grey.dimensions();
    while u64::from(width) * u64::from(height) > MAX_SHOWN {
        (width, height) = ((width / 2).max(1), (height / 2).max(1));
    }
    if (width, height) == grey.dimensions() {
        return grey;
    }
    imageops::thumbnail(&grey, width, height)
}

/// A picture as a PNG; none of one without pixels.
pub(crate) fn png(grey: &GrayImage) -> Option<Vec<u8>> {
    let mut png = Vec::new();
    let (width, height) = grey.dimensions();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::NoFilter)
        .write_image(grey.as_raw(), width, height, ExtendedColorType::L8)
        .ok()?;
    Some(png)
}

/// Has the text of a page recognised from a picture of it.
///
/// # Errors
/// When the parent is gone, and those of the sink.
pub(crate) fn show(
    number: u32,
    png: &[u8],
    watch: &Watch,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let recognised = watch
        .show(number, png)
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    match recognised {
        Recognised::Text(text) => sink.recognised(&text),
        Recognised::Failed(code) => sink.page_failed(None, code),
    }
}

#[cfg(test)]
mod tests {
    use image::{LumaA, Rgb, RgbImage};

    use super::*;

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn grey_of(png: &[u8]) -> GrayImage {
        image::load_from_memory_with_format(png, ImageFormat::Png)
            .unwrap()
            .into_luma8()
    }

    #[test]
    fn pictures_of_all_kinds_come_out_in_grey() {
        let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(40, 30, |x, _| {
            Rgb(if x < 20 { [255; 3] } else { [0; 3] })
        }));
        for mime in [
            "image/png",
            "image/jpeg",
            "image/tiff",
            "image/webp",
            "image/gif",
            "image/bmp",
        ] {
            let format = format(mime).unwrap();
            let bytes = encoded(&picture, format);
            let png = redrawn(&bytes, format, &Limits::default()).unwrap();
            let grey = grey_of(&png);
            assert_eq!(grey.dimensions(), (40, 30), "{mime}");
            assert!(grey.get_pixel(5, 5).0[0] > 250 && grey.get_pixel(35, 5).0[0] < 5);
        }
        assert_eq!(format("image/heif"), None);
    }

    #[test]
    fn what_can_be_seen_through_is_seen_on_white() {
        let mut seen = image::GrayAlphaImage::new(3, 1);
        for (x, pixel) in [[0, 0], [0, 255], [100, 128]].into_iter().enumerate() {
            seen.put_pixel(u32::try_from(x).unwrap(), 0, LumaA(pixel));
        }
        let grey = on_white(DynamicImage::ImageLumaA8(seen));
        assert_eq!(grey.as_raw(), &[255, 0, 177]);
    }

    #[test]
    fn large_pictures_are_made_smaller_and_huge_ones_refused() {
        let shown = shrunk(GrayImage::new(8_000, 6_000));
        assert_eq!(shown.dimensions(), (4_000, 3_000));
        // A head that says more than there is.
        let mut bomb = png(&GrayImage::new(8, 8)).unwrap();
        for side in [16..20, 20..24] {
            bomb[side].copy_from_slice(&60_000_u32.to_be_bytes());
        }
        let mut sum = flate2::Crc::new();
        sum.update(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&sum.sum().to_be_bytes());
        let failure = redrawn(&bomb, ImageFormat::Png, &Limits::default()).unwrap_err();
        assert_eq!(failure.code, Code::SecurityLimit, "{failure}");
    }

    #[test]
    fn what_is_damaged_says_so() {
        let whole = encoded(&DynamicImage::new_rgb8(64, 64), ImageFormat::Jpeg);
        for (bytes, format) in [
            (&whole[..whole.len() / 3], ImageFormat::Jpeg),
            (b"\x89PNG\r\n\x1a\nnothing", ImageFormat::Png),
            (b"II*\0\xff\xff\xff\xff", ImageFormat::Tiff),
            (b"RIFF\0\0\0\0WEBPVP8 ", ImageFormat::WebP),
        ] {
            let failure = redrawn(bytes, format, &Limits::default()).unwrap_err();
            assert_eq!(failure.code, Code::Corrupt, "{format:?}: {failure}");
        }
    }
}
