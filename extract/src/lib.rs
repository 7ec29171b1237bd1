//! Pure extraction: bytes and text from the web in, typed facts out.
//!
//! Nothing here does I/O, reads a clock or knows the rest of the program, so the same input always gives the same result. Every
//! input is hostile until parsed: functions are total, memory is bounded, and no input makes one panic. [`command`] works streams
//! of requests on threads of its own, and reads and writes only what it is handed.
//!
//! Rules that are knowledge rather than logic (tracking parameters, hosts that serve many businesses, words in paths) stand as
//! text under `src/data/`, each file with its format and its source on top.

pub mod address;
mod at_sign;
#[cfg(test)]
mod cases;
pub mod category;
pub mod charset;
pub mod command;
mod config;
pub mod contacts;
pub mod domain;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod html;
pub mod listing;
pub mod media;
mod naming;
pub mod notice;
pub mod offer;
pub mod page;
pub mod pattern;
mod percent;
pub mod price;
#[cfg(test)]
mod properties;
pub mod refresh;
pub mod robots;
#[cfg(test)]
mod rules;
pub mod sitemap;
pub mod sitemap_links;
mod structured;
mod table;
#[cfg(test)]
mod testdata;
mod title;
pub mod url;

pub use self::config::Config;
