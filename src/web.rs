//! The web as the workflows see it: pages fetched with manners, and run in a browser where they need one.

pub mod fetch;
pub mod page;
pub mod render;
