//! Which results may be recorded: the rules, in the order in which they are asked. Pure.
//!
//! What the price is compared with, and whether it jumps, is `timeline`'s to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use gleaner_extract::domain::registrable;
use gleaner_extract::price::Amount;

use crate::settings::{Options, Problem};

/// The source whose prices carry a confidence worth asking for: a model's reading of the page's text.
const ML: &str = "html_ml";
/// Longest part of a value from outside that a reason repeats, in characters.
const SHOWN: usize = 80;

/// The rules, as configured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Whether anything is recorded.
    pub enabled: bool,
    /// Sources of which one must have given the price; empty for any.
    pub allowed_sources: Vec<String>,
    /// Least confidence of a price that only the model gives, 0 to 1.
    pub min_confidence: f64,
    /// Whether offers that are not in stock are refused.
    pub require_in_stock: bool,
    /// Sites whose prices are recorded, by registrable domain; empty for all.
    pub allowed_domains: Vec<String>,
    /// Currencies that are recorded; empty for all.
    pub currency_whitelist: Vec<String>,
    /// A price that differs by more than this, in percent, is held until a later result confirms it; 0 for never.
    pub max_change_percent: f64,
    /// Rules that are other for a site, by registrable domain.
    pub sites: BTreeMap<String, SiteRules>,
    /// How soon a page is crawled again whose price is held.
    #[serde(with = "humantime_serde")]
    pub second_look: Duration,
    /// How long after it has failed for good a result is tried again by itself, doubled each time; zero for never.
    #[serde(with = "humantime_serde")]
    pub revive_after: Duration,
    /// How often that is done for one result.
    pub revive_times: u8,
}

/// Rules of one site: what is named here is other there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteRules {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_sources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_in_stock: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_change_percent: Option<f64>,
}

/// What is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Registrable domain of the site.
    pub domain: String,
    /// Currency of the site's prices that name none.
    pub site_currency: Option<String>,
    /// The price as the database writes it.
    pub price: Option<String>,
    /// Its currency, if it was told.
    pub currency: Option<String>,
    /// Availability, if it was told.
    pub availability: Option<String>,
    /// The same as yes or no, if it was told.
    pub in_stock: Option<bool>,
    /// Where the price was found.
    pub sources: Vec<String>,
    /// The model's confidence, if it was told.
    pub ml_confidence: Option<f64>,
    /// Confidence in the price, if it was told.
    pub confidence: Option<f64>,
}

/// What is recorded of a candidate that passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub price: Amount,
    pub currency: String,
}

impl Candidate {
    /// Availability in a word: told, or by the yes or no.
    #[must_use]
    pub fn availability(&self) -> Option<&str> {
        let told = self.availability.as_deref();
        told.or_else(|| {
            Some(if self.in_stock? {
                "InStock"
            } else {
                "OutOfStock"
            })
        })
    }

    /// Whether it can be bought: told, or by the word. Something that can be ordered ahead can.
    #[must_use]
    pub fn is_available(&self) -> Option<bool> {
        self.in_stock.or_else(|| {
            let word = self.availability.as_deref()?;
            Some(matches!(
                word,
                "InStock" | "LimitedAvailability" | "PreOrder"
            ))
        })
    }

    /// The currency, told or the site's; never guessed.
    #[must_use]
    pub fn currency(&self) -> Option<&str> {
        self.currency.as_deref().or(self.site_currency.as_deref())
    }

    /// The price as a number; nothing for one that is missing, negative or none.
    #[must_use]
    pub fn amount(&self) -> Option<Amount> {
        self.price.as_deref()?.parse().ok()
    }

    /// The price and currency, whatever the rules say.
    #[must_use]
    pub fn offer(&self) -> Option<Offer> {
        Some(Offer {
            price: self.amount().filter(|price| !price.is_zero())?,
            currency: self.currency()?.to_owned(),
        })
    }
}

