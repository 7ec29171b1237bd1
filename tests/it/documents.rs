//! Documents, end to end: tenants, what they upload, and what becomes of it.

mod events;
mod isolation;
mod page;
mod read;
mod search;
mod session;
