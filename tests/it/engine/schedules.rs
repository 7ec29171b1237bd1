//! The users' schedules: what fires, when, how often, and what is left when something breaks.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod asking;
mod guide;
mod processes;
mod queueing;
mod statements;

use diesel_async::AsyncPgConnection;
use gleaner::store::schedule::Schedule;
use gleaner::store::schedule::definition::Defined;
use gleaner::store::schedule::firing::{self, Fired, Step};
use gleaner::store::schedule::state;

use crate::support::TestDatabase;

/// A schedule from its keys, as a file has them.
fn schedule(keys: &str) -> Schedule {
    toml::from_str(keys).unwrap()
}

fn define(name: &str, keys: &str) -> Defined {
    schedule(keys).define(name).unwrap()
}

/// A database that knows this schedule, which is due since so many seconds.
async fn due(database: &TestDatabase, own: &Defined, seconds: u32) -> AsyncPgConnection {
    let mut conn = database.connect().await;
    state::make_known(&mut conn, &[own]).await.unwrap();
    database
        .run(&format!(
            "UPDATE schedule SET next_at = date_trunc('second', now()) - interval '{seconds} seconds' WHERE name = 'schedules.{}'",
            own.name
        ))
        .await;
    conn
}

/// Fires what is due, to its end, and counts the steps.
async fn fire(conn: &mut AsyncPgConnection, own: &Defined) -> (Fired, usize) {
    let mut steps = 0;
    loop {
        steps += 1;
        match firing::step(conn, own, 7).await.unwrap() {
            Step::More => {}
            Step::Done(fired) => return (fired, steps),
            step => panic!("{step:?}"),
        }
    }
}
