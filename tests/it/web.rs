//! The web as the workflows see it: fetched with manners, run in a browser.

mod fetch;
mod render;
