//! The extractors without the program around them, from the program's own source: a fuzz build needs neither a database's nor a
//! network's libraries.

#[path = "../../src"]
mod source {
    pub mod extract;
}

pub use source::extract;

#[path = "../../src/extract/fuzz.rs"]
pub mod targets;
