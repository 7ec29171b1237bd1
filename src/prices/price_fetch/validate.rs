//! Whether what a page was read as can be believed.
//!
//! Errors make a crawl a failed one: nothing of it is recorded. Warnings are kept with the result and lower the confidence; a
//! price that jumps is among them, because it is for the recording to hold it until a second look confirms it.

use serde::Serialize;

use gleaner_extract::offer::Availability;
use gleaner_extract::price::Amount;

/// Prices above this, in units of whatever currency, are worth a warning; so are those below [`CHEAP`].
const DEAR: f64 = 100_000.0;
const CHEAP: f64 = 0.01;
/// Titles of so many characters are ordinary.
const TITLE_CHARS: std::ops::RangeInclusive<usize> = 3..=500;
/// Most decimals that are stored.
const MAX_SCALE: u8 = 4;
/// Prices from here on are not stored.
const TOO_MUCH: f64 = 1e12;
/// What each warning costs, in confidence.
const WARNING_COST: f64 = 0.05;
/// The confidence of a reading whose fields have none of their own.
const UNKNOWN_CONFIDENCE: f64 = 0.5;

/// What is judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading<'a> {
    pub(super) price: Option<Amount>,
    pub(super) title: Option<&'a str>,
    pub(super) availability: Option<Availability>,
    /// Confidence in price, title, availability and image, 0 to 1; 0 for what there is none of.
    pub(super) confidences: [f64; 4],
    /// What went wrong already.
    pub(super) errors: Vec<String>,
    /// What looked strange already.
    pub(super) warnings: Vec<String>,
}

/// What the page was last recorded as.
#[derive(Clone, Debug, Default)]
pub(super) struct Previous<'a> {
    pub(super) price: Option<Amount>,
    pub(super) title: Option<&'a str>,
    pub(super) availability: Option<&'a str>,
}

/// The limits that an operator may set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Least confidence in the price.
    pub(super) min_confidence: f64,
    /// Changes of the price beyond this many percent are worth a warning.
    pub(super) max_change_percent: f64,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Validation {
    /// Whether there is no error.
    pub(super) valid: bool,
    /// 0 with any error; else the mean of the fields' own, less what the warnings cost; two decimals.
    pub(super) confidence: f64,
    /// Why it cannot be believed.
    pub(super) errors: Vec<String>,
    /// What is strange about it.
    pub(super) warnings: Vec<String>,
}

/// Judges a reading.
pub(super) fn validate(
    reading: Reading<'_>,
    previous: &Previous<'_>,
    limits: Limits,
) -> Validation {
    let Reading {
        mut errors,
        mut warnings,
        ..
    } = reading;
    match reading.price {
        None => errors.push("no price was found".to_owned()),
        Some(price) => {
            let value = price.approximate();
            if price.is_zero() {
                errors.push("the price is not above zero".to_owned());
            } else if price.rounded(MAX_SCALE) != price {
                errors.push(format!(
                    "the price {price} has more than {MAX_SCALE} decimals"
                ));
            } else if value >= TOO_MUCH {
                errors.push(format!("the price {price} is too large"));
            } else if value > DEAR {
                warnings.push(format!("the price {price} is unusually high"));
            } else if value < CHEAP {
                warnings.push(format!("the price {price} is unusually low"));
            }
            let [confidence, ..] = reading.confidences;
            if confidence < limits.min_confidence {
                errors.push(format!(
                    "confidence {confidence:.2} is below {:.2}",
                    limits.min_confidence
                ));
            }
            if let Some(old) = previous.price.filter(|old| !old.is_zero()) {
                let percent = (value / old.approximate() - 1.0) * 100.0;
                if percent.abs() > limits.max_change_percent {
                    warnings.push(format!("the price changed by {percent:+.0} % from {old}"));
                }
            }
        }
    }
    match reading.title {
        None => warnings.push("no title was found".to_owned()),
        Some(title) => {
            let length = title.chars().count();
            if !TITLE_CHARS.contains(&length) {
                warnings.push(format!("the title has {length} characters"));
            }
            if previous.title.is_some_and(|old| old != title) {
                warnings.push("the title changed".to_owned());
            }
        }
    }
    if let (Some(now), Some(before)) = (reading.availability, previous.availability)
        && now.as_str() != before
    {
        warnings.push(format!(
            "availability changed from {before} to {}",
            now.as_str()
        ));
    }
    let confidence = if errors.is_empty() {
        confidence(&reading.confidences, warnings.len())
    } else {
        0.0
    };
    Validation {
        valid: errors.is_empty(),
        confidence,
        errors,
        warnings,
    }
}

