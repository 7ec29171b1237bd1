//! What is planted on the demo's web, and how what was found compares with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use url::Url;

use super::model::{ContactKind, Form};

/// How many examples of missed and false items a [`Score`] keeps of each.
const EXAMPLES: usize = 25;

/// Everything that is planted and that a pipeline should find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// One per place that the Places API knows.
    pub businesses: Vec<PlantedBusiness>,
    /// Hosts of the businesses' own sites: lower case, ASCII, without a leading `www.`; sorted.
    pub domains: Vec<String>,
    /// Host and URL of everything that really is a sitemap.
    pub sitemaps: Vec<(String, String)>,
    /// Host and normalised URL of every page a sitemap lists.
    pub pages: Vec<(String, String)>,
    /// Contact details on the pages that the pipeline fetches by itself, one per host and value.
    pub contacts: Vec<PlantedContact>,
    /// Contact details that are really there but need not be found: on other pages, or telefax numbers.
    pub optional_contacts: Vec<PlantedContact>,
    /// Host and URL of real pages that no sitemap lists; finding them is no error.
    pub optional_pages: Vec<(String, String)>,
    /// What must not be taken for a contact detail.
    pub decoys: Vec<Decoy>,
}

/// A business the Places API knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlantedBusiness {
    /// The Places id.
    pub place_id: String,
    /// The name, for messages.
    pub name: String,
    /// The website exactly as the API gives it.
    pub website: Option<String>,
}

/// A contact detail on one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlantedContact {
    /// The host it belongs to, as in [`Truth::domains`].
    pub host: String,
    /// A listed URL that leads to it.
    pub page_url: String,
    /// What it is.
    pub kind: ContactKind,
    /// E-mail in lower case, telephone in E.164, or a profile's URL.
    pub value: String,
    /// How the page writes it.
    pub form: Form,
}

/// Something that looks like a contact detail and must not become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decoy {
    /// The host it stands on.
    pub host: String,
    /// The text.
    pub value: String,
    /// What it really is.
    pub what: &'static str,
}

/// What a pipeline found, read from its database by the caller.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Rows of `local_business`.
    pub businesses: Vec<FoundBusiness>,
    /// Hosts of `domain`.
    pub domains: Vec<String>,
    /// Host and URL of `sitemap_file`.
    pub sitemaps: Vec<(String, String)>,
    /// Host and URL of `page`.
    pub pages: Vec<(String, String)>,
    /// Rows of `contact`.
    pub contacts: Vec<FoundContact>,
}

/// A business that was found.
#[derive(Debug, Clone)]
pub struct FoundBusiness {
    /// The Places id.
    pub place_id: String,
    /// The website that was stored.
    pub website: Option<String>,
}

/// A contact detail that was found.
#[derive(Debug, Clone)]
pub struct FoundContact {
    /// The host it was stored under.
    pub host: String,
    /// The page it was found on.
    pub page_url: String,
    /// What it was taken for.
    pub kind: ContactKind,
    /// The value as stored.
    pub value: String,
}

/// Found, missed and false, in all and by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// How many items are planted.
    pub planted: usize,
    /// How many of them were found.
    pub found: usize,
    /// How many were not.
    pub missed: usize,
    /// How many found items are not planted, or were stored twice.
    pub r#false: usize,
    /// How many of the false ones are planted decoys.
    pub decoys_taken: usize,
    /// The same by `business`, `domain`, `sitemap`, `page`, `email`, `phone` and `social`.
    pub by_kind: BTreeMap<&'static str, KindScore>,
    /// Planted contact details by written form.
    pub by_form: BTreeMap<Form, KindScore>,
    /// Some missed items.
    pub missed_examples: Vec<String>,
    /// Some false items.
    pub false_examples: Vec<String>,
}

/// The counts of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindScore {
    /// Planted items.
    pub planted: usize,
    /// Planted and found.
    pub found: usize,
    /// Planted and not found.
    pub missed: usize,
    /// Found and not planted, or stored twice.
    pub r#false: usize,
}

impl Truth {
    /// Whether nothing is planted, as with saved sites.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.businesses.is_empty() && self.domains.is_empty() && self.pages.is_empty()
    }
}

