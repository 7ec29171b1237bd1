//! document-embedding: from the pieces of a document that is ready to vectors, by a model of the operator's. Off by default, and on no
//! document's way to be ready.
//!
//! The model is behind an HTTP endpoint or a command ([`contract`] says what both are told and answer). A document is worked some
//! thousand pieces at a time, and asked for again until all have their vector; what was had before a failure is kept. Pieces that a
//! new reading has replaced take no vector of the old ones.

mod command;
pub mod contract;
mod endpoint;
pub mod options;
mod store;

use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use tracing::warn;

pub use self::options::Embedding;
pub(super) use self::store::{forget, queue};

use self::command::Command;
use self::contract::BadAnswer;
use self::endpoint::Endpoint;
use super::{document, metrics};
use crate::area::check::Check;
use crate::config::Config;
use crate::live::Live;
use crate::store::stage::Share;
use crate::telemetry::chain;
use crate::web::fetch::Client;
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};

/// How long all documents wait for a model that is not there.
const MODEL_WAIT: Duration = Duration::from_secs(30);

/// How often one batch is asked for again within an attempt, and for how long at most each time.
const PATIENCE: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The workflow.
pub struct DocumentEmbedding {
    client: Client,
    options: Live<Embedding>,
}

/// A piece without a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    seq: i32,
    text: String,
}

/// What a document is worked from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Which reading of it the pieces are from; none if it is not ready.
    reading: Option<String>,
    pieces: Vec<Piece>,
    /// Whether there are more than these.
    goes_on: bool,
}

/// The vectors of a document's pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    reading: String,
    model: String,
    vectors: Vec<(i32, Vec<f32>)>,
    goes_on: bool,
}

/// Why there are no vectors.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// For the time being: it is overloaded, or away.
    #[error("the model does not answer now: {said}")]
    Busy {
        said: String,
        /// When it says that it will.
        after: Option<Duration>,
    },
    /// Not for these texts.
    #[error("the model refuses: {0}")]
    Refused(String),
    /// Not for us, whatever the texts: the key, the address or the command is wrong.
    #[error("the model cannot be used: {0}")]
    Unusable(String),
    #[error("the model's answer is none")]
    Answer(#[from] BadAnswer),
    /// Something went wrong that may not another time.
    #[error("the model broke down: {0}")]
    Broken(String),
}

impl From<EmbedError> for WorkflowError {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::Busy { ref after, .. } => Self::Snooze {
                after: after.unwrap_or(MODEL_WAIT),
                reason: chain(&error),
                whole_workflow: true,
            },
            EmbedError::Unusable(_) => Self::Snooze {
                after: MODEL_WAIT,
                reason: chain(&error),
                whole_workflow: true,
            },
            EmbedError::Refused(_) => Self::permanent("model_refused", error),
            EmbedError::Answer(_) => Self::retry("model_answer", error),
            EmbedError::Broken(_) => Self::retry("model_broken", error),
        }
    }
}

/// What makes vectors.
enum Model<'a> {
    Endpoint(Endpoint<'a>),
    Command(Box<Command>),
}

impl<'a> Model<'a> {
    fn of(options: &'a Embedding, client: &'a Client) -> Result<Self, EmbedError> {
        if options.endpoint.is_empty() {
            let command = Command::start(options)?;
            return Ok(Self::Command(Box::new(command)));
        }
        Endpoint::new(options, client).map(Self::Endpoint)
    }

    /// The vectors of some texts, in their order.
    async fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let timing = metrics::Timing::start();
        let vectors = match self {
            Self::Endpoint(endpoint) => endpoint.embed(texts).await?,
            Self::Command(command) => command.embed(texts).await?,
        };
        timing.embedded(texts.len());
        Ok(vectors)
    }

    /// The same, asked for again after a pause where it is busy.
    async fn embed_patiently(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        for _ in 0..PATIENCE {
            match self.embed(texts).await {
                Err(EmbedError::Busy {
                    after: Some(after), ..
                }) if after <= LONGEST_PAUSE => tokio::time::sleep(after).await,
                done => return done,
            }
        }
        self.embed(texts).await
    }
}

