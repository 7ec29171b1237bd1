//! Text on pictures, by tesseract where it is installed.
//!
//! What it is given are pictures that the child has drawn, of a known form and size, never a file of somebody's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gleaner_parse::protocol::{Code, Recognised};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;
use tracing::debug;

use super::ChildError;
use crate::fault::{self, Short};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// More text than this is on no page.
const MAX_TEXT_BYTES: u64 = 4 << 20;

/// Where it is looked for.
const PROGRAMS: [&str; 2] = ["/usr/bin/tesseract", "/usr/local/bin/tesseract"];

/// Recognises text.
#[derive(Clone, Debug)]
pub struct Ocr {
    program: PathBuf,
    /// As tesseract names them: `eng+deu`.
    languages: String,
}

impl Ocr {
    /// tesseract, if it is installed, for text in these languages.
    #[must_use]
    pub fn find(languages: &str) -> Option<Self> {
        let mut programs = PROGRAMS.iter().map(Path::new);
        let program = programs.find(|path| path.is_file())?;
        Some(Self::by(program, languages))
    }

    /// Another program that is called like it.
    #[must_use]
    pub fn by(program: impl Into<PathBuf>, languages: &str) -> Self {
        Self {
            program: program.into(),
            languages: languages.to_owned(),
        }
    }

    /// What stands on a picture. Dropping the future ends the program.
    ///
    /// # Errors
    /// [`ChildError`] when it cannot be started: nothing is to be held against the picture.
    pub(super) async fn recognise(&self, png: &[u8]) -> Result<Recognised, ChildError> {
        let mut command = Command::new(&self.program);
        command
            .args(["stdin", "stdout", "-l", &self.languages, "--dpi", "200"])
            .env_clear()
            // The cores are shared out among documents already.
            .env("OMP_THREAD_LIMIT", "1")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut program =
            command
                .spawn()
                .map_err(|error| match fault::shortage_at_spawn(&error) {
                    Some(shortage) => ChildError::Short(Short(shortage)),
                    None => ChildError::Start(error),
                })?;
        let (Some(mut stdin), Some(stdout)) = (program.stdin.take(), program.stdout.take()) else {
            return Err(ChildError::Useless("it has no pipes".to_owned()));
        };
        let mut text = Vec::new();
        let talk = async {
            let write = async {
                // One that leaves early says so by its exit code.
                if let Err(error) = stdin.write_all(png).await {
                    debug!(%error, "a picture was not read to its end");
                }
                drop(stdin);
            };
            let mut told = stdout.take(MAX_TEXT_BYTES);
            let read = told.read_to_end(&mut text);
            let ((), read) = tokio::join!(write, read);
            read?;
            program.wait().await
        };
        Ok(match timeout(PATIENCE, talk).await {
            Err(_) => Recognised::Failed(Code::Timeout),
            Ok(Ok(status)) if status.success() => {
                Recognised::Text(String::from_utf8_lossy(&text).trim().to_owned())
            }
            Ok(ended) => {
                debug!(?ended, "text recognition failed");
                Recognised::Failed(Code::ParserCrashed)
            }
        })
    }
}
