//! What the fields of a line mean: which columns count, and whether what stands in them can be stored. Pure.

use crate::leads::address_key::stored_key;
use crate::leads::import::{NewAddress, NewDomain, NewPage, NewPlace};
use crate::telemetry::chain;
use gleaner_extract::category::{Disposition, RULES_VERSION, categorize};
use gleaner_extract::domain::{Site, site};
use gleaner_extract::url::{TrackingParameters, Url, key, normalize_with};

use super::records::{NO_DELIMITER, split};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Places, by the identifier of the Places API.
    Places,
    /// Domains: hosts, or addresses on them.
    Domains,
    /// Addresses of sitemaps.
    Sitemaps,
    /// Addresses of pages.
    Pages,
}

/// A row to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Place(NewPlace),
    Domain(NewDomain),
    Sitemap(NewAddress),
    Page(NewPage),
}

/// Longest address the tables take, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// Longest text kept of a place, in characters.
const MAX_TEXT_CHARS: usize = 2_000;

/// The columns of a place besides its key, with the other names they go by.
const PLACE_COLUMNS: [&[&str]; 11] = [
    &["name"],
    &["formatted_address", "address", "full_address"],
    &["business_type", "type", "category"],
    &["latitude", "lat"],
    &["longitude", "lng", "lon"],
    &["rating"],
    &["user_ratings_total", "reviews_count", "reviews"],
    &["price_level"],
    &["search_query"],
    &["search_location"],
    &["notes"],
];

impl Kind {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Places => "places",
            Self::Domains => "domains",
            Self::Sitemaps => "sitemaps",
            Self::Pages => "pages",
        }
    }

    /// Headings of the column that counts; where several are there, the first of these that is filled in.
    pub(super) fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Places => &["place_id", "google_place_id"],
            Self::Domains => &["domain", "domains", "website", "url"],
            Self::Sitemaps => &["sitemap_url", "sitemap", "sitemaps", "sitemap_urls", "url"],
            Self::Pages => &["url", "urls", "page", "pages", "link"],
        }
    }
}

/// Which column is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// What separates the columns.
    pub delimiter: u8,
    /// Whether the first line names them.
    pub has_header: bool,
    /// Columns in all; more fields than that are a mistake.
    width: usize,
    /// Where the value is.
    keys: Vec<usize>,
    /// Where the other columns of a place are.
    others: Vec<Option<usize>>,
    /// Headings that mean nothing to us.
    pub ignored: Vec<String>,
}

impl Layout {
    /// Reads the first line that is not blank. Without a heading that we know, every line is one value.
    pub(super) fn of(kind: Kind, first_line: &[u8]) -> Self {
        for delimiter in [b',', b';', b'\t'] {
            let Ok(fields) = split(first_line, delimiter) else {
                continue;
            };
            let names: Vec<String> = fields.iter().map(|field| heading(field)).collect();
            let at = |name: &&str| names.iter().position(|own| own == *name);
            let keys: Vec<usize> = kind.headings().iter().filter_map(at).collect();
            if keys.is_empty() {
                continue;
            }
            let others: Vec<Option<usize>> = match kind {
                Kind::Places => PLACE_COLUMNS
                    .iter()
                    .map(|known| known.iter().find_map(at))
                    .collect(),
                Kind::Domains | Kind::Sitemaps | Kind::Pages => Vec::new(),
            };
            let is_used = |index: &usize| keys.contains(index) || others.contains(&Some(*index));
            let ignored = (0..names.len())
                .filter(|index| !is_used(index))
                .filter_map(|index| fields.get(index).cloned())
                .filter(|name| !name.is_empty())
                .collect();
            return Self {
                delimiter: if names.len() == 1 {
                    NO_DELIMITER
                } else {
                    delimiter
                },
                has_header: true,
                width: names.len(),
                keys,
                others,
                ignored,
            };
        }
        Self {
            delimiter: NO_DELIMITER,
            has_header: false,
            width: 1,
            keys: vec![0],
            others: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// The value of a line and what else is known. None for a line whose fields are all empty.
    ///
    /// # Errors
    /// Why the line cannot be stored, in words.
    pub(super) fn entry(
        &self,
        kind: Kind,
        fields: &[String],
        tracking: &TrackingParameters,
    ) -> Option<Result<Entry, String>> {
        if fields.iter().all(String::is_empty) {
            return None;
        }
        if fields.len() > self.width {
            return Some(Err(format!(
                "{} fields where the header names {}: put values with commas in quotes",
                fields.len(),
                self.width
            )));
        }
        let filled = |index: &usize| fields.get(*index).filter(|field| !field.is_empty());
        let Some(value) = self.keys.iter().find_map(filled) else {
            let names = kind.headings().first().copied().unwrap_or_default();
            return Some(Err(format!("the column {names} is empty")));
        };
        Some(match kind {
            Kind::Places => {
                let other = |index: usize| self.others.get(index).copied().flatten();
                place(value, |index| {
                    other(index).and_then(|at| filled(&at)).map(String::as_str)
                })
            }
            Kind::Domains => domain(value),
            Kind::Sitemaps => {
                address(tracking, value).map(|(address, _url)| Entry::Sitemap(address))
            }
            Kind::Pages => {
                address(tracking, value).map(|(address, url)| Entry::Page(page(address, &url)))
            }
        })
    }
}

/// `Sitemap URL` and `sitemap-url` are `sitemap_url`.
fn heading(field: &str) -> String {
    field
        .trim()
        .trim_start_matches('\u{feff}')
        .to_lowercase()
        .replace([' ', '-'], "_")
}

impl Entry {
    /// What makes it one row and not two.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Place(place) => &place.place_id,
            Self::Domain(domain) => &domain.host,
            Self::Sitemap(address) => address.key(),
            Self::Page(page) => page.address.key(),
        }
    }
}

