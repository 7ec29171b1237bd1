//! How much a value looks like what its field should hold, whatever found it.

use crate::offer::availability_of;
use crate::price::{self, Hints};

/// From 0 (not at all) to 1.
///
/// - `price`: 0.95 with a currency and decimals, 0.85 with decimals, 0.7 with digits alone.
/// - `title`: 0.9 for 5 to 200 characters of which less than 30 % are symbols.
/// - `availability`: 0.9 where it says something about it.
/// - `image`: 0.95 for an address with a picture's extension, 0.8 for another address, 0.85 for a `data:` URL, 0.7 for an
///   extension alone.
/// - other fields: 0.75 for anything of at most 200 characters.
#[must_use]
pub fn format_score(field: &str, value: &str, hints: &Hints<'_>) -> f64 {
    match field {
        "price" => match price::parse(value, hints) {
            Some(price) if price.amount.scale() > 0 => {
                if price.currency_raw.is_some() {
                    0.95
                } else {
                    0.85
                }
            }
            Some(_) => 0.7,
            None => 0.0,
        },
        "title" => title(value),
        "availability" if availability_of(value).is_some() => 0.9,
        "availability" => 0.0,
        "image" => image(value),
        _ if !value.is_empty() && value.chars().count() <= 200 => 0.75,
        _ => 0.0,
    }
}

fn title(value: &str) -> f64 {
    let length = value.chars().count();
    let symbols = value
        .chars()
        .filter(|letter| !letter.is_alphanumeric() && !letter.is_whitespace())
        .count();
    if (5..=200).contains(&length) && symbols * 10 < length * 3 {
        0.9
    } else {
        0.0
    }
}

fn image(value: &str) -> f64 {
    let lower = value.to_ascii_lowercase();
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    let has_extension = [".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif"]
        .iter()
        .any(|extension| path.ends_with(extension));
    let is_address = ["http://", "https://", "//"]
        .iter()
        .any(|scheme| lower.starts_with(scheme));
    match (is_address, has_extension) {
        (true, true) => 0.95,
        (true, false) => 0.8,
        _ if lower.starts_with("data:image/") => 0.85,
        (false, true) => 0.7,
        (false, false) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_scored_by_their_form() {
        for (field, value, expected) in [
            ("price", "kr 1 299,00", 0.95),
            ("price", "1299.50", 0.85),
            ("price", "1299", 0.7),
            ("price", "soon", 0.0),
            ("title", "Brass kettle, 1.7 l", 0.9),
            ("title", "TV", 0.0),
            ("title", "*** !!! ***", 0.0),
            ("availability", "In stock", 0.9),
            ("availability", "Kettle", 0.0),
            ("image", "https://shop.example/k.JPG?w=3", 0.95),
            ("image", "//cdn.shop.example/k", 0.8),
            ("image", "data:image/png;base64,xx", 0.85),
            ("image", "/k.webp", 0.7),
            ("image", "kettle", 0.0),
            ("model_number", "KX-17", 0.75),
        ] {
            let score = format_score(field, value, &Hints::default());
            assert!((score - expected).abs() < 1e-9, "{field} {value}: {score}");
        }
    }
}