fn confidence(fields: &[f64], warnings: usize) -> f64 {
    let present: Vec<f64> = fields.iter().copied().filter(|own| *own > 0.0).collect();
    // Both counts are small.
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let mean = if present.is_empty() {
        UNKNOWN_CONFIDENCE
    } else {
        present.iter().sum::<f64>() / count(present.len())
    };
    let whole = (mean - WARNING_COST * count(warnings)).max(0.0);
    (whole * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        min_confidence: 0.6,
        max_change_percent: 50.0,
    };

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    fn reading(price: &str) -> Reading<'static> {
        Reading {
            price: Some(amount(price)),
            title: Some("Brass kettle"),
            availability: Some(Availability::InStock),
            confidences: [0.9, 0.9, 0.9, 0.0],
            ..Reading::default()
        }
    }

    /// The errors and warnings, and the confidence in percent.
    fn judged(reading: Reading<'_>, previous: &Previous<'_>) -> (String, String, f64) {
        let judged = validate(reading, previous, LIMITS);
        assert_eq!(judged.valid, judged.errors.is_empty());
        (
            judged.errors.join("; "),
            judged.warnings.join("; "),
            (judged.confidence * 100.0).round(),
        )
    }

    #[test]
    fn what_cannot_be_stored_is_an_error() {
        for (price, confidence, expected) in [
            (None, 0.9, "no price was found"),
            (Some("0.00"), 0.9, "the price is not above zero"),
            (
                Some("1.00001"),
                0.9,
                "the price 1.00001 has more than 4 decimals",
            ),
            (Some("1.00000"), 0.9, ""),
            (
                Some("1000000000000"),
                0.9,
                "the price 1000000000000 is too large",
            ),
            (Some("10"), 0.59, "confidence 0.59 is below 0.60"),
            (Some("10"), 0.6, ""),
        ] {
            let judged = judged(
                Reading {
                    price: price.map(amount),
                    confidences: [confidence, 0.9, 0.9, 0.9],
                    ..reading("1")
                },
                &Previous::default(),
            );
            assert_eq!(judged.0, expected, "{price:?}");
            assert_eq!(judged.2 > 0.0, expected.is_empty(), "{price:?}");
        }
    }

    #[test]
    fn what_is_strange_is_a_warning_and_costs_confidence() {
        let previous = Previous {
            price: Some(amount("100")),
            title: Some("Brass kettle"),
            availability: Some("InStock"),
        };
        let none = Previous::default();
        for (reading, previous, expected, confidence) in [
            (reading("99"), &previous, "", 90.0),
            (reading("150"), &previous, "", 90.0),
            (
                reading("151"),
                &previous,
                "the price changed by +51 % from 100",
                85.0,
            ),
            (
                reading("10"),
                &previous,
                "the price changed by -90 % from 100",
                85.0,
            ),
            (
                reading("100001"),
                &none,
                "the price 100001 is unusually high",
                85.0,
            ),
            (
                reading("0.005"),
                &none,
                "the price 0.005 is unusually low",
                85.0,
            ),
            (
                Reading {
                    title: None,
                    ..reading("99")
                },
                &previous,
                "no title was found",
                85.0,
            ),
            (
                Reading {
                    title: Some("TV"),
                    ..reading("99")
                },
                &previous,
                "the title has 2 characters; the title changed",
                80.0,
            ),
        ] {
            let (errors, warnings, found) = judged(reading, previous);
            assert_eq!(errors, "");
            assert_eq!(warnings, expected);
            assert!((found - confidence).abs() < 0.5, "{warnings}: {found}");
        }
    }

    /// PT-3: going out of stock is noticed as such.
    #[test]
    fn a_change_of_availability_is_noticed_both_ways() {
        for (before, now) in [
            ("InStock", Availability::OutOfStock),
            ("OutOfStock", Availability::InStock),
        ] {
            let previous = Previous {
                availability: Some(before),
                ..Previous::default()
            };
            let (_, warnings, _) = judged(
                Reading {
                    availability: Some(now),
                    ..reading("99")
                },
                &previous,
            );
            assert_eq!(
                warnings,
                format!("availability changed from {before} to {}", now.as_str())
            );
        }
    }

    #[test]
    fn confidence_has_a_floor() {
        assert!((confidence(&[0.0, 0.0], 0) - 0.5).abs() < 1e-9);
        assert!((confidence(&[0.9, 0.6], 1) - 0.7).abs() < 1e-9);
        assert!(confidence(&[0.6], 20).abs() < 1e-9);
    }
}