/// Compares what was found with what is planted.
///
/// URLs count as the same whatever their scheme and a leading `www.`, because either spelling leads to the same page; a
/// second row for the same business, domain, sitemap or page is false. The same contact detail may stand on several
/// pages of its host and counts once. Without planted truth nothing is missed and nothing is false: `found` then counts
/// the rows.
#[must_use]
pub fn score(truth: &Truth, found: &Found) -> Score {
    let mut scorer = Scorer {
        judges: !truth.is_empty(),
        score: Score::default(),
    };

    let planted = truth.businesses.iter().map(|business| {
        Item::new(
            business_key(&business.place_id, business.website.as_deref()),
            &business.name,
        )
    });
    let seen = found.businesses.iter().map(|business| {
        Item::new(
            business_key(&business.place_id, business.website.as_deref()),
            format!("{} with website {:?}", business.place_id, business.website),
        )
    });
    scorer.compare("business", planted, &HashSet::new(), seen);

    let planted = truth
        .domains
        .iter()
        .map(|host| Item::new(host_key(host), host));
    let seen = found
        .domains
        .iter()
        .map(|host| Item::new(host_key(host), host));
    scorer.compare("domain", planted, &HashSet::new(), seen);

    let url_item = |(host, url): &(String, String)| {
        Item::new(
            format!("{} {}", host_key(host), url_key(url)),
            format!("{url} of {host}"),
        )
    };
    scorer.compare(
        "sitemap",
        truth.sitemaps.iter().map(url_item),
        &HashSet::new(),
        found.sitemaps.iter().map(url_item),
    );
    let optional: HashSet<String> = truth
        .optional_pages
        .iter()
        .map(|page| url_item(page).key)
        .collect();
    scorer.compare(
        "page",
        truth.pages.iter().map(url_item),
        &optional,
        found.pages.iter().map(url_item),
    );
    compare_contacts(&mut scorer, truth, found);
    scorer.score
}

fn compare_contacts(scorer: &mut Scorer, truth: &Truth, found: &Found) {
    let mut found_keys = HashSet::new();
    for (name, kind) in [
        ("email", ContactKind::Email),
        ("phone", ContactKind::Phone),
        ("social", ContactKind::Social),
    ] {
        let planted = truth
            .contacts
            .iter()
            .filter(|contact| contact.kind == kind)
            .map(|contact| {
                Item::new(
                    contact_key(&contact.host, kind, &contact.value),
                    format!(
                        "{} ({:?}) on {}",
                        contact.value, contact.form, contact.page_url
                    ),
                )
            });
        let optional: HashSet<String> = truth
            .optional_contacts
            .iter()
            .filter(|contact| contact.kind == kind)
            .map(|contact| contact_key(&contact.host, kind, &contact.value))
            .collect();
        let mut distinct: BTreeMap<String, Item> = BTreeMap::new();
        for contact in found.contacts.iter().filter(|contact| contact.kind == kind) {
            let key = contact_key(&contact.host, kind, &contact.value);
            let text = format!("{} on {}", contact.value, contact.page_url);
            distinct
                .entry(key.clone())
                .or_insert_with(|| Item::new(key, text));
        }
        found_keys.extend(distinct.keys().cloned());
        scorer.compare(name, planted, &optional, distinct.into_values());
    }
    if !scorer.judges {
        return;
    }
    for contact in &truth.contacts {
        let is_found =
            found_keys.contains(&contact_key(&contact.host, contact.kind, &contact.value));
        let counts = scorer.score.by_form.entry(contact.form).or_default();
        counts.planted += 1;
        counts.found += usize::from(is_found);
        counts.missed += usize::from(!is_found);
    }
    scorer.score.decoys_taken = count_decoys(truth, found);
}

/// Counts distinct found contacts that are decoys of their host.
fn count_decoys(truth: &Truth, found: &Found) -> usize {
    let mut by_host: HashMap<String, Vec<&Decoy>> = HashMap::new();
    for decoy in &truth.decoys {
        by_host
            .entry(host_key(&decoy.host))
            .or_default()
            .push(decoy);
    }
    let taken: BTreeSet<String> = found
        .contacts
        .iter()
        .filter(|contact| {
            by_host.get(&host_key(&contact.host)).is_some_and(|decoys| {
                decoys.iter().any(|decoy| {
                    value_key(contact.kind, &decoy.value) == value_key(contact.kind, &contact.value)
                })
            })
        })
        .map(|contact| contact_key(&contact.host, contact.kind, &contact.value))
        .collect();
    taken.len()
}

