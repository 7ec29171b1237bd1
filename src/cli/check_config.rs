//! `gleaner check-config`: what is in force, without secrets.

use crate::console::{FAILURE, Global, OK, complain, print};
use crate::web::render;

pub(super) fn run(global: &Global) -> anyhow::Result<u8> {
    let config = global.load()?;
    if global.json {
        print(&serde_json::to_string_pretty(&config)?);
    } else {
        print(toml::to_string(&config)?.trim_end());
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
