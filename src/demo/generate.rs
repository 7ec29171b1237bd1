//! Plans the whole web: which places there are, which sites they have, and what is therefore true.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::country::{Country, Telephone, Town};
use super::model::{Behaviour, Page, PageKind, Planted, Site, SitemapForm};
use super::names::{Trade, slug};
use super::places::{AddressComponent, Place};
use super::site::{self, FormTurns, Plan};
use super::truth::{Decoy, PlantedBusiness, PlantedContact, Truth};

pub(crate) struct Generated {
    pub(crate) places: Vec<Place>,
    pub(crate) sites: Vec<Site>,
    pub(crate) truth: Truth,
}

/// What kind of website a place has. Forty places hold all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    OwnSite,
    /// A branch of a business that has a site already.
    SharedSite,
    /// A profile on a social network or directory.
    ProfileOnly,
    NoWebsite,
    /// The search found it; the details say `NOT_FOUND`.
    Gone,
}

fn role(place: usize) -> Role {
    match place % 40 {
        6 | 13 | 20 | 27 | 34 => Role::NoWebsite,
        9 => Role::Gone,
        16 | 36 => Role::ProfileOnly,
        11 | 22 | 29 | 38 => Role::SharedSite,
        _ => Role::OwnSite,
    }
}

/// How the hosts of one round behave; the first 27 of every round are all different, the rest ordinary.
const ROUND: &[(Behaviour, SitemapForm)] = &[
    (Behaviour::Normal, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::Index),
    (Behaviour::Flaky, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::Gzip),
    (Behaviour::SoftNotFound, SitemapForm::None),
    (Behaviour::Normal, SitemapForm::WellKnown),
    (Behaviour::Slow, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::HomeLink),
    (Behaviour::Dead, SitemapForm::None),
    (Behaviour::Normal, SitemapForm::Text),
    (Behaviour::RobotsDisallow, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::Rss),
    (Behaviour::ApexToWww, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::None),
    (Behaviour::WwwToApex, SitemapForm::Index),
    (Behaviour::Normal, SitemapForm::NestedIndex),
    (Behaviour::MovedPage, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::SelfReferencingIndex),
    (Behaviour::PrivateRedirect, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::Overlapping),
    (Behaviour::Normal, SitemapForm::Large),
    (Behaviour::Flaky, SitemapForm::Index),
    (Behaviour::Slow, SitemapForm::Gzip),
    (Behaviour::Normal, SitemapForm::HomeLink),
    (Behaviour::WwwOnly, SitemapForm::Robots),
    (Behaviour::LeadsOn, SitemapForm::Index),
    (Behaviour::CookieCheck, SitemapForm::WellKnown),
    (Behaviour::Normal, SitemapForm::Robots),
    (Behaviour::Normal, SitemapForm::Gzip),
    (Behaviour::Normal, SitemapForm::WellKnown),
];

/// The place in a round whose host has letters outside ASCII.
const INTERNATIONAL: usize = 5;

fn plan(index: usize, rng: &mut StdRng) -> Plan {
    let (behaviour, mut sitemap_form) = ROUND[index % ROUND.len()];
    if sitemap_form == SitemapForm::Large && index >= ROUND.len() {
        // One large file shows what there is to show.
        sitemap_form = SitemapForm::Robots;
    }
    let is_international = index % ROUND.len() == INTERNATIONAL;
    let country = if is_international {
        Country::Germany
    } else {
        match rng.random_range(0..8) {
            0..=2 => Country::UnitedStates,
            3 | 4 => Country::UnitedKingdom,
            5 => Country::Germany,
            6 => Country::France,
            _ => Country::Netherlands,
        }
    };
    Plan {
        index,
        behaviour,
        sitemap_form,
        country,
        is_international,
    }
}

/// Plans a web; pure.
pub(crate) fn generate(seed: u64, place_count: usize) -> Generated {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut turns = FormTurns::default();
    let mut sites: Vec<Site> = Vec::new();
    let mut places = Vec::new();
    for number in 0..place_count {
        let place = match role(number) {
            Role::OwnSite => {
                let plan = plan(sites.len(), &mut rng);
                let site = site::generate(rng.random(), plan, &mut turns);
                let place = place_of_site(&site, None, &mut rng);
                sites.push(site);
                place
            }
            Role::SharedSite if !sites.is_empty() => {
                let shared = &sites[rng.random_range(0..sites.len())];
                let towns = shared.country.towns();
                let town = &towns[rng.random_range(0..towns.len())];
                place_of_site(shared, Some(town), &mut rng)
            }
            Role::ProfileOnly => place_without_site(number, true, &mut rng),
            Role::SharedSite | Role::NoWebsite => place_without_site(number, false, &mut rng),
            Role::Gone => Place {
                is_gone: true,
                ..place_without_site(number, false, &mut rng)
            },
        };
        places.push(place);
    }
    places.shuffle(&mut rng);
    let truth = truth_of(&places, &sites);
    Generated {
        places,
        sites,
        truth,
    }
}