struct Item {
    key: String,
    text: String,
}

impl Item {
    fn new(key: String, text: impl Into<String>) -> Self {
        Self {
            key,
            text: text.into(),
        }
    }
}

struct Scorer {
    /// Whether there is a truth to judge by.
    judges: bool,
    score: Score,
}

impl Scorer {
    fn compare(
        &mut self,
        kind: &'static str,
        planted: impl Iterator<Item = Item>,
        optional: &HashSet<String>,
        found: impl Iterator<Item = Item>,
    ) {
        let planted: BTreeMap<String, String> = planted.map(|item| (item.key, item.text)).collect();
        let mut seen = HashSet::new();
        let mut counts = KindScore {
            planted: planted.len(),
            ..KindScore::default()
        };
        for item in found {
            let is_new = seen.insert(item.key.clone());
            if !self.judges || (is_new && planted.contains_key(&item.key)) {
                counts.found += 1;
            } else if !is_new || !optional.contains(&item.key) {
                counts.r#false += 1;
                let note = if is_new { "" } else { " (stored twice)" };
                keep_example(
                    &mut self.score.false_examples,
                    format!("{kind}: {}{note}", item.text),
                );
            }
        }
        for (key, text) in &planted {
            if !seen.contains(key) {
                counts.missed += 1;
                keep_example(&mut self.score.missed_examples, format!("{kind}: {text}"));
            }
        }
        self.score.planted += counts.planted;
        self.score.found += counts.found;
        self.score.missed += counts.missed;
        self.score.r#false += counts.r#false;
        self.score.by_kind.insert(kind, counts);
    }
}

fn keep_example(examples: &mut Vec<String>, example: String) {
    if examples.len() < EXAMPLES {
        examples.push(example);
    }
}

/// A business is the right one when its website is: a wrong website is one missed and one false business.
fn business_key(place_id: &str, website: Option<&str>) -> String {
    match website {
        None => place_id.to_owned(),
        Some(website) => match Url::parse(website.trim()) {
            Ok(url) => format!("{place_id} {url}"),
            Err(_not_a_url) => format!("{place_id} {}", website.trim()),
        },
    }
}

fn host_key(host: &str) -> String {
    let lower = host.trim().to_lowercase();
    lower.strip_prefix("www.").unwrap_or(&lower).to_owned()
}

/// A page is stored as it is listed first; the sites list it with its parameters in one order here and in another there.
fn url_key(text: &str) -> String {
    let Ok(url) = Url::parse(text.trim()) else {
        return text.trim().to_owned();
    };
    let host = host_key(url.host_str().unwrap_or_default());
    let query = url
        .query()
        .map(|query| {
            let mut parameters: Vec<&str> = query.split('&').collect();
            parameters.sort_unstable();
            format!("?{}", parameters.join("&"))
        })
        .unwrap_or_default();
    let fragment = url
        .fragment()
        .map(|fragment| format!("#{fragment}"))
        .unwrap_or_default();
    format!("{host}{}{query}{fragment}", url.path())
}

fn contact_key(host: &str, kind: ContactKind, value: &str) -> String {
    format!("{} {}", host_key(host), value_key(kind, value))
}

fn value_key(kind: ContactKind, value: &str) -> String {
    match kind {
        ContactKind::Email => value.trim().to_lowercase(),
        ContactKind::Phone => value
            .chars()
            .filter(|letter| *letter == '+' || letter.is_ascii_digit())
            .collect(),
        ContactKind::Social => social_key(value),
    }
}

