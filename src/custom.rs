//! Workflows of the operator's own, made by the configuration: a table of theirs, a stage of it, and code of theirs that works its rows.
//!
//! `section` is what `[custom.NAME]` holds, `run` how rows are worked; `check` looks whether the database has what a section is about, and
//! `statements` makes SQL of both. `workflow` is the workflow; what works its rows stands behind the seam in `runner`.

pub mod check;
pub mod cli;
mod limit;
pub mod run;
pub mod runner;
pub mod section;
mod session;
pub mod statements;
pub mod table;
mod told;
pub mod workflow;

use self::check::Mistake;
use self::section::Customs;
use crate::area::Area;
use crate::area::check::Check;
use crate::config::{Config, Declared};
use crate::db::DbError;
use crate::db::connect::Connector;
use crate::http::Routes;
use crate::settings::{ConfigError, inconsistent};

/// Workflows of the operator's own.
pub static AREA: Area = Area {
    name: "custom",
    workflows: Vec::new,
    sections: || vec![Declared::section::<Customs>()],
    check: names_are_free,
    tickers: |_shared| Vec::new(),
    kept: &[],
    routes: |_shared| Routes::default(),
    outside: |_config| Ok(None),
    status: None,
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse: |_plan| None,
    metrics: || {},
    examine: |config, _conn| Box::pin(doctor(config)),
};

/// Whether none of them is called like a workflow of the program.
fn names_are_free(config: &Config) -> Result<(), ConfigError> {
    let taken = config.workflows.settings(&config.engine);
    for name in config.section::<Customs>().0.keys() {
        if taken.contains_key(name) {
            let problem =
                "there is a workflow of that name in the program already: give it another";
            return Err(inconsistent(&format!("custom.{name}"), problem));
        }
    }
    Ok(())
}

/// All that is wrong with the sections, on this machine and in the database, and whether the latter was looked at: the error if not.
pub async fn mistakes(config: &Config) -> (Vec<Mistake>, Result<(), DbError>) {
    let customs = config.section::<Customs>();
    let mut all = check::here(customs);
    if customs.0.is_empty() {
        return (all, Ok(()));
    }
    let looked = async {
        let connector = Connector::new(&config.database.url, &config.database)?;
        check::examine(&connector, customs).await
    };
    match looked.await {
        Ok(examined) => {
            all.extend(examined.mistakes);
            (all, Ok(()))
        }
        Err(error) => (all, Err(error)),
    }
}

async fn doctor(config: &Config) -> Result<Vec<Check>, DbError> {
    const NAME: &str = "custom workflows";
    let count = config.section::<Customs>().0.len();
    let (mistakes, looked) = mistakes(config).await;
    looked?;
    if mistakes.is_empty() {
        let found = if count == 0 {
            "none".to_owned()
        } else {
            format!("{count}, with all that they take")
        };
        return Ok(vec![Check::ok(NAME, found)]);
    }
    let told: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    let advice =
        "mend the key or the database; `gleaner check-config` tells each on a line of its own";
    Ok(vec![Check::fail(NAME, told.join("; "), advice)])
}
