//! The integration tests: one binary, real PostgreSQL and Redis, real HTTP on loopback.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::string_slice,
    reason = "helpers of tests, which clippy exempts only in the test functions themselves"
)]

mod bench;
mod bots;
mod cli;
mod contract;
mod embedded;
mod fetch;
mod flags;
mod guides;
mod http;
mod licences;
mod migrations;
mod names;
mod notifications;
mod pooler;
mod record;
mod render;
mod retention;
mod schedule;
mod schema;
mod stage;
mod support;
mod tidy;
mod walk;
mod workflows;
mod writers;

// `walk/` names the program's modules as if it were in the program.
use gleaner::{area, console, db, live, settings, web, workflow};
