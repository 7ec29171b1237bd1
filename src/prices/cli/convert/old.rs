//! The older service's `auto_record_config.json`: what it says, with the defaults that the service filled in.
//!
//! A key that is missing at the top had the service's own default, which may be another than ours. A block `_cron_config` replaced the
//! defaults as a whole; what is missing in it is left to our defaults, which are the same.

use serde_json::{Map, Value};

use crate::prices::auto_record::AutoRecord;
use crate::prices::price_fetch::PriceFetch;
use crate::workflow::Workflow as _;
use gleaner_extract::domain::registrable;

/// Sources that were allowed unless the file said otherwise.
const SOURCES: [&str; 5] = ["jsonld", "og", "microdata", "script_data", "html_ml"];
/// What 0, null and nothing meant to the service as the least confidence.
const CONFIDENCE: f64 = 0.85;
/// The block about the service's own thread.
const CRON: &str = "_cron_config";

/// A value of ours, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The table, as a path from the root.
    pub(super) table: &'static [&'static str],
    pub(super) key: &'static str,
    pub(super) value: toml_edit::Value,
}

/// The file in our terms.
#[derive(Clone, Debug, Default)]
pub(super) struct Converted {
    /// What has a counterpart, in the order of our file.
    pub(super) settings: Vec<Setting>,
    /// Where the same words do not mean quite the same.
    pub(super) notes: Vec<String>,
    /// What has none, and what there is instead.
    pub(super) lost: Vec<String>,
}

const WORKFLOW: &[&str] = &["workflows", AutoRecord::NAME];
const OPTIONS: &[&str] = &["workflows", AutoRecord::NAME, "options"];

/// Reads the file.
///
/// # Errors
/// What is wrong, with key and line.
pub(super) fn read(text: &str) -> Result<Converted, String> {
    let text = text.trim_start_matches('\u{feff}');
    let root: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let Value::Object(root) = root else {
        return Err("must be a JSON object with keys such as \"enabled\"".to_owned());
    };
    let mut reader = Reader {
        text,
        converted: Converted::default(),
    };
    match root.get(CRON) {
        None => {}
        Some(Value::Object(cron)) => reader.workflow(cron)?,
        Some(_other) => return Err(reader.complaint(CRON, "an object")),
    }
    reader.options(&root)?;
    reader.others(&root);
    Ok(reader.converted)
}

struct Reader<'a> {
    text: &'a str,
    converted: Converted,
}

