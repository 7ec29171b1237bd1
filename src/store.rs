//! The engine's own tables, and the stage columns on everybody's.
//!
//! `stage` owns the stage columns; `items` is the operator's door to them, under the same guards as any other software. A
//! workflow's own tables are queried where the workflow stands.

pub mod aside;
pub mod attempt;
pub mod control;
pub mod doctor;
pub mod items;
pub mod lease;
pub mod node;
pub mod overview;
pub mod pin;
pub mod prune;
pub mod schedule;
pub mod stage;