impl DocumentEmbedding {
    /// The vectors of some pieces, as far as they could be had, and what went wrong then.
    async fn vectors(
        &self,
        options: &Embedding,
        pieces: &[Piece],
    ) -> (Vec<(i32, Vec<f32>)>, Option<EmbedError>) {
        let mut vectors = Vec::with_capacity(pieces.len());
        let mut model = match Model::of(options, &self.client) {
            Ok(model) => model,
            Err(error) => return (vectors, Some(error)),
        };
        for batch in pieces.chunks(options.batch_texts.max(1)) {
            let texts: Vec<&str> = batch.iter().map(|piece| piece.text.as_str()).collect();
            match model.embed_patiently(&texts).await {
                Ok(found) => vectors.extend(batch.iter().map(|piece| piece.seq).zip(found)),
                Err(error) => return (vectors, Some(error)),
            }
        }
        (vectors, None)
    }
}

impl Workflow for DocumentEmbedding {
    const NAME: &'static str = "document-embedding";
    const TABLE: &'static str = "documents";
    const STAGE: &'static str = "embed";
    const ENDS_IN: Option<&'static str> = Some("embedding");
    const SHARE: Option<Share> = Some(Share {
        owner: "tenant_id",
        owners: "tenant",
        cap: "CASE WHEN owner.disabled_at IS NULL THEN owner.max_running ELSE 0 END",
        large: "lane = 2",
    });

    type Input = Input;
    type Output = Output;

    fn ready(&self) -> Result<(), String> {
        self.options.get().is_complete()
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Input)>> {
        store::load(conn, ids, &self.options.get().model).await
    }

    async fn run(&self, input: Input) -> Result<Done<Output>, WorkflowError> {
        let Some(reading) = input.reading else {
            return Ok(Done::Filtered("the document is not ready".to_owned(), None));
        };
        let options = self.options.get();
        let (vectors, error) = self.vectors(&options, &input.pieces).await;
        let is_any = !vectors.is_empty();
        let output = Output {
            reading,
            model: options.model.clone(),
            vectors,
            goes_on: input.goes_on || error.is_some(),
        };
        match error {
            None => Ok(Done::Completed(output)),
            // What there is, is kept; the rest is asked for again by itself.
            Some(error) if is_any => {
                warn!(error = %chain(&error), "some pieces of a document have no vector yet");
                Ok(Done::Completed(output))
            }
            Some(error) => Err(error.into()),
        }
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Output)],
    ) -> QueryResult<()> {
        let mut outputs = outputs.to_vec();
        outputs.sort_by_key(|(id, _)| *id);
        for (id, output) in outputs {
            store::one(conn, id, output).await?;
        }
        Ok(())
    }
}

impl Configured for DocumentEmbedding {
    type Options = Embedding;

    /// A document that nothing has read yet: there is nothing to do.
    const SAMPLE: &'static str = document::SAMPLE;

    fn new(services: &Services, options: Live<Self::Options>) -> Self {
        let own = services
            .fetch
            .reaching(&options.get().allow_networks)
            .unwrap_or_else(|error| {
                warn!(error = %chain(&error), "the model is reached as the web is");
                services.fetch.clone()
            });
        Self {
            client: own,
            options,
        }
    }
}

/// What `gleaner doctor` says of the model, where one is asked: whether it answers as it should.
pub(super) async fn examine(config: &Config) -> Option<Check> {
    const NAME: &str = "document embedding";
    const ADVICE: &str = "see docs/documents-embedding.md for what a model is told and answers";
    if !config.workflows.of::<DocumentEmbedding>().enabled {
        return None;
    }
    let options = config.workflows.options::<DocumentEmbedding>();
    if let Err(lacking) = options.is_complete() {
        return Some(Check::fail(NAME, lacking, ADVICE));
    }
    let tried = async {
        let unusable = |error| EmbedError::Unusable(chain(&error));
        let client = Client::new(config.fetch.clone())
            .and_then(|client| client.reaching(&options.allow_networks))
            .map_err(unusable)?;
        Model::of(options, &client)?.embed(&["kettle"]).await
    };
    Some(match tried.await {
        Ok(_) => Check::ok(
            NAME,
            format!("the model answers with {} numbers", options.dimensions),
        ),
        Err(error) => Check::fail(NAME, chain(&error), ADVICE),
    })
}