impl Rules {
    /// The rules as they are for this site.
    #[must_use]
    pub fn of_site(&self, domain: &str) -> std::borrow::Cow<'_, Self> {
        let own = self
            .sites
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(domain));
        let Some((_, own)) = own else {
            return std::borrow::Cow::Borrowed(self);
        };
        let mut rules = self.clone();
        rules.enabled = own.enabled.unwrap_or(rules.enabled);
        rules.min_confidence = own.min_confidence.unwrap_or(rules.min_confidence);
        rules.require_in_stock = own.require_in_stock.unwrap_or(rules.require_in_stock);
        rules.max_change_percent = own.max_change_percent.unwrap_or(rules.max_change_percent);
        if let Some(sources) = &own.allowed_sources {
            rules.allowed_sources.clone_from(sources);
        }
        std::borrow::Cow::Owned(rules)
    }

    /// Judges: the offer, or the reason of the first rule that refuses it.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn judge(&self, candidate: &Candidate) -> Result<Offer, String> {
        let refused = RULES
            .iter()
            .find_map(|rule| (rule.refuses)(self, candidate));
        match (refused, candidate.offer()) {
            (None, Some(offer)) => Ok(offer),
            (Some(reason), _) => Err(reason),
            (None, None) => Err("no price".to_owned()),
        }
    }

    /// What every rule says, in order; those after the first that refuses would not have been asked.
    #[must_use]
    pub fn explain(&self, candidate: &Candidate) -> Vec<Finding> {
        let mut is_refused = false;
        RULES
            .iter()
            .map(|rule| {
                let demands = (rule.demands)(self);
                let refused = (rule.refuses)(self, candidate);
                let outcome = match (&demands, &refused) {
                    _ if is_refused => Ruling::NotAsked,
                    (None, _) => Ruling::Off,
                    (Some(_), None) => Ruling::Passes,
                    (Some(_), Some(_)) => Ruling::Refuses,
                };
                is_refused |= outcome == Ruling::Refuses;
                Finding {
                    rule: rule.name,
                    outcome,
                    demands,
                    sees: (rule.sees)(candidate),
                }
            })
            .collect()
    }
}

impl Options for Rules {
    fn check(&self) -> Result<(), Problem> {
        let sites = self.sites.iter().map(|(domain, own)| {
            // What is no domain may be anything, a secret in a wrong place too.
            let named = registrable(domain).map_or("…", |_| domain.as_str());
            let key = |name: &str| format!("sites.\"{named}\".{name}");
            [
                (
                    key("min_confidence"),
                    own.min_confidence.unwrap_or(0.0),
                    1.0,
                ),
                (
                    key("max_change_percent"),
                    own.max_change_percent.unwrap_or(0.0),
                    f64::MAX,
                ),
            ]
        });
        let all = [
            ("min_confidence".to_owned(), self.min_confidence, 1.0),
            (
                "max_change_percent".to_owned(),
                self.max_change_percent,
                f64::MAX,
            ),
        ];
        for (key, value, most) in std::iter::once(all).chain(sites).flatten() {
            if !(0.0..=most).contains(&value) {
                let right = if most > 1.0 {
                    "must be 0 or more"
                } else {
                    "must be from 0 to 1"
                };
                return Err((key, right.to_owned()));
            }
        }
        Ok(())
    }
}

/// How a rule came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Nothing against it.
    Passes,
    /// This is why it is not recorded.
    Refuses,
    /// Switched off, or empty.
    Off,
    /// A rule before it has refused.
    NotAsked,
}

/// What one rule says of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule: its configuration key, where it has one.
    pub rule: &'static str,
    /// How it came out.
    pub outcome: Ruling,
    /// What it demands; `None` when it is off.
    pub demands: Option<String>,
    pub sees: String,
}

struct Rule {
    name: &'static str,
    /// What it demands; `None` when it is off.
    demands: fn(&Rules) -> Option<String>,
    /// What it looks at, for people.
    sees: fn(&Candidate) -> String,
    /// The reason, if it refuses.
    refuses: fn(&Rules, &Candidate) -> Option<String>,
}

