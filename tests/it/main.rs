//! The integration tests: one binary, real PostgreSQL and Redis, real HTTP on loopback.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::string_slice,
    reason = "helpers of tests, which clippy exempts only in the test functions themselves"
)]

mod bench;
mod cli;
mod custom;
mod documents;
mod embedded;
mod engine;
mod guides;
mod http;
mod leads;
mod licences;
mod names;
mod prices;
mod support;
mod tidy;
mod walk;
mod web;

// `walk/` names the program's modules as if it were in the program.
use gleaner::{area, console, db, live, settings, workflow, workflows};
