//! A model behind HTTP.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::contract::{self, Question};
use super::{EmbedError, Embedding};
use crate::telemetry::chain;
use crate::web::fetch::{Client, FetchError, RequestOptions, Response};

/// How much of a refusal is repeated, in characters.
const SAID_CHARS: usize = 200;

/// Where it is.
pub(super) struct Endpoint<'a> {
    client: &'a Client,
    options: &'a Embedding,
    url: Url,
    headers: HeaderMap,
}

impl<'a> Endpoint<'a> {
    /// As the options say.
    ///
    /// # Errors
    /// That they cannot be meant.
    pub(super) fn new(options: &'a Embedding, client: &'a Client) -> Result<Self, EmbedError> {
        let url = Url::parse(&options.endpoint)
            .map_err(|error| EmbedError::Unusable(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !options.token.is_empty() {
            let mut token = HeaderValue::from_str(&format!("Bearer {}", options.token.expose()))
                .map_err(|error| EmbedError::Unusable(error.to_string()))?;
            token.set_sensitive(true);
            headers.insert(AUTHORIZATION, token);
        }
        Ok(Self {
            client,
            options,
            url,
            headers,
        })
    }

    /// The vectors of some texts, in their order.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let question = Question {
            model: &self.options.model,
            input: texts,
        };
        let most = contract::most_bytes(texts.len(), self.options.dimensions);
        let answer = self
            .client
            .get_with(
                &self.url,
                RequestOptions {
                    headers: self.headers.clone(),
                    post: Some(question.line().into()),
                    max_body_bytes: Some(u64::try_from(most).unwrap_or(u64::MAX)),
                    ignore_robots: true,
                    own_pace: true,
                    timeout: Some(self.options.answer_timeout),
                    ..RequestOptions::default()
                },
            )
            .await
            .map_err(|error| judged(&error))?;
        match answer.status {
            200..=299 => Ok(contract::vectors(
                &answer.body,
                texts.len(),
                self.options.dimensions,
            )?),
            _ => Err(refusal(&answer)),
        }
    }
}

/// What an answer says that has no vectors.
fn refusal(answer: &Response) -> EmbedError {
    let text: String = answer.text().chars().take(SAID_CHARS).collect();
    let said = format!("{} {}", answer.status, text.trim());
    match answer.status {
        429 | 503 => EmbedError::Busy {
            said,
            after: answer.retry_after,
        },
        400 | 413 | 422 => EmbedError::Refused(said),
        // A redirect too: what is meant for one is not handed to another.
        300..=499 => EmbedError::Unusable(said),
        _ => EmbedError::Broken(said),
    }
}

/// What it means that there is no answer.
fn judged(error: &FetchError) -> EmbedError {
    let said = chain(error);
    match error {
        FetchError::HostBusy { retry_after } => EmbedError::Busy {
            said,
            after: Some(*retry_after),
        },
        FetchError::Dns(_) | FetchError::Connect(_) => EmbedError::Busy { said, after: None },
        FetchError::Blocked { .. }
        | FetchError::BadUrl { .. }
        | FetchError::BadConfig { .. }
        | FetchError::Tls { .. } => EmbedError::Unusable(said),
        _ => EmbedError::Broken(said),
    }
}