/// All of them, in the order in which operators know them.
const RULES: [Rule; 10] = [
    Rule {
        name: "enabled",
        demands: |_| Some("true".to_owned()),
        sees: |candidate| format!("site {}", shown(&candidate.domain)),
        refuses: |rules, _| {
            (!rules.enabled).then(|| "auto-record is switched off in the configuration".to_owned())
        },
    },
    Rule {
        name: "require_in_stock",
        demands: |rules| rules.require_in_stock.then(|| "in stock".to_owned()),
        sees: |candidate| candidate.availability().unwrap_or("not told").to_owned(),
        refuses: |rules, candidate| {
            (rules.require_in_stock && candidate.is_available() != Some(true))
                .then(|| "product not in stock".to_owned())
        },
    },
    Rule {
        name: "currency_whitelist",
        demands: |rules| list(&rules.currency_whitelist),
        sees: |candidate| candidate.currency().unwrap_or("none").to_owned(),
        refuses: |rules, candidate| {
            let currency = candidate.currency().unwrap_or("none");
            (!admits(&rules.currency_whitelist, currency))
                .then(|| format!("currency {} not in whitelist", shown(currency)))
        },
    },
    Rule {
        name: "allowed_domains",
        demands: |rules| list(&rules.allowed_domains),
        sees: |candidate| shown(&candidate.domain),
        refuses: |rules, candidate| {
            (!admits(&rules.allowed_domains, &candidate.domain))
                .then(|| format!("domain {} not in whitelist", shown(&candidate.domain)))
        },
    },
    Rule {
        name: "price_sources",
        demands: |_| Some("at least one".to_owned()),
        sees: |candidate| several(&candidate.sources),
        refuses: |_, candidate| {
            candidate
                .sources
                .is_empty()
                .then(|| "no price sources in parsed data".to_owned())
        },
    },
    Rule {
        name: "allowed_sources",
        demands: |rules| list(&rules.allowed_sources),
        sees: |candidate| several(&candidate.sources),
        refuses: |rules, candidate| {
            deciding(rules, candidate).next().is_none().then(|| {
                format!(
                    "sources {} not in allowed {}",
                    several(&candidate.sources),
                    several(&rules.allowed_sources)
                )
            })
        },
    },
    Rule {
        name: "min_confidence",
        demands: |rules| {
            (rules.min_confidence > 0.0)
                .then(|| format!("{:.2} where {ML} alone decides", rules.min_confidence))
        },
        sees: |candidate| match candidate.ml_confidence {
            Some(confidence) => format!("{confidence:.2}"),
            None => "not told".to_owned(),
        },
        refuses: |rules, candidate| {
            let confidence = candidate.ml_confidence.unwrap_or(0.0);
            let decides = deciding(rules, candidate).all(|source| source == ML);
            // A confidence that is no number is below everything.
            let is_enough = confidence >= rules.min_confidence;
            (decides && !is_enough).then(|| {
                format!(
                    "ML confidence {confidence:.2} < {:.2}",
                    rules.min_confidence
                )
            })
        },
    },
    Rule {
        name: "price",
        demands: |_| Some("a price".to_owned()),
        sees: |candidate| shown(candidate.price.as_deref().unwrap_or("none")),
        refuses: |_, candidate| {
            candidate
                .price
                .is_none()
                .then(|| "price is None".to_owned())
        },
    },
    Rule {
        name: "price above zero",
        demands: |_| Some("more than 0".to_owned()),
        sees: |candidate| shown(candidate.price.as_deref().unwrap_or("none")),
        refuses: |_, candidate| {
            let price = candidate.price.as_deref()?;
            let is_positive = candidate.amount().is_some_and(|amount| !amount.is_zero());
            (!is_positive).then(|| format!("price {} <= 0", shown(price)))
        },
    },
    Rule {
        name: "currency",
        demands: |_| Some("told by the page or by the site's row".to_owned()),
        sees: |candidate| candidate.currency().unwrap_or("none").to_owned(),
        refuses: |_, candidate| {
            candidate.currency().is_none().then(|| {
                "currency unknown: the page does not tell it, and site.currency is empty".to_owned()
            })
        },
    },
];

/// The sources that may decide: those of the candidate that are allowed.
fn deciding<'a>(rules: &'a Rules, candidate: &'a Candidate) -> impl Iterator<Item = &'a str> {
    candidate
        .sources
        .iter()
        .map(String::as_str)
        .filter(|source| admits(&rules.allowed_sources, source))
}

/// The source that the history names: the first that may decide.
#[must_use]
pub fn method(rules: &Rules, candidate: &Candidate) -> Option<String> {
    deciding(rules, candidate).next().map(shown)
}

/// Whether a list names a word, in any case. An empty list names every word.
fn admits(list: &[String], word: &str) -> bool {
    list.is_empty()
        || list
            .iter()
            .any(|listed| listed.trim().eq_ignore_ascii_case(word.trim()))
}

fn list(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| format!("one of {}", several(words)))
}

