//! A pipeline's part in the demo: what it plants, watches over and scores.

use std::sync::Arc;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::demo::{Hosts, Web};

/// What the demo is to show.
#[derive(Debug)]
pub struct Plan {
    /// What is planted differs by this number, and by nothing else.
    pub seed: u64,
    /// The demo's web, to which a part may add hosts of its own.
    pub web: Arc<Web>,
}

/// A step of a part, over a connection to the demo's database.
pub type Step<'a, T> = BoxFuture<'a, QueryResult<T>>;

/// A pipeline's part in the demo.
pub trait Rehearsal: Send + Sync {
    /// Sets its workflows and sections up: the demo's web instead of the world's, and what waits for people, or out of politeness,
    /// quick and by itself.
    fn tune(&self, config: &mut Config);

    /// Hosts of its own, beside those of the demo's web.
    fn hosts(&self) -> Option<Arc<dyn Hosts>> {
        None
    }

    /// How many rows of what stand in the database that are not the demo's (`3 places`), if any do: they would be worked, too.
    fn strangers<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Option<String>>;

    /// Asks for the first rows. They may stand there from an earlier run.
    fn plant<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, ()>;

    /// Looks how far it is, and takes the next step if it is time for one. True once it will ask for nothing more: what is queued
    /// then is the rest. Called a few times a second.
    fn go_on<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, bool>;

    /// Compares what was stored with what was planted.
    fn score<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Scored>;
}

/// How a part came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    /// Whether all that was planted was found, and nothing else.
    pub is_right: bool,
    /// Its keys of the demo's line of JSON.
    pub json: Map<String, Value>,
    /// The same for people, line by line.
    pub lines: Vec<String>,
    /// Some of what is missed or false.
    pub examples: Vec<String>,
}
