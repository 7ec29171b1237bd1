//! Pages of other people's sites: from an answer of theirs to a document that the extractors read.

pub mod page;

pub use page::{Document, Landing, PageError, is_same_site};
