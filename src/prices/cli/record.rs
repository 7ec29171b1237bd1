//! `gleaner record`: a person's word that a result's price is to be in the history, whatever the rules say.

use anyhow::bail;
use clap::Args;
use diesel::result::Error as DieselError;
use diesel_async::AsyncConnection;
use serde_json::json;

use crate::console::{Global, Misuse, OK, print};
use crate::prices::auto_record::AutoRecord;
use crate::prices::auto_record::timeline::Decision;
use crate::prices::auto_record::{inputs, record};
use crate::prices::uid::Uid;

/// Arguments of `gleaner record`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The result: its number or its UUID.
    result: Uid,
    /// Say that you mean it: no rule is asked.
    #[arg(long, required = true)]
    manual: bool,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let options = config.workflows.options::<AutoRecord>();
    let Uid(id) = arguments.result;
    let mut connection = crate::console::connect(&config).await?;
    let Some(input) = inputs(&mut connection, &[id]).await?.pop() else {
        return Err(Misuse(format!("there is no result {id}")).into());
    };
    if input.is_recorded {
        return Err(Misuse(format!("result {id} is recorded already")).into());
    }
    let Some(seen) = input.overrule(options) else {
        let text =
            format!("result {id} has no price above 0 in a known currency, or its crawl failed");
        return Err(Misuse(text).into());
    };
    let decision = connection
        .transaction::<_, DieselError, _>(async |conn| {
            let decisions = record(conn, &[&seen], options.second_look).await?;
            Ok(decisions.into_iter().next().flatten())
        })
        .await?;
    let (word, text) = match decision {
        Some(Decision::Recorded { .. }) => (
            "recorded",
            format!("result {id} is recorded by hand: {}", seen.value),
        ),
        Some(Decision::Duplicate(value)) => (
            "duplicate",
            format!("result {id} is confirmed: the history has {value} at that time"),
        ),
        Some(Decision::Held { .. } | Decision::Contradicted { .. }) | None => {
            bail!("the page of result {id} is gone")
        }
    };
    if global.json {
        print(&json!({ "result": id, "outcome": word, "source": "MANUAL" }).to_string());
    } else {
        print(&text);
    }
    Ok(OK)
}
