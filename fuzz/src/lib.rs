//! The bodies of the targets, which stand beside the parsers: a fuzz build needs neither a database's nor a network's libraries.

pub use gleaner_extract::fuzz as targets;
pub use gleaner_parse::fuzz as documents;
