//! A model that is a command: it is started for a document, told a line for each batch, and answers with a line.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::contract::{self, Question};
use super::{EmbedError, Embedding};
use crate::child::environment;
use crate::fault;

/// The command, running. It ends with this value.
pub(super) struct Command {
    model: String,
    dimensions: usize,
    patience: Duration,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Kept for its end.
    _child: Child,
}

impl Command {
    /// Starts it, with nothing of our environment that could be secret.
    ///
    /// # Errors
    /// That it cannot be started.
    pub(super) fn start(options: &Embedding) -> Result<Self, EmbedError> {
        let Some((program, arguments)) = options.command.split_first() else {
            return Err(EmbedError::Unusable("there is no command".to_owned()));
        };
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let said = format!("{program} cannot be started: {error}");
                match fault::shortage_at_spawn(&error) {
                    Some(_) => EmbedError::Busy { said, after: None },
                    None => EmbedError::Unusable(said),
                }
            })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(EmbedError::Broken("it has no pipes".to_owned()));
        };
        Ok(Self {
            model: options.model.clone(),
            dimensions: options.dimensions,
            patience: options.answer_timeout,
            stdin,
            stdout: BufReader::new(stdout),
            _child: child,
        })
    }

    /// The vectors of some texts, in their order.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let question = Question {
            model: &self.model,
            input: texts,
        };
        let mut line = question.line();
        line.push(b'\n');
        let most = contract::most_bytes(texts.len(), self.dimensions);
        let answer = timeout(self.patience, self.talk(&line, most))
            .await
            .map_err(|_elapsed| {
                EmbedError::Broken(format!("no answer within {:?}", self.patience))
            })?
            .map_err(|error| EmbedError::Broken(error.to_string()))?;
        Ok(contract::vectors(&answer, texts.len(), self.dimensions)?)
    }

    /// Says a line, and hears one of at most so many bytes.
    async fn talk(&mut self, line: &[u8], most: usize) -> std::io::Result<Vec<u8>> {
        let say = async {
            self.stdin.write_all(line).await?;
            self.stdin.flush().await
        };
        let hear = async {
            let mut answer = Vec::new();
            let limit = u64::try_from(most).unwrap_or(u64::MAX);
            let mut bounded = (&mut self.stdout).take(limit);
            bounded.read_until(b'\n', &mut answer).await?;
            match answer.last() {
                Some(b'\n') => Ok(answer),
                Some(_) => Err(std::io::Error::other("it says too much, or breaks off")),
                None => Err(std::io::Error::other("it has ended")),
            }
        };
        // One that answers before it has heard all would wait for us, and we for it.
        let (said, heard) = tokio::join!(say, hear);
        let heard = heard?;
        said?;
        Ok(heard)
    }
}
