//! `gleaner check-config`: what is in force, without secrets.

use serde_json::Value;

use crate::console::{FAILURE, Global, MISUSE, OK, complain, print};
use crate::settings::ConfigError;
use crate::web::render;

pub(super) fn run(global: &Global) -> anyhow::Result<u8> {
    let config = match global.load() {
        // Of several, each on a line of its own.
        Err(ConfigError::Invalid(misfits)) => {
            for misfit in &misfits {
                complain(&misfit.to_string());
            }
            return Ok(MISUSE);
        }
        loaded => loaded?,
    };
    if global.json {
        print(&serde_json::to_string_pretty(&config)?);
    } else {
        let mut whole = serde_json::to_value(&config)?;
        without_nothing(&mut whole);
        print(toml::to_string(&whole)?.trim_end());
    }
    // Not a matter of the file alone, and what `gleaner run` would not start with.
    match render::check(&config.render) {
        Ok(()) => Ok(OK),
        Err(error) => {
            complain(&format!("render.enabled: {error}"));
            Ok(FAILURE)
        }
    }
}

/// Takes out what is not set, for which TOML has no word.
fn without_nothing(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(without_nothing);
    }
}
