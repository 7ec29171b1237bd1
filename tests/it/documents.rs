//! Documents, end to end: tenants, what they upload, and what becomes of it.

mod page;
mod session;
