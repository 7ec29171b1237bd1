//! The five countries of the demo's businesses: towns, telephone numbers and the words of their pages.
//!
//! Telephone numbers come from the ranges set aside for fiction where a country has them and libphonenumber accepts
//! them: Ofcom's "telephone numbers for use in TV and radio drama", the Bundesnetzagentur's "Rufnummern für
//! Medienproduktionen", and the ARCEP's numbering plan (decision 2018-0881, section 2.5.12). The United States' 555
//! numbers are refused by many tools, and the Netherlands have none, so those are ordinary local numbers.

use rand::Rng;
use rand::rngs::StdRng;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Country {
    UnitedStates,
    UnitedKingdom,
    Germany,
    France,
    Netherlands,
}

/// A town and the shape of its telephone numbers.
///
/// In the templates `#` is any digit and `X` one from 2 to 9. All templates of a town have their places in the same
/// order, so the same digits fill each.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) name: &'static str,
    /// State, province or region, and its abbreviation.
    pub(crate) region: (&'static str, &'static str),
    pub(crate) postcode: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) national: &'static [&'static str],
    pub(crate) international: &'static str,
}

/// One telephone number in its written forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Telephone {
    pub(crate) e164: String,
    pub(crate) national: String,
    pub(crate) international: String,
}

/// The words of a page in one language.
#[derive(Debug)]
pub(crate) struct Phrases {
    pub(crate) home: &'static str,
    pub(crate) about: &'static str,
    pub(crate) services: &'static str,
    pub(crate) team: &'static str,
    pub(crate) blog: &'static str,
    pub(crate) shop: &'static str,
    pub(crate) careers: &'static str,
    pub(crate) contact: &'static str,
    pub(crate) contact_intro: &'static str,
    pub(crate) email: &'static str,
    pub(crate) write_to_us: &'static str,
    pub(crate) phone: &'static str,
    pub(crate) fax: &'static str,
    pub(crate) address: &'static str,
    pub(crate) hours: &'static str,
    pub(crate) hours_text: &'static str,
    pub(crate) follow_us: &'static str,
    pub(crate) updated: &'static str,
    pub(crate) order: &'static str,
    pub(crate) vat: &'static str,
    pub(crate) share: &'static str,
    pub(crate) send: &'static str,
    pub(crate) message: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) sentences: &'static [&'static str],
    pub(crate) blog_topics: &'static [(&'static str, &'static str)],
    pub(crate) products: &'static [(&'static str, &'static str)],
    pub(crate) streets: &'static [&'static str],
    pub(crate) mailboxes: &'static [&'static str],
    pub(crate) people: &'static [(&'static str, &'static str)],
}

impl Country {
    /// ISO 3166-1 alpha-2.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::UnitedStates => "US",
            Self::UnitedKingdom => "GB",
            Self::Germany => "DE",
            Self::France => "FR",
            Self::Netherlands => "NL",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnitedStates => "United States",
            Self::UnitedKingdom => "United Kingdom",
            Self::Germany => "Germany",
            Self::France => "France",
            Self::Netherlands => "Netherlands",
        }
    }

    /// The public suffix of the country's hosts.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::UnitedStates => "com",
            Self::UnitedKingdom => "co.uk",
            Self::Germany => "de",
            Self::France => "fr",
            Self::Netherlands => "nl",
        }
    }

    /// The pages' `lang`.
    pub(crate) fn language(self) -> &'static str {
        match self {
            Self::UnitedStates => "en-US",
            Self::UnitedKingdom => "en-GB",
            Self::Germany => "de",
            Self::France => "fr",
            Self::Netherlands => "nl",
        }
    }

    /// Minutes east of UTC in winter.
    pub(crate) fn utc_offset(self, town: &Town) -> i32 {
        match self {
            Self::UnitedStates if town.longitude < -110.0 => -480,
            Self::UnitedStates if town.longitude < -85.0 => -360,
            Self::UnitedStates => -300,
            Self::UnitedKingdom => 0,
            Self::Germany | Self::France | Self::Netherlands => 60,
        }
    }

    pub(crate) fn towns(self) -> &'static [Town] {
        match self {
            Self::UnitedStates => UNITED_STATES,
            Self::UnitedKingdom => UNITED_KINGDOM,
            Self::Germany => GERMANY,
            Self::France => FRANCE,
            Self::Netherlands => NETHERLANDS,
        }
    }

    /// The paths of pages that say how to reach the business, in the forms a crawler should know.
    pub(crate) fn contact_paths(self) -> &'static [&'static str] {
        match self {
            Self::UnitedStates | Self::UnitedKingdom => {
                &["/contact", "/contact-us/", "/contact.php", "/en/contact"]
            }
            Self::Germany => &["/kontakt", "/impressum"],
            Self::France | Self::Netherlands => &["/contact", "/contact.php"],
        }
    }

    /// House number and street in the country's order.
    pub(crate) fn street_line(self, street: &str, number: u32) -> String {
        match self {
            Self::UnitedStates | Self::UnitedKingdom | Self::France => format!("{number} {street}"),
            Self::Germany | Self::Netherlands => format!("{street} {number}"),
        }
    }

    /// Postcode and town in the country's order.
    pub(crate) fn town_line(self, town: &Town, postcode: &str) -> String {
        match self {
            Self::UnitedStates => format!("{}, {} {postcode}", town.name, town.region.1),
            Self::UnitedKingdom => format!("{} {postcode}", town.name),
            Self::Germany | Self::France | Self::Netherlands => format!("{postcode} {}", town.name),
        }
    }
}

