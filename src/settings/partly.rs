//! What every workflow has, in a section where all of it may be left out, and stands beside keys of the section's own.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use humantime_serde::Serde;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Backoff, Rate, Workflow};

/// The keys of [`Workflow`] that a section says; what it leaves out is said elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Partly {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub stall_after: Option<Duration>,
}

impl Partly {
    /// The whole: what is said here, and of all else what `base` says.
    #[must_use]
    pub fn over(&self, base: &Workflow) -> Workflow {
        Workflow {
            enabled: self.enabled.unwrap_or(base.enabled),
            interval: self.interval.unwrap_or(base.interval),
            batch_size: self.batch_size.unwrap_or(base.batch_size),
            concurrency: self.concurrency.unwrap_or(base.concurrency),
            timeout: self.timeout.unwrap_or(base.timeout),
            max_attempts: self.max_attempts.unwrap_or(base.max_attempts),
            backoff: self.backoff.unwrap_or(base.backoff),
            rate: self.rate.unwrap_or(base.rate),
            stall_after: self.stall_after.unwrap_or(base.stall_after),
            _options: base._options,
        }
    }

    /// Takes a value in, if the key is one of these.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "enabled" => put(&mut self.enabled, "enabled", map.next_value()?)?,
            "interval" => put(&mut self.interval, "interval", span(map)?)?,
            "batch_size" => put(&mut self.batch_size, "batch_size", map.next_value()?)?,
            "concurrency" => put(&mut self.concurrency, "concurrency", map.next_value()?)?,
            "timeout" => put(&mut self.timeout, "timeout", span(map)?)?,
            "max_attempts" => put(&mut self.max_attempts, "max_attempts", map.next_value()?)?,
            "backoff" => put(&mut self.backoff, "backoff", map.next_value()?)?,
            "rate" => put(&mut self.rate, "rate", map.next_value()?)?,
            "stall_after" => put(&mut self.stall_after, "stall_after", span(map)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// All of these.
const COMMON: &[&str] = &[
    "enabled",
    "interval",
    "batch_size",
    "concurrency",
    "timeout",
    "max_attempts",
    "backoff",
    "rate",
    "stall_after",
];

/// Whether a key is nearly one of these.
fn is_slip(key: &str) -> bool {
    let distance = |common: &&str| strsim::damerau_levenshtein(key, common);
    COMMON.iter().map(distance).min() <= Some(2)
}

fn span<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Duration, A::Error> {
    map.next_value().map(Serde::into_inner)
}

fn put<T, E: Error>(place: &mut Option<T>, key: &'static str, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(key)),
    }
}

/// A section of a workflow that has keys of its own beside those that every workflow has. No key of its own may be called like one
/// of these.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside<T> {
    pub common: Partly,
    pub own: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Beside<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Whole(PhantomData))
    }
}

/// Reads both from one table, each value as what it is, so that what is wrong with one is told of that.
struct Whole<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
    type Value = Beside<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Beside<T>, A::Error> {
        let mut common = Partly::default();
        let rest = Rest {
            map,
            common: &mut common,
        };
        let own = T::deserialize(MapAccessDeserializer::new(rest))?;
        Ok(Beside { common, own })
    }
}

/// What is left of a table when the common keys are taken out.
struct Rest<'a, A> {
    map: A,
    common: &'a mut Partly,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if self.common.take(&key, &mut self.map)? {
                continue;
            }
            let own: StrDeserializer<'_, A::Error> = (&*key).into_deserializer();
            // The section itself knows nothing of the keys beside its own.
            return match seed.deserialize(own) {
                Err(_stranger) if is_slip(&key) => Err(A::Error::unknown_field(&key, COMMON)),
                known => known.map(Some),
            };
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<T: Serialize> Serialize for Beside<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut whole = serde_json::to_value(&self.own).map_err(S::Error::custom)?;
        let common = serde_json::to_value(&self.common).map_err(S::Error::custom)?;
        if let (Value::Object(whole), Value::Object(common)) = (&mut whole, common) {
            whole.extend(common);
        }
        whole.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format, Toml};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        table: String,
        #[serde(default)]
        limits: Vec<u8>,
    }

    fn read(text: &str) -> Result<Beside<Own>, String> {
        let figment = Figment::from(Toml::string(&format!("[custom.a]\n{text}")));
        let read = figment.extract_inner("custom.a");
        read.map_err(|error: figment::Error| error.to_string())
    }

    fn base() -> Workflow {
        let text = "enabled = true\ninterval = \"1m\"\nbatch_size = 20\nconcurrency = 30\ntimeout = \"60s\"\n\
            max_attempts = 4\nbackoff = { base = \"5s\", max = \"1h\" }\nrate = { count = 0, per = \"1s\" }\n\
            stall_after = \"5m\"\noptions = {}";
        Figment::from(Toml::string(text)).extract().unwrap()
    }

    #[test]
    fn both_kinds_of_keys_are_read_from_one_table() {
        let read = read(
            "interval = \"2s\"\ntable = \"t\"\nbackoff = { base = \"1s\", max = \"2s\" }\nlimits = [1]\nenabled = false",
        )
        .unwrap();
        assert_eq!(read.own.table, "t");
        assert_eq!(read.own.limits, [1]);
        let whole = read.common.over(&base());
        assert!(!whole.enabled);
        assert_eq!(whole.interval, Duration::from_secs(2));
        assert_eq!(whole.backoff.max, Duration::from_secs(2));
        assert_eq!(whole.concurrency.get(), 30);
        assert_eq!(Partly::default().over(&base()), base());
        // And written as it is read.
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(
            written,
            serde_json::json!({
                "table": "t", "limits": [1], "interval": "2s", "enabled": false,
                "backoff": { "base": "1s", "max": "2s" },
            })
        );
        assert_eq!(
            serde_json::from_value::<Beside<Own>>(written).unwrap(),
            read
        );
    }

    #[test]
    fn what_is_wrong_is_told_of_its_key() {
        for (text, wanted) in [
            ("table = \"t\"\nbatch_size = 0", "batch_size.custom.a"),
            ("table = \"t\"\ninterval = \"soon\"", "interval.custom.a"),
            ("table = 3", "table.custom.a"),
            ("table = \"t\"\nlimits = [300]", "limits"),
            ("table = \"t\"\nbackoff = { base = \"1s\" }", "max"),
            ("table = \"t\"\nbatch_sise = 1", "`batch_size`"),
            ("table = \"t\"\ntabel = 1", "`table`"),
            ("interval = \"1s\"", "table"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
