//! Real processes under real faults: the built program is killed, stopped, frozen, starved of its database and misconfigured.
//!
//! Each test has a database and a web of its own. What the program did outside is read from that web's journal, what it stored
//! from the database; its own counters are never the only witness. `GLEANER_TEST_SEED` repeats a run's chances.

#![expect(
    clippy::print_stdout,
    reason = "the figures of a run are part of what a test tells"
)]

mod absence;
#[cfg(feature = "s3")]
mod bucket;
mod crash;
mod database_faults;
mod documents;
mod embedded;
mod freeze;
mod frozen_database;
mod kill;
mod locks;
mod misuse;
mod phases;
mod pin;
mod record;
mod reload;
mod schedules;
mod shortage;
mod stop;
mod strangers;
mod strays;
mod supervisord;
mod support;
mod terminate;
mod uploads;