impl Town {
    /// Invents a telephone number of this town.
    pub(crate) fn telephone(&self, rng: &mut StdRng) -> Telephone {
        let digits: Vec<char> = self
            .international
            .chars()
            .filter(|place| matches!(place, '#' | 'X'))
            .map(|place| {
                let lowest = if place == 'X' { 2 } else { 0 };
                char::from_digit(rng.random_range(lowest..10), 10).unwrap_or('7')
            })
            .collect();
        let national = self.national[rng.random_range(0..self.national.len())];
        let international = fill(self.international, &digits);
        Telephone {
            e164: international
                .chars()
                .filter(|c| *c == '+' || c.is_ascii_digit())
                .collect(),
            national: fill(national, &digits),
            international,
        }
    }

    pub(crate) fn invent_postcode(&self, rng: &mut StdRng) -> String {
        self.postcode
            .chars()
            .map(|place| match place {
                '#' => char::from_digit(rng.random_range(0..10), 10).unwrap_or('0'),
                '@' => char::from(b"ABDEFGHJLN"[rng.random_range(0..10)]),
                other => other,
            })
            .collect()
    }
}

fn fill(template: &str, digits: &[char]) -> String {
    let mut digits = digits.iter().copied();
    template
        .chars()
        .map(|place| match place {
            '#' | 'X' => digits.next().unwrap_or('0'),
            other => other,
        })
        .collect()
}

macro_rules! town {
    ($name:literal, $region:literal, $abbreviation:literal, $postcode:literal, $latitude:literal, $longitude:literal,
     $international:literal, $($national:literal),+) => {
        Town {
            name: $name,
            region: ($region, $abbreviation),
            postcode: $postcode,
            latitude: $latitude,
            longitude: $longitude,
            national: &[$($national),+],
            international: $international,
        }
    };
}

#[rustfmt::skip]
const UNITED_STATES: &[Town] = &[
    town!("New York", "New York", "NY", "100##", 40.7128, -74.0060, "+1 212-6X#-####", "(212) 6X#-####", "212-6X#-####"),
    town!("Ithaca", "New York", "NY", "14850", 42.4430, -76.5019, "+1 607-2X#-####", "(607) 2X#-####", "607.2X#.####"),
    town!("Portland", "Oregon", "OR", "972##", 45.5152, -122.6784, "+1 503-2X#-####", "(503) 2X#-####", "503-2X#-####"),
    town!("Chicago", "Illinois", "IL", "606##", 41.8781, -87.6298, "+1 312-4X#-####", "(312) 4X#-####", "312.4X#.####"),
    town!("Boston", "Massachusetts", "MA", "021##", 42.3601, -71.0589, "+1 617-3X#-####", "(617) 3X#-####", "617-3X#-####"),
    town!("San Francisco", "California", "CA", "941##", 37.7749, -122.4194, "+1 415-7X#-####", "(415) 7X#-####", "415-7X#-####"),
];

