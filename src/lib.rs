//! Gleaner: crawl-to-data pipelines on PostgreSQL.
//!
//! Start reading at [`app`]; what happens to every item is in [`pipeline`]; one workflow is one file in [`workflows`].

pub mod app;
pub mod area;
pub mod areas;
pub mod bench;
pub mod child;
pub mod cli;
pub mod compute;
pub mod config;
pub mod console;
pub mod custom;
pub mod db;
pub mod demo;
pub mod descriptors;
pub mod documents;
pub mod embedded;
pub mod fault;
pub mod health;
pub mod http;
pub mod leads;
pub mod live;
pub mod metrics;
pub mod pipeline;
pub mod prices;
pub mod redis;
pub mod secret;
pub mod settings;
pub mod signals;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upkeep;
pub mod web;
pub mod workflow;
pub mod workflows;
