//! What holds for every workflow: stages and their statements, the schema, schedules, poolers, the contract.

mod bad_rows;
pub(crate) mod contract;
mod made;
mod migrations;
mod pooler;
mod readiness;
mod schedule;
mod schema;
mod stage;
mod writers;