#[rustfmt::skip]
const UNITED_KINGDOM: &[Town] = &[
    town!("London", "England", "England", "SE1 #@@", 51.5072, -0.1276, "+44 20 7946 0###", "020 7946 0###", "(020) 7946 0###"),
    town!("Manchester", "England", "England", "M# #@@", 53.4808, -2.2426, "+44 161 496 0###", "0161 496 0###", "(0161) 496 0###"),
    town!("Leeds", "England", "England", "LS# #@@", 53.8008, -1.5491, "+44 113 496 0###", "0113 496 0###"),
    town!("Bristol", "England", "England", "BS# #@@", 51.4545, -2.5879, "+44 117 496 0###", "0117 496 0###"),
    town!("Edinburgh", "Scotland", "Scotland", "EH# #@@", 55.9533, -3.1883, "+44 131 496 0###", "0131 496 0###"),
];

#[rustfmt::skip]
const GERMANY: &[Town] = &[
    town!("Berlin", "Berlin", "BE", "10###", 52.5200, 13.4050, "+49 30 23125###", "030 23125###", "030 / 23125###", "(030) 23125-###"),
    town!("Frankfurt am Main", "Hessen", "HE", "60###", 50.1109, 8.6821, "+49 69 90009###", "069 90009###", "069/90009-###"),
    town!("Hamburg", "Hamburg", "HH", "20###", 53.5511, 9.9937, "+49 40 66969###", "040 66969###", "(040) 66969-###"),
    town!("Köln", "Nordrhein-Westfalen", "NW", "50###", 50.9375, 6.9603, "+49 221 4710###", "0221 4710###", "0221 / 4710-###"),
    town!("München", "Bayern", "BY", "80###", 48.1351, 11.5820, "+49 89 99998###", "089 99998###", "089/99998###"),
];

#[rustfmt::skip]
const FRANCE: &[Town] = &[
    town!("Paris", "Île-de-France", "IDF", "750##", 48.8566, 2.3522, "+33 1 99 00 ## ##", "01 99 00 ## ##", "01.99.00.##.##"),
    town!("Nantes", "Pays de la Loire", "PDL", "440##", 47.2184, -1.5536, "+33 2 61 91 ## ##", "02 61 91 ## ##", "02.61.91.##.##"),
    town!("Strasbourg", "Grand Est", "GES", "670##", 48.5734, 7.7521, "+33 3 53 01 ## ##", "03 53 01 ## ##"),
    town!("Lyon", "Auvergne-Rhône-Alpes", "ARA", "690##", 45.7640, 4.8357, "+33 4 65 71 ## ##", "04 65 71 ## ##"),
    town!("Toulouse", "Occitanie", "OCC", "310##", 43.6047, 1.4442, "+33 5 36 49 ## ##", "05 36 49 ## ##"),
];

#[rustfmt::skip]
const NETHERLANDS: &[Town] = &[
    town!("Amsterdam", "Noord-Holland", "NH", "10## @@", 52.3676, 4.9041, "+31 20 6X# ## ##", "020 6X# ## ##", "020-6X#####"),
    town!("Utrecht", "Utrecht", "UT", "35## @@", 52.0907, 5.1214, "+31 30 2X# ## ##", "030 2X# ## ##", "030-2X# ## ##"),
    town!("Rotterdam", "Zuid-Holland", "ZH", "30## @@", 51.9244, 4.4777, "+31 10 4X# ## ##", "010 4X# ## ##", "010-4X# ## ##"),
    town!("Eindhoven", "Noord-Brabant", "NB", "56## @@", 51.4416, 5.4697, "+31 40 2X# ## ##", "040 2X# ## ##", "(040) 2X# ## ##"),
];

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_town_gives_numbers_that_libphonenumber_calls_valid() {
        let mut rng = StdRng::seed_from_u64(1);
        for country in [
            Country::UnitedStates,
            Country::UnitedKingdom,
            Country::Germany,
            Country::France,
            Country::Netherlands,
        ] {
            let region = country.code().parse().expect("region");
            for town in country.towns() {
                for _ in 0..200 {
                    let telephone = town.telephone(&mut rng);
                    for written in [&telephone.national, &telephone.international] {
                        let parsed = phonenumber::parse(Some(region), written).expect("parses");
                        assert!(phonenumber::is_valid(&parsed), "{written} of {}", town.name);
                        let formatted = parsed.format().mode(phonenumber::Mode::E164).to_string();
                        assert_eq!(formatted, telephone.e164, "{written} of {}", town.name);
                    }
                }
            }
        }
    }
}
