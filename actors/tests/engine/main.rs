//! The engine against an application in memory. One binary; time is paused wherever no thread is under test.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod batching;
mod blocked;
mod drain;
mod fencing;
mod helpers;
mod members;
mod outcomes;
mod stall;
mod store_trouble;
mod storm;
mod supervision;
mod support;
mod thread;
mod throughput;
