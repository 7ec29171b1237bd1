//! Documents, end to end: tenants, what they upload, and what becomes of it.

mod bench;
pub(crate) mod child;
mod described;
mod desk;
mod embedding;
mod engines;
mod events;
mod fairness;
mod files;
mod intake;
pub(crate) mod isolation;
mod lifecycle;
mod limits;
mod migrating;
mod ocr;
mod page;
mod processing;
mod progress;
mod read;
mod search;
mod session;
mod storage;
mod sweeps;
mod tenants;
mod tus;
