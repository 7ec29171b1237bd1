//! Telegram's login: fields about a person, signed with the token of a bot.
//!
//! Source: <https://core.telegram.org/widgets/login#checking-authorization>: all fields but `hash`, sorted, as lines `name=value`;
//! HMAC-SHA256 of these under the SHA-256 of the token.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::{Disbelief, Fields, IdentityProvider, Person};
use crate::documents::config::bot_of;
use crate::documents::session::unhex;

/// How long what was signed is believed, in seconds.
const BELIEVED: i64 = 24 * 3_600;
/// How far its clock may be ahead of ours, in seconds.
const CLOCK_SKEW: i64 = 60;
/// More fields than it has ever sent.
const MOST_FIELDS: usize = 20;
/// Longest value, in bytes.
const LONGEST_VALUE: usize = 1_024;
/// What is kept of a person.
const PROFILE: [&str; 4] = ["first_name", "last_name", "username", "photo_url"];

/// Telegram, by way of one bot.
pub(super) struct Telegram {
    bot: String,
    /// SHA-256 of the bot's token.
    key: [u8; 32],
}

impl Telegram {
    /// With this token; none if it is no token.
    pub(super) fn new(token: &str) -> Option<Self> {
        Some(Self {
            bot: bot_of(token)?.to_owned(),
            key: Sha256::digest(token.as_bytes()).into(),
        })
    }

    fn is_signed(&self, fields: &Fields, hash: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return false;
        };
        let signed = fields.iter().filter(|(name, _)| *name != "hash");
        for (at, (name, value)) in signed.enumerate() {
            let line = format!("{}{name}={value}", if at == 0 { "" } else { "\n" });
            mac.update(line.as_bytes());
        }
        // In constant time.
        mac.verify_slice(hash).is_ok()
    }
}

/// Whether a field can be read in one way only once it is a line among others.
fn is_plain(name: &str, value: &str) -> bool {
    let is_name = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_name && value.len() <= LONGEST_VALUE && !value.chars().any(char::is_control)
}

impl IdentityProvider for Telegram {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn address(&self, origin: &str, back: &str) -> String {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("bot_id", &self.bot)
            .append_pair("origin", origin)
            .append_pair("return_to", back)
            .finish();
        format!("https://oauth.telegram.org/auth?{query}")
    }