impl Reader<'_> {
    fn complaint(&self, key: &str, expected: &str) -> String {
        match line_of(self.text, key) {
            Some(line) => format!("line {line}: {key} must be {expected}"),
            None => format!("{key} must be {expected}"),
        }
    }

    fn set(&mut self, table: &'static [&'static str], key: &'static str, value: toml_edit::Value) {
        self.converted.settings.push(Setting { table, key, value });
    }

    fn note(&mut self, note: impl Into<String>) {
        self.converted.notes.push(note.into());
    }

    /// The thread's settings, which are the workflow's own here.
    fn workflow(&mut self, cron: &Map<String, Value>) -> Result<(), String> {
        if let Some(enabled) = self.flag(cron, "scheduler_enabled")? {
            self.set(WORKFLOW, "enabled", enabled.into());
        }
        if let Some(seconds) = self.count(cron, "interval_seconds", 86_400)? {
            self.set(WORKFLOW, "interval", format!("{seconds}s").into());
        }
        if let Some(rows) = self.count(cron, "batch_size", 10_000)? {
            self.set(WORKFLOW, "batch_size", rows.into());
            self.note("batch_size was not heeded there (100 at a time, whatever it said); here it is rows per claim");
        }
        if let Some(attempts) = self.count(cron, "max_retries", 1_000)? {
            self.set(WORKFLOW, "max_attempts", attempts.into());
            self.note("max_retries was not heeded there (3 attempts, whatever it said); here it is max_attempts");
        }
        Ok(())
    }

    /// The rules, under their old names.
    fn options(&mut self, root: &Map<String, Value>) -> Result<(), String> {
        let enabled = self.flag(root, "enabled")?.unwrap_or(false);
        let sources = self.texts(root, "allowed_sources")?;
        let sources = sources.unwrap_or_else(|| SOURCES.map(str::to_owned).to_vec());
        let confidence = self.confidence(root)?;
        let in_stock = self.flag(root, "require_in_stock")?.unwrap_or(true);
        let domains = self.texts(root, "allowed_domains")?.unwrap_or_default();
        let currencies = self.texts(root, "currency_whitelist")?.unwrap_or_default();
        if !sources.is_empty() {
            self.note(format!(
                "what {} reads by a site's pattern or by RDFa has the sources pattern and rdfa, which the old service did not know",
                PriceFetch::NAME
            ));
        }
        self.set(OPTIONS, "enabled", enabled.into());
        self.set(OPTIONS, "allowed_sources", list(sources));
        self.set(OPTIONS, "min_confidence", confidence.into());
        self.set(OPTIONS, "require_in_stock", in_stock.into());
        let sites = domains.iter().map(|domain| self.site(domain)).collect();
        self.set(OPTIONS, "allowed_domains", list(sites));
        let upper = currencies
            .iter()
            .map(|code| code.trim().to_ascii_uppercase());
        self.set(OPTIONS, "currency_whitelist", list(upper.collect()));
        Ok(())
    }

    fn confidence(&mut self, root: &Map<String, Value>) -> Result<f64, String> {
        let key = "min_confidence";
        let told = match root.get(key) {
            None | Some(Value::Null) => 0.0,
            Some(value) => value
                .as_f64()
                .filter(|told| (0.0..=1.0).contains(told))
                .ok_or_else(|| self.complaint(key, "a number from 0 to 1"))?,
        };
        self.note("min_confidence is asked only where the model alone gives the price");
        if told == 0.0 {
            self.note("a min_confidence of 0, null or none meant 0.85 there; here 0 means 0");
            return Ok(CONFIDENCE);
        }
        Ok(told)
    }

    /// The site of a domain that the old service compared letter by letter.
    fn site(&mut self, given: &str) -> String {
        let host = given.trim().to_lowercase();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let site = registrable(&host).map_or_else(|| host.clone(), |own| own.domain);
        if site != given {
            self.note(format!(
                "allowed_domains: {given} is {site} here, with all its hosts"
            ));
        }
        site
    }

    /// Names what is left.
    fn others(&mut self, root: &Map<String, Value>) {
        const KNOWN: [&str; 7] = [
            "enabled",
            "allowed_sources",
            "min_confidence",
            "require_in_stock",
            "allowed_domains",
            "currency_whitelist",
            CRON,
        ];
        const KNOWN_IN_CRON: [&str; 5] = [
            "scheduler_enabled",
            "interval_seconds",
            "batch_size",
            "max_retries",
            "_comment",
        ];
        let of_block = root.get(CRON).and_then(Value::as_object);
        let top = root
            .iter()
            .filter(|(key, _)| !KNOWN.contains(&key.as_str()));
        let cron = of_block
            .into_iter()
            .flatten()
            .filter(|(key, _)| !KNOWN_IN_CRON.contains(&key.as_str()));
        let all = top
            .map(|(key, value)| (key.clone(), key, value))
            .chain(cron.map(|(key, value)| (format!("{CRON}.{key}"), key, value)));
        for (path, key, value) in all {
            self.converted
                .lost
                .push(format!("{path} = {value}: {}", instead(key)));
        }
    }

    fn flag(&self, object: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
        match object.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_other) => Err(self.complaint(key, "true or false")),
        }
    }

    fn count(
        &self,
        object: &Map<String, Value>,
        key: &str,
        most: i64,
    ) -> Result<Option<i64>, String> {
        let Some(value) = object.get(key) else {
            return Ok(None);
        };
        let count = value.as_i64().filter(|count| (1..=most).contains(count));
        match count {
            Some(count) => Ok(Some(count)),
            None => Err(self.complaint(key, &format!("a whole number from 1 to {most}"))),
        }
    }

    fn texts(&self, object: &Map<String, Value>, key: &str) -> Result<Option<Vec<String>>, String> {
        let complaint = || self.complaint(key, "a list of texts");
        let Some(value) = object.get(key) else {
            return Ok(None);
        };
        let all = value.as_array().ok_or_else(complaint)?.iter();
        let texts: Option<Vec<String>> = all.map(|one| one.as_str().map(str::to_owned)).collect();
        texts.map(Some).ok_or_else(complaint)
    }
}

fn list(texts: Vec<String>) -> toml_edit::Value {
    toml_edit::Value::Array(texts.into_iter().collect())
}

/// What there is in place of a key without a counterpart.
fn instead(key: &str) -> &'static str {
    match key {
        "retry_failed_every_n_cycles" | "retry_failed_limit" => {
            "failed results rest until `gleaner queue retry-failed`; revive_after in the options has each tried again by itself"
        }
        "log_queue_status_every_n_cycles" => "`gleaner queue status` and /metrics tell at any time",
        _ => "the old service did not know it either",
    }
}