fn several(words: &[String]) -> String {
    let unique: BTreeSet<&str> = words.iter().map(String::as_str).collect();
    let text = unique.into_iter().collect::<Vec<_>>().join(", ");
    format!("[{}]", shown(&text))
}

/// A text from outside, short.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            enabled: true,
            allowed_sources: words("jsonld og html_ml"),
            min_confidence: 0.85,
            require_in_stock: false,
            allowed_domains: Vec::new(),
            currency_whitelist: Vec::new(),
            max_change_percent: 50.0,
            sites: BTreeMap::new(),
            second_look: Duration::from_secs(600),
            revive_after: Duration::ZERO,
            revive_times: 3,
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn candidate() -> Candidate {
        Candidate {
            domain: "shop.example".to_owned(),
            price: Some("1299.00".to_owned()),
            currency: Some("NOK".to_owned()),
            sources: words("jsonld"),
            ..Candidate::default()
        }
    }

    /// `""` for a candidate that passes, else what the reason has to say.
    fn check(
        what: &str,
        expected: &str,
        change_rules: impl FnOnce(&mut Rules),
        change: impl FnOnce(&mut Candidate),
    ) {
        let (mut rules, mut candidate) = (rules(), candidate());
        change_rules(&mut rules);
        change(&mut candidate);
        let judged = rules.judge(&candidate).err().unwrap_or_default();
        assert_eq!(judged.is_empty(), expected.is_empty(), "{what}: {judged}");
        assert!(judged.contains(expected), "{what}: {judged}");
        let refusing: Vec<Finding> = rules
            .explain(&candidate)
            .into_iter()
            .filter(|finding| finding.outcome == Ruling::Refuses)
            .collect();
        assert_eq!(
            refusing.len(),
            usize::from(!expected.is_empty()),
            "{what}: {refusing:?}"
        );
    }

    #[test]
    fn every_rule_refuses_with_its_reason() {
        let any = |_: &mut Candidate| ();
        check("as it is", "", |_| (), any);
        check("switched off", "switched off", |r| r.enabled = false, any);
        check(
            "stock asked, not told",
            "not in stock",
            |r| r.require_in_stock = true,
            any,
        );
        check(
            "out of stock",
            "not in stock",
            |r| r.require_in_stock = true,
            |c| c.in_stock = Some(false),
        );
        check(
            "in stock",
            "",
            |r| r.require_in_stock = true,
            |c| c.in_stock = Some(true),
        );
        check(
            "in stock by the word",
            "",
            |r| r.require_in_stock = true,
            |c| c.availability = Some("LimitedAvailability".to_owned()),
        );
        check(
            "other currency",
            "currency NOK not in whitelist",
            |r| r.currency_whitelist = words("EUR USD"),
            any,
        );
        check(
            "currency in any case",
            "",
            |r| r.currency_whitelist = words("nok"),
            any,
        );
        check(
            "other domain",
            "domain shop.example not in whitelist",
            |r| r.allowed_domains = words("example.com"),
            any,
        );
        check(
            "domain in any case",
            "",
            |r| r.allowed_domains = words("Shop.Example"),
            any,
        );
        check(
            "no sources",
            "no price sources",
            |_| (),
            |c| c.sources.clear(),
        );
        check(
            "foreign source",
            "sources [css] not in allowed [html_ml, jsonld, og]",
            |_| (),
            |c| c.sources = words("css"),
        );
        check(
            "any source",
            "",
            |r| r.allowed_sources.clear(),
            |c| c.sources = words("css"),
        );
        check("no price", "price is None", |_| (), |c| c.price = None);
        check(
            "price 0",
            "price 0.00 <= 0",
            |_| (),
            |c| c.price = Some("0.00".to_owned()),
        );
        check(
            "negative price",
            "price -10.00 <= 0",
            |_| (),
            |c| c.price = Some("-10.00".to_owned()),
        );
        check(
            "infinite price",
            "price -Infinity <= 0",
            |_| (),
            |c| c.price = Some("-Infinity".to_owned()),
        );
    }

    #[test]
    fn availability_is_told_by_word_or_by_yes_and_no() {
        let cases = [
            (Some("PreOrder"), None, Some("PreOrder"), Some(true)),
            (Some("OutOfStock"), None, Some("OutOfStock"), Some(false)),
            (Some("InStock"), Some(false), Some("InStock"), Some(false)),
            (None, Some(true), Some("InStock"), Some(true)),
            (None, Some(false), Some("OutOfStock"), Some(false)),
            (None, None, None, None),
        ];
        for (word, in_stock, availability, is_available) in cases {
            let candidate = Candidate {
                availability: word.map(str::to_owned),
                in_stock,
                ..candidate()
            };
            assert_eq!(
                candidate.availability(),
                availability,
                "{word:?} {in_stock:?}"
            );
            assert_eq!(
                candidate.is_available(),
                is_available,
                "{word:?} {in_stock:?}"
            );
        }
    }

    /// W-32: 0 is 0, not the default.
    #[test]
    fn w32_a_confidence_of_zero_is_zero() {
        check(
            "ML without confidence",
            "ML confidence 0.00 < 0.85",
            |_| (),
            |c| c.sources = words("html_ml"),
        );
        check(
            "the same, at 0",
            "",
            |r| r.min_confidence = 0.0,
            |c| c.sources = words("html_ml"),
        );
    }

    /// W-33: a weak model does not veto a price that stands in the page's data.
    #[test]
    fn w33_confidence_is_asked_only_where_the_model_alone_decides() {
        let weak = |sources: &'static str| {
            move |c: &mut Candidate| {
                c.sources = words(sources);
                c.ml_confidence = Some(0.2);
            }
        };
        check(
            "structured data beside it",
            "",
            |_| (),
            weak("jsonld html_ml"),
        );
        check(
            "alone",
            "ML confidence 0.20 < 0.85",
            |_| (),
            weak("html_ml"),
        );
        check(
            "alone of those allowed",
            "0.20 < 0.85",
            |r| r.allowed_sources = words("html_ml"),
            weak("jsonld html_ml"),
        );
        let at = |confidence| {
            move |c: &mut Candidate| {
                c.sources = words("html_ml");
                c.ml_confidence = Some(confidence);
            }
        };
        check("at the threshold", "", |_| (), at(0.85));
        check("no number", "< 0.85", |_| (), at(f64::NAN));
    }

    /// W-36: neither side guesses a currency.
    #[test]
    fn w36_an_unknown_currency_is_no_currency() {
        check("unknown", "currency unknown", |_| (), |c| c.currency = None);
        check(
            "the site's",
            "",
            |_| (),
            |c| {
                c.currency = None;
                c.site_currency = Some("SEK".to_owned());
            },
        );
    }

    #[test]
    fn the_first_refusal_decides_and_the_rest_is_not_asked() {
        let rules = Rules {
            require_in_stock: true,
            ..rules()
        };
        let candidate = Candidate {
            price: None,
            ..candidate()
        };
        assert_eq!(
            rules.judge(&candidate),
            Err("product not in stock".to_owned())
        );
        let outcomes: Vec<Ruling> = rules
            .explain(&candidate)
            .iter()
            .map(|finding| finding.outcome)
            .collect();
        assert_eq!(outcomes[..2], [Ruling::Passes, Ruling::Refuses]);
        assert!(
            outcomes[2..]
                .iter()
                .all(|&outcome| outcome == Ruling::NotAsked)
        );
    }

    /// W-37: rules of one site.
    #[test]
    fn w37_a_site_may_have_rules_of_its_own() {
        let mut rules = rules();
        let own = SiteRules {
            min_confidence: Some(0.1),
            ..SiteRules::default()
        };
        rules.sites.insert("Shop.example".to_owned(), own);
        assert!((rules.of_site("shop.example").min_confidence - 0.1).abs() < 1e-9);
        assert!((rules.of_site("other.example").min_confidence - 0.85).abs() < 1e-9);
        assert!((rules.of_site("shop.example").max_change_percent - 50.0).abs() < 1e-9);
        assert!(rules.check().is_ok());
        rules.max_change_percent = -1.0;
        assert!(rules.check().is_err());
    }

    /// W-8: a reason is short, however long what it speaks of.
    #[test]
    fn w8_reasons_are_short() {
        let mut candidate = candidate();
        candidate.sources = (0..5_000).map(|n| format!("source-{n}")).collect();
        let reason = rules().judge(&candidate).expect_err("no such sources");
        assert!(reason.len() < 300, "{}", reason.len());
    }
}
