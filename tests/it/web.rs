//! The web as the workflows see it: fetched with manners, run in a browser.

mod fetching;
mod render;

// For `walk/`, which names it as if it were in the program.
pub(crate) use gleaner::web::fetch;
