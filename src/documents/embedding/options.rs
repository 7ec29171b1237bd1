//! What document-embedding can be told.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use super::DocumentEmbedding;
use crate::secret::Secret;
use crate::settings::{Options, Problem};
use crate::workflow::Configured as _;

/// The model, and how it is asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Where texts are sent to by POST; empty if a command makes the vectors.
    pub endpoint: String,
    /// Goes along as `Authorization: Bearer`; empty for none.
    pub token: Secret,
    /// A program and its arguments; empty if an endpoint makes the vectors.
    pub command: Vec<String>,
    /// What the model is called. Pieces with vectors of another are without one.
    pub model: String,
    /// Numbers of a vector; an answer with any other count is refused.
    pub dimensions: usize,
    /// Texts that are asked for at a time.
    pub batch_texts: usize,
    /// Longest time for these.
    #[serde(with = "humantime_serde")]
    pub answer_timeout: Duration,
    /// Private networks in which the endpoint may be.
    pub allow_networks: Vec<IpNet>,
}

/// pgvector stores so many, and no model that is known has more.
const MAX_DIMENSIONS: usize = 16_000;

impl Options for Embedding {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        let is_url =
            |text: &str| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !self.endpoint.is_empty() && !is_url(&self.endpoint) {
            return refuse("endpoint", "must be a URL of http or https");
        }
        if !self.endpoint.is_empty() && !self.command.is_empty() {
            return refuse("command", "must be empty where there is an endpoint");
        }
        if self
            .command
            .first()
            .is_some_and(|program| !program.starts_with('/'))
        {
            return refuse("command", "must begin with the whole path of a program");
        }
        if self.model.len() > 200 {
            return refuse("model", "must have at most 200 bytes");
        }
        if self.dimensions > MAX_DIMENSIONS {
            return refuse("dimensions", "must be at most 16000");
        }
        if !(1..=2_048).contains(&self.batch_texts) {
            return refuse("batch_texts", "must be 1 to 2048");
        }
        if !(1..=3_600).contains(&self.answer_timeout.as_secs()) {
            return refuse("answer_timeout", "must be one second to one hour");
        }
        Ok(())
    }
}

impl Embedding {
    /// Whether there is all that it takes.
    ///
    /// # Errors
    /// What is missing, and where to set it.
    pub(super) fn is_complete(&self) -> Result<(), String> {
        let key = DocumentEmbedding::option;
        if self.endpoint.is_empty() && self.command.is_empty() {
            let (endpoint, command) = (key("endpoint"), key("command"));
            return Err(format!("neither {endpoint} nor {command} is set"));
        }
        if self.dimensions == 0 {
            return Err(format!("{} is not set", key("dimensions")));
        }
        Ok(())
    }
}
