//! Reads one document: bytes in, pages of text and pieces of them out.
//!
//! What is read is hostile until proven otherwise, so all of it happens in a process of its own, `gleaner parse`, which holds
//! nothing but that document and may do nothing but read it and answer ([`protocol`]).

mod archive;
pub mod child;
pub mod chunk;
pub mod document;
pub mod failure;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod html;
pub mod language;
pub mod normal;
mod pdf;
mod picture;
pub mod protocol;
pub mod reader;
pub mod sandbox;
pub mod sniff;
#[cfg(test)]
mod testing;
pub mod watch;
pub mod wire;
mod xml;

pub use pdf::second::SECOND_ENGINE;