/// The same profile has many spellings: scheme, `www.`, `m.`, a trailing slash, and X's former name.
fn social_key(value: &str) -> String {
    let Ok(url) = Url::parse(value.trim()) else {
        return value.trim().to_lowercase();
    };
    let host = url.host_str().unwrap_or_default().to_lowercase();
    let host = ["www.", "m.", "mobile."]
        .iter()
        .find_map(|prefix| host.strip_prefix(prefix))
        .unwrap_or(&host);
    let host = if host == "twitter.com" { "x.com" } else { host };
    format!("{host}{}", url.path().trim_end_matches('/').to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        let contact = |kind, value: &str| PlantedContact {
            host: "one.test".to_owned(),
            page_url: "http://one.test/contact".to_owned(),
            kind,
            value: value.to_owned(),
            form: Form::Plain,
        };
        Truth {
            businesses: vec![
                PlantedBusiness {
                    place_id: "a".to_owned(),
                    name: "A".to_owned(),
                    website: Some("http://WWW.One.test".to_owned()),
                },
                PlantedBusiness {
                    place_id: "b".to_owned(),
                    name: "B".to_owned(),
                    website: None,
                },
            ],
            domains: vec!["one.test".to_owned()],
            sitemaps: vec![(
                "one.test".to_owned(),
                "http://one.test/sitemap.xml".to_owned(),
            )],
            pages: vec![("one.test".to_owned(), "http://one.test/contact".to_owned())],
            contacts: vec![
                contact(ContactKind::Email, "info@one.test"),
                contact(ContactKind::Phone, "+12126621234"),
                contact(ContactKind::Social, "https://x.com/one"),
            ],
            optional_contacts: vec![contact(ContactKind::Phone, "+12126629999")],
            optional_pages: vec![("one.test".to_owned(), "http://one.test/hidden".to_owned())],
            decoys: vec![Decoy {
                host: "one.test".to_owned(),
                value: "logo@2x.png".to_owned(),
                what: "image name",
            }],
        }
    }

    fn contact(kind: ContactKind, value: &str) -> FoundContact {
        FoundContact {
            host: "www.one.test".to_owned(),
            page_url: "http://one.test/contact".to_owned(),
            kind,
            value: value.to_owned(),
        }
    }

    fn perfect() -> Found {
        let pair = |url: &str| ("one.test".to_owned(), url.to_owned());
        Found {
            businesses: vec![
                FoundBusiness {
                    place_id: "a".to_owned(),
                    website: Some("http://www.one.test/".to_owned()),
                },
                FoundBusiness {
                    place_id: "b".to_owned(),
                    website: None,
                },
            ],
            domains: vec!["one.test".to_owned()],
            sitemaps: vec![pair("http://www.one.test/sitemap.xml")],
            pages: vec![
                pair("http://one.test/contact"),
                pair("http://one.test/hidden"),
            ],
            contacts: vec![
                contact(ContactKind::Email, "Info@one.test"),
                contact(ContactKind::Email, "info@one.test"),
                contact(ContactKind::Phone, "+1 212-662-1234"),
                contact(ContactKind::Phone, "+12126629999"),
                contact(ContactKind::Social, "https://www.twitter.com/One/"),
            ],
        }
    }

    #[test]
    fn perfect_input_has_nothing_missed_and_nothing_false() {
        let score = score(&truth(), &perfect());
        assert_eq!(
            (score.planted, score.found, score.missed, score.r#false),
            (8, 8, 0, 0),
            "{score:?}"
        );
        assert_eq!(score.by_form[&Form::Plain].found, 3);
    }

    #[test]
    fn empty_input_misses_everything() {
        let score = score(&truth(), &Found::default());
        assert_eq!(
            (score.planted, score.found, score.missed, score.r#false),
            (8, 0, 8, 0)
        );
        assert_eq!(score.missed_examples.len(), 8);
    }

    #[test]
    fn extra_and_repeated_items_are_false() {
        let mut found = perfect();
        found.businesses[0].website = None;
        found.domains.push("facebook.com".to_owned());
        found.pages.push(found.pages[0].clone());
        found
            .contacts
            .push(contact(ContactKind::Email, "logo@2x.png"));
        let score = score(&truth(), &found);
        assert_eq!(
            (score.found, score.missed, score.r#false),
            (7, 1, 4),
            "{score:?}"
        );
        assert_eq!(score.decoys_taken, 1);
        assert!(
            score
                .false_examples
                .iter()
                .any(|text| text.ends_with("(stored twice)"))
        );
    }

    #[test]
    fn without_truth_found_counts_rows() {
        let score = score(&Truth::default(), &perfect());
        assert_eq!((score.planted, score.missed, score.r#false), (0, 0, 0));
        assert_eq!(score.found, 10);
    }
}
