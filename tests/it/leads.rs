//! Leads, end to end: the whole program, a real database, and a web on loopback.

mod curation;
mod deep_scan;
mod domains;
mod front;
mod import;
mod landing;
mod notices;
mod odd;
mod recategorise;
mod sitemaps;
mod traps;