fn place_of_site(site: &Site, branch: Option<&'static Town>, rng: &mut StdRng) -> Place {
    let town = branch.unwrap_or(site.town);
    let host = &site.typed_host;
    let website = match rng.random_range(0..7) {
        0 => format!("http://{host}/"),
        1 => format!("http://www.{host}/"),
        2 => format!("http://{host}"),
        3 => format!("http://www.{host}/{}/", slug(town.name, false)),
        4 => format!("http://{host}/?utm_source=gmb&utm_medium=organic&utm_campaign=listing"),
        5 => format!("http://{}/", uppercase_ascii(&format!("www.{host}"))),
        _ => format!("http://www.{host}/index.html"),
    };
    let name = match branch {
        Some(town) => format!("{} - {}", site.name, town.name),
        None => site.name.clone(),
    };
    let address = match branch {
        Some(town) => invent_address(site.country, town, rng),
        None => Address {
            street: site.street,
            house_number: site.house_number,
            postcode: site.postcode.clone(),
        },
    };
    let telephone = match branch {
        Some(town) => Some(town.telephone(rng)),
        None => site.telephone.clone(),
    };
    let business = Business {
        name,
        trade: site.trade,
        country: site.country,
        town,
        address,
    };
    place(business, Some(website), telephone, rng)
}

/// Spells a host in capitals where that is its whole alphabet; other letters have no agreed capital form.
fn uppercase_ascii(host: &str) -> String {
    if host.is_ascii() {
        host.to_ascii_uppercase()
    } else {
        host.to_owned()
    }
}

fn place_without_site(number: usize, has_profile: bool, rng: &mut StdRng) -> Place {
    let country = [
        Country::UnitedStates,
        Country::UnitedKingdom,
        Country::Germany,
        Country::France,
        Country::Netherlands,
    ][rng.random_range(0..5)];
    let trades = country.trades();
    let trade = &trades[rng.random_range(0..trades.len())];
    let towns = country.towns();
    let town = &towns[rng.random_range(0..towns.len())];
    let name = country.business_name(
        trade,
        rng.random_range(0..1_000),
        rng.random_range(0..1_000),
    );
    let handle = slug(&name, false);
    let website = has_profile.then(|| match rng.random_range(0..4) {
        0 => format!("https://www.facebook.com/{handle}-{number}/"),
        1 => format!("https://m.facebook.com/{handle}.{number}"),
        2 => format!(
            "https://www.instagram.com/{}{number}",
            handle.replace('-', "")
        ),
        _ => format!("https://www.yelp.com/biz/{handle}-{number}"),
    });
    let business = Business {
        name,
        trade,
        country,
        town,
        address: invent_address(country, town, rng),
    };
    let telephone = town.telephone(rng);
    place(business, website, Some(telephone), rng)
}

struct Business {
    name: String,
    trade: &'static Trade,
    country: Country,
    town: &'static Town,
    address: Address,
}

struct Address {
    street: &'static str,
    house_number: u32,
    postcode: String,
}

fn invent_address(country: Country, town: &Town, rng: &mut StdRng) -> Address {
    let streets = country.phrases().streets;
    Address {
        street: streets[rng.random_range(0..streets.len())],
        house_number: rng.random_range(1..180),
        postcode: town.invent_postcode(rng),
    }
}

