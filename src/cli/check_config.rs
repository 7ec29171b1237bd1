//! `gleaner check-config`: what is in force, without secrets.

use serde_json::Value;

use crate::config::Config;
use crate::console::{FAILURE, Global, MISUSE, OK, complain, print};
use crate::custom;
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
    if !custom_can_run(&config).await {
        code = FAILURE;
    }
    Ok(code)
}

/// Whether the database and this machine have what workflows of the operator's own take. Where there is no database to ask, that is said,
/// and held against nobody.
async fn custom_can_run(config: &Config) -> bool {
    let (mistakes, looked) = custom::mistakes(config).await;
    for mistake in &mistakes {
        complain(&mistake.to_string());
    }
    if let Err(error) = looked {
        let why = chain(&error);
        complain(&format!(
            "custom: tables, columns and statements were not looked at in the database: {why}"
        ));
    }
    mistakes.is_empty()
}

/// Takes out what is not set, for which TOML has no word.
fn without_nothing(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(without_nothing);
    }
}
