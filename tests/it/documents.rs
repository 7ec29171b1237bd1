//! Documents, end to end: tenants, what they upload, and what becomes of it.

mod bench;
mod child;
mod events;
mod fairness;
mod files;
mod isolation;
mod page;
mod processing;
mod progress;
mod read;
mod search;
mod session;
mod sweeps;