fn place(
    business: Business,
    website: Option<String>,
    telephone: Option<Telephone>,
    rng: &mut StdRng,
) -> Place {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let Business {
        name,
        trade,
        country,
        town,
        address:
            Address {
                street,
                house_number,
                postcode,
            },
    } = business;
    let tail: String = (0..23)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect();
    let location = match country {
        Country::UnitedStates => format!("{}, {}", town.name, town.region.1),
        Country::UnitedKingdom => format!("{}, UK", town.name),
        Country::Germany | Country::France | Country::Netherlands => {
            format!("{}, {}", town.name, country.name())
        }
    };
    let street_line = country.street_line(street, house_number);
    let house_number = house_number.to_string();
    let town_line = country.town_line(town, &postcode);
    let component = |long_name: &str, short_name: &str, types: &[&str]| AddressComponent {
        long_name: long_name.to_owned(),
        short_name: short_name.to_owned(),
        types: types.iter().map(|name| (*name).to_owned()).collect(),
    };
    let address_components = vec![
        component(&house_number, &house_number, &["street_number"]),
        component(street, street, &["route"]),
        component(town.name, town.name, &["locality", "political"]),
        component(
            town.region.0,
            town.region.1,
            &["administrative_area_level_1", "political"],
        ),
        component(country.name(), country.code(), &["country", "political"]),
        component(&postcode, &postcode, &["postal_code"]),
    ];
    Place {
        place_id: format!("ChIJ{tail}"),
        name,
        business_type: Some(trade.business_type.to_owned()),
        location: Some(location),
        website,
        formatted_address: Some(format!("{street_line}, {town_line}, {}", country.name())),
        vicinity: Some(format!("{street_line}, {}", town.name)),
        international_phone_number: telephone
            .as_ref()
            .map(|telephone| telephone.international.clone()),
        formatted_phone_number: telephone.map(|telephone| telephone.national),
        latitude: Some(town.latitude + offset(rng)),
        longitude: Some(town.longitude + offset(rng)),
        rating: Some(f64::from(rng.random_range(30..=50)) / 10.0),
        user_ratings_total: Some(rng.random_range(3..900)),
        price_level: (rng.random_range(0..3) > 0).then(|| rng.random_range(0..=4)),
        utc_offset: Some(country.utc_offset(town)),
        business_status: Some("OPERATIONAL".to_owned()),
        types: [trade.place_type, "point_of_interest", "establishment"]
            .map(str::to_owned)
            .to_vec(),
        address_components,
        opening_hours: (rng.random_range(0..5) > 0).then(|| opening_hours(country, rng)),
        is_gone: false,
    }
}

/// A few streets away from the middle of the town, in degrees.
fn offset(rng: &mut StdRng) -> f64 {
    f64::from(rng.random_range(-200..=200)) / 10_000.0
}

/// Opening hours as the API gives them: `weekday_text` starts on Monday, `periods` count days from Sunday.
fn opening_hours(country: Country, rng: &mut StdRng) -> Value {
    const DAYS: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let opens = rng.random_range(7..10);
    let closes = rng.random_range(16..20);
    let mut weekday_text = Vec::new();
    let mut periods = Vec::new();
    for (position, day) in DAYS.iter().enumerate() {
        let closes = match position {
            0..=4 => closes,
            5 => 13,
            _ => {
                weekday_text.push(format!("{day}: Closed"));
                continue;
            }
        };
        let hours = if country == Country::UnitedStates {
            format!(
                "{}\u{2009}\u{2013}\u{2009}{}",
                twelve_hours(opens),
                twelve_hours(closes)
            )
        } else {
            format!("{opens:02}:00\u{2013}{closes:02}:00")
        };
        weekday_text.push(format!("{day}: {hours}"));
        let day = (position + 1) % 7;
        periods.push(json!({
            "open": {"day": day, "time": format!("{opens:02}00")},
            "close": {"day": day, "time": format!("{closes:02}00")},
        }));
    }
    json!({"weekday_text": weekday_text, "periods": periods})
}

fn twelve_hours(hour: u32) -> String {
    let half = if hour < 12 { "AM" } else { "PM" };
    let shown = if hour > 12 { hour - 12 } else { hour };
    format!("{shown}:00\u{202f}{half}")
}

/// What a pipeline should find in these places and sites.
fn truth_of(places: &[Place], sites: &[Site]) -> Truth {
    let mut truth = Truth {
        businesses: places
            .iter()
            .filter(|place| !place.is_gone)
            .map(|place| PlantedBusiness {
                place_id: place.place_id.clone(),
                name: place.name.clone(),
                website: place.website.clone(),
            })
            .collect(),
        domains: sites.iter().map(|site| site.host.clone()).collect(),
        ..Truth::default()
    };
    truth.domains.sort();
    for site in sites {
        add_site(&mut truth, site);
    }
    truth
}