/// The line on which this key is given its value: the last, as it is the last that counts.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let quoted = format!("\"{key}\"");
    let (at, _) = text
        .match_indices(&quoted)
        .filter(|(at, hit)| {
            let rest = text.get(at + hit.len()..).unwrap_or_default();
            rest.trim_start().starts_with(':')
        })
        .last()?;
    Some(text.get(..at)?.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings as `key = value`, those of the workflow before those of its options.
    fn settings(text: &str) -> Vec<String> {
        let converted = read(text).expect("well-formed");
        let line = |own: &Setting| format!("{} = {}", own.key, own.value.to_string().trim());
        converted.settings.iter().map(line).collect()
    }

    #[test]
    fn the_file_that_was_in_use_comes_out_whole() {
        let text = r#"{ "enabled": true, "allowed_sources": ["html_ml"], "min_confidence": 0.7, "require_in_stock": false,
            "allowed_domains": [], "currency_whitelist": ["eur", "NOK"],
            "_cron_config": { "scheduler_enabled": true, "interval_seconds": 50, "batch_size": 101, "max_retries": 3,
                "retry_failed_every_n_cycles": 50, "retry_failed_limit": 20, "log_queue_status_every_n_cycles": 10, "_comment": "x" } }"#;
        assert_eq!(
            settings(text),
            [
                "enabled = true",
                "interval = \"50s\"",
                "batch_size = 101",
                "max_attempts = 3",
                "enabled = true",
                "allowed_sources = [\"html_ml\"]",
                "min_confidence = 0.7",
                "require_in_stock = false",
                "allowed_domains = []",
                "currency_whitelist = [\"EUR\", \"NOK\"]",
            ]
        );
        let lost = read(text).expect("well-formed").lost;
        let keys: Vec<&str> = lost
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(
            keys,
            [
                "_cron_config.log_queue_status_every_n_cycles",
                "_cron_config.retry_failed_every_n_cycles",
                "_cron_config.retry_failed_limit",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_what_the_service_filled_in() {
        assert_eq!(
            settings("\u{feff}{}"),
            [
                "enabled = false",
                "allowed_sources = [\"jsonld\", \"og\", \"microdata\", \"script_data\", \"html_ml\"]",
                "min_confidence = 0.85",
                "require_in_stock = true",
                "allowed_domains = []",
                "currency_whitelist = []",
            ]
        );
        for nothing in ["0", "0.0", "null"] {
            let text = format!("{{\"min_confidence\": {nothing}}}");
            assert!(
                settings(&text).contains(&"min_confidence = 0.85".to_owned()),
                "{nothing}"
            );
        }
    }

    #[test]
    fn domains_become_sites() {
        let converted = read(r#"{"allowed_domains": ["shop.example", "www.Amazon.co.jp:443"]}"#)
            .expect("well-formed");
        let shown = converted.settings[4].value.to_string();
        assert_eq!(shown, "[\"shop.example\", \"amazon.co.jp\"]");
        assert!(
            converted.notes.contains(
                &"allowed_domains: www.Amazon.co.jp:443 is amazon.co.jp here, with all its hosts"
                    .to_owned()
            )
        );
    }

    #[test]
    fn mistakes_are_named_with_key_and_line() {
        for (text, expected) in [
            (
                "{\n \"enabled\": true,\n}",
                "is no JSON: trailing comma at line 3 column 1",
            ),
            ("[]", "must be a JSON object with keys such as \"enabled\""),
            (
                "{\n \"enabled\": \"yes\"}",
                "line 2: enabled must be true or false",
            ),
            (
                "{\n\n \"min_confidence\" : 85}",
                "line 3: min_confidence must be a number from 0 to 1",
            ),
            (
                "{\"allowed_sources\": \"og\"}",
                "line 1: allowed_sources must be a list of texts",
            ),
            (
                "{\"currency_whitelist\": [1]}",
                "line 1: currency_whitelist must be a list of texts",
            ),
            (
                "{\"_cron_config\":\n 5}",
                "line 1: _cron_config must be an object",
            ),
            (
                "{\"_cron_config\": {\n\"_comment\": \"\\\"batch_size\\\": 1\",\n\"batch_size\": 0}}",
                "line 3: batch_size must be a whole number from 1 to 10000",
            ),
            (
                "{\"_cron_config\": {\n\"max_retries\": 2.5}}",
                "line 2: max_retries must be a whole number from 1 to 1000",
            ),
        ] {
            assert_eq!(read(text).map(drop), Err(expected.to_owned()), "{text}");
        }
    }
}
