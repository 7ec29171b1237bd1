//! Prices, end to end: jobs, bots, results, history, and the commands about them.

mod bad_rows;
mod bot_command;
mod bots;
mod convert;
mod delivery;
mod flags;
mod notifications;
mod patterns;
mod policy;
mod price_fetch;
mod record;
mod rendering;
mod retention;
mod site;
mod track;
