//! `gleaner check-config`: what is in force, without secrets.

use serde_json::Value;

use super::schedules;
use crate::config::Config;
use crate::console::{FAILURE, Global, MISUSE, OK, complain, print};
use crate::settings::ConfigError;
use crate::telemetry::chain;
use crate::web::render;

pub(super) async fn run(global: &Global) -> anyhow::Result<u8> {
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
    let mut code = OK;
    if let Err(error) = render::check(&config.render) {
        complain(&format!("render.enabled: {error}"));
        code = FAILURE;
    }
    if !schedules_can_fire(&config).await {
        code = FAILURE;
    }
    Ok(code)
}

/// Whether the database has what the schedules are about. Where there is none to ask, that is said, and held against nobody.
async fn schedules_can_fire(config: &Config) -> bool {
    let defined = config.schedules.defined();
    if defined.is_empty() {
        return true;
    }
    match schedules::problems(config, &defined).await {
        Ok(problems) => {
            for (key, problem) in &problems {
                complain(&format!("{key}: {problem}"));
            }
            problems.is_empty()
        }
        Err(error) => {
            let why = chain(&error);
            complain(&format!(
                "the schedules' statements and stages were not looked for in the database: {why}"
            ));
            true
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
