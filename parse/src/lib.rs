//! Reads one document: bytes in, pages of text and pieces of them out.
//!
//! What is read is hostile until proven otherwise, so all of it happens in a process of its own, `gleaner parse`, which holds
//! nothing but that document and may do nothing but read it and answer ([`protocol`]).

pub mod child;
pub mod document;
pub mod failure;
mod pdf;
pub mod protocol;
pub mod reader;
pub mod sandbox;
pub mod sniff;
pub mod watch;
pub mod wire;
