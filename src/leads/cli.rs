//! The commands that are about leads.

pub(crate) mod import;
pub(crate) mod recategorise;