fn domain(value: &str) -> Result<Entry, String> {
    let Site {
        host, registrable, ..
    } = site(value).map_err(|error| chain(&error))?;
    Ok(Entry::Domain(NewDomain { host, registrable }))
}

/// An address on a site that may be crawled. Addresses by number, local names and names of no public domain are refused here,
/// so that a list from outside cannot send us into a private network; names that lead there are refused when fetching.
fn address(tracking: &TrackingParameters, value: &str) -> Result<(NewAddress, Url), String> {
    if value.trim().contains(char::is_whitespace) {
        return Err("white space within the address".to_owned());
    }
    let url = normalize_with(tracking, value).map_err(|error| chain(&error))?;
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(format!("the address is longer than {MAX_URL_BYTES} bytes"));
    }
    let Site {
        host, registrable, ..
    } = site(url.host_str().unwrap_or_default()).map_err(|error| chain(&error))?;
    let address = NewAddress {
        domain: NewDomain { host, registrable },
        url_key: stored_key(&key(&url)).map(str::to_owned),
        url: url.as_str().to_owned(),
    };
    Ok((address, url))
}

fn page(address: NewAddress, url: &Url) -> NewPage {
    let category = categorize(url);
    NewPage {
        address,
        page_type: category.page_type.as_str(),
        rule: category.rule,
        rules_version: i16::try_from(RULES_VERSION).unwrap_or(i16::MAX),
        confidence: category.confidence,
        path_depth: i16::try_from(category.path_depth).unwrap_or(i16::MAX),
        priority: i16::from(category.disposition == Disposition::Queue),
    }
}

fn place<'a>(key: &str, other: impl Fn(usize) -> Option<&'a str>) -> Result<Entry, String> {
    if key.chars().count() > 512 {
        return Err("the place_id is longer than 512 characters".to_owned());
    }
    if key.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("white space or control characters in the place_id".to_owned());
    }
    let text = |index: usize| other(index).map(clean);
    let number = |index: usize, name: &str, least: f64, most: f64| match other(index) {
        None => Ok(None),
        Some(text) => match text.parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(format!(
                "{name} \"{}\" is not a number from {least} to {most}",
                clean(text)
            )),
        },
    };
    let whole = |index: usize, name: &str, most: i32| match other(index) {
        None => Ok(None),
        Some(text) => match text.parse::<i32>() {
            Ok(number) if (0..=most).contains(&number) => Ok(Some(number)),
            _ => Err(format!(
                "{name} \"{}\" is not a whole number from 0 to {most}",
                clean(text)
            )),
        },
    };
    Ok(Entry::Place(NewPlace {
        place_id: key.to_owned(),
        name: text(0).unwrap_or_default(),
        formatted_address: text(1),
        business_type: text(2),
        latitude: number(3, "latitude", -90.0, 90.0)?,
        longitude: number(4, "longitude", -180.0, 180.0)?,
        rating: number(5, "rating", 0.0, 5.0)?,
        user_ratings_total: whole(6, "user_ratings_total", i32::MAX)?,
        price_level: whole(7, "price_level", 4)?.and_then(|level| i16::try_from(level).ok()),
        search_query: text(8),
        search_location: text(9),
        notes: text(10),
    }))
}

