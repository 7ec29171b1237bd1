//! What is served of prices: the bots' API, and the lists of prices, flags and notifications.

pub(crate) mod bot;
pub(crate) mod flags;
pub(crate) mod history;
pub(crate) mod notifications;
pub(crate) mod openapi;
