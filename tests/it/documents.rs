//! Documents: what tenants upload, and what becomes of it.

mod desk;
mod intake;
mod lifecycle;
mod limits;
mod tenants;
mod tus;