/// Bounded, and without characters that PostgreSQL or a terminal would stumble over.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .take(MAX_TEXT_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys, or the reasons, of these lines of a file.
    fn read(kind: Kind, lines: &[&str]) -> Vec<Result<String, String>> {
        let layout = Layout::of(kind, lines[0].as_bytes());
        lines
            .iter()
            .skip(usize::from(layout.has_header))
            .filter_map(|line| {
                let fields = split(line.as_bytes(), layout.delimiter).unwrap();
                layout.entry(kind, &fields, TrackingParameters::built_in())
            })
            .map(|entry| entry.map(|entry| entry.key().to_owned()))
            .collect()
    }

    fn keys(kind: Kind, lines: &[&str]) -> Vec<String> {
        read(kind, lines).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn every_heading_is_known() {
        for (kind, headings) in [
            (Kind::Domains, "domain|domains|url|website"),
            (
                Kind::Sitemaps,
                "sitemap_url|sitemap|url|sitemaps|sitemap_urls",
            ),
            (Kind::Pages, "url|urls|page|pages|link"),
            (Kind::Places, "place_id|Place ID"),
        ] {
            for heading in headings.split('|') {
                assert!(
                    Layout::of(kind, heading.to_uppercase().as_bytes()).has_header,
                    "{heading}"
                );
            }
        }
    }

    #[test]
    fn columns_are_found_whatever_separates_them() {
        for header in [
            "name,Website,city",
            "name;website;city",
            "\"name\"\twebsite\tcity",
        ] {
            let layout = Layout::of(Kind::Domains, header.as_bytes());
            assert_eq!((layout.width, &layout.keys), (3, &vec![1]), "{header}");
            assert_eq!(layout.ignored, ["name", "city"]);
        }
    }

    #[test]
    fn the_first_filled_column_counts() {
        assert_eq!(
            keys(
                Kind::Domains,
                &["website,domain", "a.example.com,", ",B.Example.ORG"]
            ),
            ["a.example.com", "b.example.org"]
        );
        assert!(read(Kind::Domains, &["domain,x", ",1"])[0].is_err());
        assert_eq!(read(Kind::Domains, &["domain,x", ","]), []);
    }

    #[test]
    fn without_a_header_each_line_is_a_value() {
        assert_eq!(
            keys(
                Kind::Pages,
                &[
                    "https://www.example.com/a,b?utm_source=x",
                    "example.com/c;d"
                ]
            ),
            ["https://www.example.com/a,b", "https://example.com/c;d"]
        );
    }

    #[test]
    fn hostile_values_are_refused() {
        for value in [
            "http://169.254.169.254/latest/meta-data",
            "http://localhost/",
            "http://[::1]/",
            "http://0x7f.1/",
            "http://router.local/x",
            "http://db.internal/x",
            "ftp://example.com/x",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://example.com/a b",
            "not a url",
            "",
        ] {
            for kind in [Kind::Domains, Kind::Sitemaps, Kind::Pages] {
                // A website's text may hold more than the address: there the first counts.
                let is_website = kind == Kind::Domains && value.starts_with("https://example.com");
                let layout = Layout::of(kind, kind.headings()[0].as_bytes());
                let entry = layout.entry(kind, &[value.to_owned()], TrackingParameters::built_in());
                assert!(
                    is_website || !matches!(entry, Some(Ok(_))),
                    "{kind:?} {value}: {entry:?}"
                );
            }
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL_BYTES));
        assert!(address(TrackingParameters::built_in(), &long).is_err());
    }

    #[test]
    fn places_keep_what_is_known_of_them() {
        let layout = Layout::of(
            Kind::Places,
            b"name,place_id,lat,lng,rating,price_level,mood",
        );
        let entry = |line: &str| {
            let fields = split(line.as_bytes(), layout.delimiter).unwrap();
            layout
                .entry(Kind::Places, &fields, TrackingParameters::built_in())
                .unwrap()
        };
        let Entry::Place(place) = entry("\"Joe\u{0}'s\",ChIJ_1-x,52.5,-13.4,4.5,2,happy").unwrap()
        else {
            panic!("not a place");
        };
        assert_eq!(place.place_id, "ChIJ_1-x");
        assert_eq!(place.name, "Joe 's");
        assert_eq!((place.latitude, place.longitude), (Some(52.5), Some(-13.4)));
        assert_eq!((place.rating, place.price_level), (Some(4.5), Some(2)));
        assert_eq!(layout.ignored, ["mood"]);
        for bad in [
            "x,a b,,,,,",
            "x,id,91,,,,",
            "x,id,NaN,,,,",
            "x,id,,,,7,",
            "x,id,,,,2,,more",
        ] {
            assert!(entry(bad).is_err(), "{bad}");
        }
    }
}