    fn judge(&self, fields: &Fields, now: i64) -> Result<Person, Disbelief> {
        let is_plain = fields.iter().all(|(name, value)| is_plain(name, value));
        if fields.len() > MOST_FIELDS || !is_plain {
            return Err(Disbelief::Malformed);
        }
        let field = |name: &str| fields.get(name).ok_or(Disbelief::Malformed);
        let hash = unhex(field("hash")?).ok_or(Disbelief::Malformed)?;
        let id: u64 = field("id")?
            .parse()
            .map_err(|_error| Disbelief::Malformed)?;
        let signed_at: i64 = field("auth_date")?
            .parse()
            .map_err(|_error| Disbelief::Malformed)?;
        if !self.is_signed(fields, &hash) {
            return Err(Disbelief::Unsigned);
        }
        let age = now.saturating_sub(signed_at);
        if !(-CLOCK_SKEW..=BELIEVED).contains(&age) {
            return Err(Disbelief::Stale);
        }
        let known = PROFILE.iter().filter_map(|name| {
            let value = fields.get(*name)?;
            Some(((*name).to_owned(), Value::from(value.as_str())))
        });
        Ok(Person {
            subject: id.to_string(),
            profile: Value::Object(known.collect::<Map<_, _>>()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "123456:test-token";
    const NOW: i64 = 1_800_000_000;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    /// As Telegram would sign it: written apart from what is tested.
    fn signed(token: &str, pairs: &[(&str, &str)]) -> Fields {
        let mut fields = fields(pairs);
        let lines: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let key = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_ref());
        let tag = ring::hmac::sign(&key, lines.join("\n").as_bytes());
        let hash = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
        fields.insert("hash".to_owned(), hash.collect());
        fields
    }

    fn judge(fields: &Fields) -> Result<Person, Disbelief> {
        let telegram = Telegram::new(TOKEN).unwrap();
        telegram.judge(fields, NOW)
    }

    fn at(age: i64) -> String {
        (NOW - age).to_string()
    }

    #[test]
    fn who_telegram_speaks_of_is_known() {
        let now = at(0);
        let person = judge(&signed(
            TOKEN,
            &[
                ("id", "42"),
                ("first_name", "Ada Ünal"),
                ("username", "ada"),
                ("auth_date", &now),
                ("something_new", "x"),
            ],
        ));
        let profile = json!({ "first_name": "Ada Ünal", "username": "ada" });
        let subject = "42".to_owned();
        assert_eq!(person, Ok(Person { subject, profile }));
    }

    #[test]
    fn what_is_old_or_yet_to_come_is_not_believed() {
        for (age, expected) in [
            (-61, Some(Disbelief::Stale)),
            (-60, None),
            (BELIEVED, None),
            (BELIEVED + 1, Some(Disbelief::Stale)),
            // A signature of 2001.
            (NOW - 1_000_000_000, Some(Disbelief::Stale)),
        ] {
            let fields = signed(TOKEN, &[("id", "42"), ("auth_date", &at(age))]);
            assert_eq!(judge(&fields).err(), expected, "{age}");
        }
    }

    #[test]
    fn what_telegram_has_not_signed_is_not_believed() {
        let now = at(0);
        let good = signed(TOKEN, &[("id", "42"), ("auth_date", &now)]);
        assert!(judge(&good).is_ok());
        for (name, value) in [
            ("id", "43"),
            ("auth_date", &at(1)),
            ("username", "ada"),
            ("hash", "00"),
            ("hash", ""),
            ("hash", &"0".repeat(64)),
        ] {
            let mut changed = good.clone();
            changed.insert(name.to_owned(), value.to_owned());
            assert_eq!(judge(&changed), Err(Disbelief::Unsigned), "{name}={value}");
        }
        let other = signed("123456:other", &[("id", "42"), ("auth_date", &now)]);
        assert_eq!(judge(&other), Err(Disbelief::Unsigned));
    }

    #[test]
    fn fields_are_read_in_one_way_only() {
        let now = at(0);
        let long = "x".repeat(LONGEST_VALUE + 1);
        for pairs in [
            &[("auth_date", now.as_str())][..],
            &[("id", "42")],
            &[("id", "42\nid=43"), ("auth_date", &now)],
            &[("id", "-1"), ("auth_date", &now)],
            &[("id", "42"), ("auth_date", "1e9")],
            &[
                ("id", "42"),
                ("auth_date", &now),
                ("first_name", "a\nid=43"),
            ],
            &[("id", "42"), ("auth_date", &now), ("a=b", "c")],
            &[("id", "42"), ("auth_date", &now), ("", "c")],
            &[("id", "42"), ("auth_date", &now), ("first_name", &long)],
        ] {
            assert_eq!(
                judge(&signed(TOKEN, pairs)),
                Err(Disbelief::Malformed),
                "{pairs:?}"
            );
        }
        let mut many = signed(TOKEN, &[("id", "42"), ("auth_date", &now)]);
        many.extend((0..MOST_FIELDS).map(|at| (format!("f{at}"), String::new())));
        assert_eq!(judge(&many), Err(Disbelief::Malformed));
        let mut without = signed(TOKEN, &[("id", "42"), ("auth_date", &now)]);
        without.remove("hash");
        assert_eq!(judge(&without), Err(Disbelief::Malformed));
        without.insert("hash".to_owned(), "xyz".to_owned());
        assert_eq!(judge(&without), Err(Disbelief::Malformed));
    }

    #[test]
    fn only_a_token_makes_a_provider() {
        for (token, is_one) in [(TOKEN, true), ("", false), ("x:y", false), ("1:", false)] {
            assert_eq!(Telegram::new(token).is_some(), is_one, "{token}");
        }
        let telegram = Telegram::new(TOKEN).unwrap();
        assert_eq!(
            telegram.address("https://docs.example", "https://docs.example/documents"),
            "https://oauth.telegram.org/auth?bot_id=123456&origin=https%3A%2F%2Fdocs.example&return_to=https%3A%2F%2Fdocs.example%2Fdocuments"
        );
    }
}
