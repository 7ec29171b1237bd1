//! What the integration tests share.

pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod data;
pub(crate) mod database;
pub(crate) mod documents;
pub(crate) mod exchange;
pub(crate) mod http;
pub(crate) mod nasty;
pub(crate) mod pages;
pub(crate) mod redis;
pub(crate) mod refuse;
pub(crate) mod site;
pub(crate) mod smtp;
pub(crate) mod tools;
pub(crate) mod toy;
pub(crate) mod toys;
pub(crate) mod wait;
pub(crate) mod window;

pub(crate) use app::TestApp;
pub(crate) use data::larger_data;
pub(crate) use database::TestDatabase;
pub(crate) use redis::TestRedis;
pub(crate) use tools::skip;
pub(crate) use wait::{PATIENCE, wait_until, wait_until_by};
