//! `gleaner check-config`: what is in force, without secrets.

use super::{Global, OK, print};

pub(super) fn run(global: &Global) -> anyhow::Result<u8> {
    let config = global.load()?;
    if global.json {
        print(&serde_json::to_string_pretty(&config)?);
    } else {
        print(toml::to_string(&config)?.trim_end());
    }
    Ok(OK)
}
