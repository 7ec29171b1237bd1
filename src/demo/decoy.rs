//! Things on a contact page that look like contact details and are none.

use rand::Rng;
use rand::rngs::StdRng;

use super::country::{Country, Town};
use super::model::{DecoyKind, PageDecoy};

impl DecoyKind {
    /// What the score's reader sees.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::ImageName => "image name",
            Self::PlaceholderEmail => "placeholder address in a form field",
            Self::Timestamp => "timestamp",
            Self::OrderNumber => "order number",
            Self::TrackingId => "tracking id",
            Self::ErrorReporting => "error reporting key",
            Self::Coordinates => "coordinates",
            Self::VatNumber => "tax number",
            Self::ShareLink => "share link",
            Self::OpeningHours => "opening hours",
            Self::RegisterNumber => "register number",
        }
    }
}

/// Invents the decoys of one page.
pub(crate) fn invent(
    rng: &mut StdRng,
    page_url: &str,
    country: Country,
    town: &Town,
) -> Vec<PageDecoy> {
    let encoded_url: String = page_url.replace(':', "%3A").replace('/', "%2F");
    let size = rng.random_range(2..4);
    let mut decoys = vec![
        (DecoyKind::ImageName, format!("logo@{size}x.png")),
        (DecoyKind::PlaceholderEmail, "you@example.com".to_owned()),
        (
            DecoyKind::Timestamp,
            format!(
                "20{}-0{}-1{} 0{}:{}:2{}",
                rng.random_range(19..25),
                rng.random_range(1..10),
                rng.random_range(0..10),
                rng.random_range(0..10),
                rng.random_range(10..60),
                rng.random_range(0..10)
            ),
        ),
        (
            DecoyKind::OrderNumber,
            format!(
                "20{}-{:04}-{:05}",
                rng.random_range(19..25),
                rng.random_range(0..10_000),
                rng.random_range(0..100_000)
            ),
        ),
        (
            DecoyKind::TrackingId,
            format!(
                "UA-{}-1",
                rng.random_range(1_000_000_000_u64..1_999_999_999)
            ),
        ),
        (
            DecoyKind::Coordinates,
            format!("{:.7}, {:.7}", town.latitude, town.longitude),
        ),
        (
            DecoyKind::OpeningHours,
            format!(
                "0{}.{}0-12.00 13.00-1{}.{}0",
                rng.random_range(7..10),
                rng.random_range(0..4),
                rng.random_range(5..9),
                rng.random_range(0..4)
            ),
        ),
        (DecoyKind::RegisterNumber, register_number(rng, country)),
    ];
    match rng.random_range(0..3) {
        0 => decoys.push((
            DecoyKind::ErrorReporting,
            format!("{:032x}@o4504.ingest.sentry.io", rng.random::<u128>()),
        )),
        1 => decoys.push((DecoyKind::VatNumber, tax_number(rng, country))),
        _ => decoys.push((
            DecoyKind::ShareLink,
            format!("https://www.facebook.com/sharer/sharer.php?u={encoded_url}"),
        )),
    }
    decoys
        .into_iter()
        .map(|(kind, value)| PageDecoy { kind, value })
        .collect()
}

/// A number under which the country, or the one beside it, keeps businesses, with its label.
fn register_number(rng: &mut StdRng, country: Country) -> String {
    let mut digits = |count: u32| rng.random_range(10_u64.pow(count - 1)..10_u64.pow(count));
    match country {
        Country::UnitedStates => format!("EIN {}-{}", digits(2), digits(7)),
        Country::UnitedKingdom => format!("Company number 0{}", digits(7)),
        Country::Germany => format!("Steuernummer {}/{}/{}", digits(3), digits(3), digits(5)),
        Country::France => format!(
            "SIRET {} {} {} {}",
            digits(3),
            digits(3),
            digits(3),
            digits(5)
        ),
        Country::Netherlands => format!("BTW BE 047{}.{}.{}", digits(1), digits(3), digits(3)),
    }
}

/// A number in the form the country's tax office gives out.
fn tax_number(rng: &mut StdRng, country: Country) -> String {
    let number = rng.random_range(100_000_000..400_000_000);
    match country {
        Country::UnitedStates => format!("{}-{:07}", rng.random_range(10..99), number % 10_000_000),
        Country::UnitedKingdom => format!("GB {number}"),
        Country::Germany => format!("DE{number}"),
        Country::France => format!("FR{}{number}", rng.random_range(10..99)),
        Country::Netherlands => format!("NL{number}B01"),
    }
}
