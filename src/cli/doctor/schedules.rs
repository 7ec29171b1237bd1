//! What `gleaner doctor` says of the users' schedules.

use diesel_async::AsyncPgConnection;

use crate::area::check::Check;
use crate::cli::schedules;
use crate::config::Config;
use crate::console::table::plain;
use crate::db::DbError;
use crate::store::schedule::definition::Defined;
use crate::store::schedule::view::{self, View};

/// Schedules that cannot fire, do not, or did and failed.
pub(super) async fn examine(
    config: &Config,
    connection: &mut AsyncPgConnection,
    is_running: bool,
) -> Result<Check, DbError> {
    let defined = config.schedules.defined();
    let problems = schedules::problems(config, &defined).await?;
    let all: Vec<&Defined> = defined.iter().collect();
    let views = view::views(connection, &all).await?;
    Ok(judged(&problems, &views, is_running))
}

fn judged(problems: &[(String, String)], views: &[View], is_running: bool) -> Check {
    /// A process that runs fires within a second.
    const LATE_SECONDS: f64 = 60.0;
    const NAME: &str = "schedules";
    if !problems.is_empty() {
        let told: Vec<String> = problems
            .iter()
            .map(|(key, told)| format!("{key}: {}", plain(told)))
            .collect();
        let advice = "mend the key or the database; until then each firing fails";
        return Check::fail(NAME, told.join("; "), advice);
    }
    let configured: Vec<&View> = views.iter().filter(|view| view.is_configured).collect();
    let late = configured.iter().filter(|view| {
        view.running_since.is_none()
            && view
                .next_in_seconds
                .is_some_and(|left| left < -LATE_SECONDS)
    });
    let late: Vec<&str> = late.map(|view| view.name.as_str()).collect();
    if !late.is_empty() {
        let found = format!("due for more than a minute: {}", late.join(", "));
        let advice = if is_running {
            "see the log of the processes for \"schedule\": one with another configuration stands by; reload it"
        } else {
            "start `gleaner run`; what was missed is seen to as each schedule's missed says"
        };
        return Check::warn(NAME, found, advice);
    }
    let failed: Vec<String> = configured
        .iter()
        .filter(|view| view.last_outcome.as_deref() == Some("failed"))
        .map(|view| {
            let why = view.last_error.as_deref().unwrap_or("no reason given");
            format!("{}: {}", view.name, plain(why))
        })
        .collect();
    if !failed.is_empty() {
        return Check::warn(
            NAME,
            format!("the last firing failed of {}", failed.join("; ")),
            "mend the reason, then `gleaner schedules run-now NAME`",
        );
    }
    let paused = configured.iter().filter(|view| view.paused);
    let paused: Vec<&str> = paused.map(|view| view.name.as_str()).collect();
    Check::ok(
        NAME,
        match (configured.len(), paused.as_slice()) {
            (0, _) => "none".to_owned(),
            (all, []) => format!("{all}, none of them late or failed"),
            (all, paused) => format!("{all}, of which paused: {}", paused.join(", ")),
        },
    )
}