fn add_site(truth: &mut Truth, site: &Site) {
    let pair = |path: &str| (site.host.clone(), site.url(path));
    truth
        .sitemaps
        .extend(site.sitemaps.keys().map(|path| pair(path)));
    let listed: BTreeSet<&str> = site
        .listings()
        .map(|listing| listing.page.as_str())
        .collect();
    truth.pages.extend(listed.iter().map(|path| pair(path)));
    for (path, page) in &site.pages {
        if !listed.contains(path.as_str()) && !matches!(page.kind, PageKind::Redirect { .. }) {
            truth.optional_pages.push(pair(path));
        }
    }

    let mut required: BTreeMap<&str, PlantedContact> = BTreeMap::new();
    for path in &listed {
        let Some(page) = page_behind(site, path).filter(|_| !site.is_disallowed(path)) else {
            continue;
        };
        if page.kind != PageKind::Contact {
            continue;
        }
        for contact in &page.contacts {
            required
                .entry(&contact.value)
                .or_insert_with(|| planted(site, path, contact));
        }
        truth.decoys.extend(page.decoys.iter().map(|decoy| Decoy {
            host: site.host.clone(),
            value: decoy.value.clone(),
            what: decoy.kind.describe(),
        }));
    }
    let mut optional: HashSet<&str> = HashSet::new();
    for (path, page) in &site.pages {
        for contact in page.contacts.iter().chain(&page.fax) {
            if required.contains_key(contact.value.as_str()) {
                continue;
            }
            if site.is_disallowed(path) {
                truth.decoys.push(Decoy {
                    host: site.host.clone(),
                    value: contact.value.clone(),
                    what: "contact on a page that robots.txt disallows",
                });
            } else if optional.insert(&contact.value) {
                truth.optional_contacts.push(planted(site, path, contact));
            }
        }
    }
    truth.contacts.extend(required.into_values());
}

fn planted(site: &Site, path: &str, contact: &Planted) -> PlantedContact {
    PlantedContact {
        host: site.host.clone(),
        page_url: site.url(path),
        kind: contact.kind,
        value: contact.value.clone(),
        form: contact.form,
    }
}

/// The page a path leads to, over one move.
fn page_behind<'a>(site: &'a Site, path: &str) -> Option<&'a Page> {
    let page = site.pages.get(path)?;
    match &page.kind {
        PageKind::Redirect {
            status: 301 | 200,
            to,
        } => site
            .pages
            .iter()
            .find(|(path, _)| site.url(path) == *to)
            .map(|(_, page)| page),
        PageKind::Redirect { .. } => None,
        _ => Some(page),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demo::model::Form;

    #[test]
    fn sixty_places_have_every_kind() {
        for seed in 0..20 {
            let web = generate(seed, 60);
            let behaviours: BTreeSet<_> = web.sites.iter().map(|site| site.behaviour).collect();
            assert_eq!(behaviours.len(), 13, "{behaviours:?}");
            let sitemaps: BTreeSet<_> = web.sites.iter().map(|site| site.sitemap_form).collect();
            assert_eq!(sitemaps.len(), 12, "{sitemaps:?}");
            let forms: BTreeSet<Form> = web
                .truth
                .contacts
                .iter()
                .map(|contact| contact.form)
                .collect();
            assert_eq!(forms.len(), 12, "seed {seed}: {forms:?}");
            let decoys: BTreeSet<_> = web.truth.decoys.iter().map(|decoy| decoy.what).collect();
            assert_eq!(decoys.len(), 12, "seed {seed}: {decoys:?}");
            assert!(web.places.iter().any(|place| place.is_gone));
            assert!(
                web.places
                    .iter()
                    .any(|place| place.website.is_none() && !place.is_gone)
            );
            assert!(
                web.truth
                    .domains
                    .iter()
                    .any(|host| host.starts_with("xn--"))
            );
            assert_eq!(web.truth.domains.len(), web.sites.len());
        }
    }

    #[test]
    fn forty_places_have_every_behaviour_and_sitemap_form() {
        let web = generate(3, 40);
        let kinds: BTreeSet<_> = web
            .sites
            .iter()
            .map(|site| (site.behaviour, site.sitemap_form))
            .collect();
        assert_eq!(kinds.len(), ROUND.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn truth_has_no_item_twice_and_no_planted_decoy() {
        let web = generate(11, 300);
        let truth = &web.truth;
        let hosts: HashSet<_> = truth.domains.iter().collect();
        assert_eq!(hosts.len(), truth.domains.len());
        let pages: HashSet<_> = truth.pages.iter().collect();
        assert_eq!(pages.len(), truth.pages.len());
        let contacts: HashSet<_> = truth
            .contacts
            .iter()
            .map(|contact| (&contact.host, &contact.value))
            .collect();
        assert_eq!(contacts.len(), truth.contacts.len());
        for decoy in &truth.decoys {
            assert!(
                !contacts.contains(&(&decoy.host, &decoy.value)),
                "{decoy:?}"
            );
        }
        for (_, page) in &truth.pages {
            assert_eq!(url::Url::parse(page).expect("url").as_str(), page);
        }
        let places: HashSet<_> = web.places.iter().map(|place| &place.place_id).collect();
        assert_eq!(places.len(), web.places.len());
    }

    #[test]
    fn few_places_work() {
        for count in 0..12 {
            assert_eq!(generate(5, count).places.len(), count);
        }
    }
}
