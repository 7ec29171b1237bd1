//! Documents, end to end: tenants, what they upload, and what becomes of it.

mod desk;
mod events;
mod intake;
mod isolation;
mod lifecycle;
mod limits;
mod read;
mod search;
mod tenants;
mod tus;
