//! The commands that are about prices.

pub(crate) mod bot;
pub(crate) mod convert;
pub(crate) mod explain;
pub(crate) mod flags;
pub(crate) mod pattern;
pub(crate) mod policy;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod site;
pub(crate) mod track;
