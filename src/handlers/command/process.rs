//! One process of a handler: started through a keeper, spoken to over two pipes, and ended with all it has started.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::User;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use super::log::{self, Last};
use super::options::Options;
use crate::child::group::Group;
use crate::child::keeper::{self, SIGNALLED, Terms};
use crate::child::{environment, spawn};
use crate::fault::{self, Short};
use crate::handlers::bounds::{MAX_LINE_BYTES, ProtocolError, VERSION};
use crate::handlers::protocol::{self, Hello, Message, Offer};

/// The variable by which a program is told that it runs as a handler, and for which version of the protocol.
pub const PROTOCOL_VARIABLE: &str = "GLEANER_PROTOCOL";

/// How long a handler that shut its pipes may take to be gone, and a keeper to end what it keeps.
const LEAVE: Duration = Duration::from_secs(2);

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Buffers that have grown beyond this are given back.
const KEPT_BYTES: usize = 1 << 20;

/// What handlers are started from.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The workflow that they work for, in logs and in their hello.
    pub(super) workflow: String,
    pub(super) options: Options,
    /// This program: the keeper is another run of it.
    pub(super) shim: PathBuf,
}

/// Why a handler cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No more processes, or no memory for one.
    #[error("cannot start a process")]
    Short(#[source] Short),
    /// The same for another reason.
    #[error("cannot start a process: see the key cwd, and that it may be entered")]
    Spawn(#[source] io::Error),
    /// It was there, and is not any more.
    #[error("the handler ended before {before}: {fate}")]
    Ended { before: &'static str, fate: String },
    /// It does not say hello.
    #[error("the handler said no hello within {within:?}, the key start_timeout{said}")]
    Silent { within: Duration, said: String },
    /// It says something else.
    #[error("the handler does not speak the protocol{said}")]
    Protocol {
        said: String,
        #[source]
        source: ProtocolError,
    },
}

/// What came of an exchange with a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It said something.
    Heard,
    /// It was told something.
    Said,
    /// It has shut the pipe that it is to speak by.
    Mute,
    /// It has shut the pipe that it is to listen to.
    Deaf,
}

/// A handler at work.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) group: Group,
    input: Option<ChildStdin>,
    output: ChildStdout,
    inbox: Vec<u8>,
    /// How far the inbox has been searched for the end of a line.
    searched: usize,
    /// What it is to be told.
    pub(super) outbox: Vec<u8>,
    sent: usize,
    last: Last,
    logging: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts one, and waits for its hello.
    pub(super) async fn start(launch: &Launch) -> Result<(Self, Hello), StartError> {
        let options = &launch.options;
        let deadline = Instant::now() + options.start_timeout;
        let mut process = Self::spawn(launch).await?;
        Offer::new(
            &launch.workflow,
            options.in_flight,
            options.batch,
            options.timeout,
        )
        .write(&mut process.outbox);
        let failure = match timeout_at(deadline, process.greet()).await {
            Ok(Ok(hello)) => return Ok((process, hello)),
            Ok(Err(Greeting::Protocol(source))) => {
                process.terminate().await;
                StartError::Protocol {
                    said: process.last_words().await,
                    source,
                }
            }
            Ok(Err(Greeting::Shut)) => StartError::Ended {
                before: "its hello",
                fate: process.fate().await,
            },
            Err(_elapsed) => {
                process.terminate().await;
                StartError::Silent {
                    within: options.start_timeout,
                    said: process.last_words().await,
                }
            }
        };
        process.end().await;
        Err(failure)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what passes on its prints ends with it, and with this value"
    )]
    async fn spawn(launch: &Launch) -> Result<Self, StartError> {
        let options = &launch.options;
        let terms = Terms {
            parent: std::process::id().cast_signed(),
            user: options.user.clone(),
            memory_bytes: options.limits.memory_bytes,
            open_files: options.limits.open_files,
            processes: options.limits.processes,
            cpu_seconds: options.limits.cpu_seconds,
        };
        let mut command = keeper::command(&launch.shim, &terms, &options.command);
        command
            .env_clear()
            .envs(environment())
            .env(PROTOCOL_VARIABLE, VERSION.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let home = options
            .user
            .as_deref()
            .and_then(|user| User::from_name(user).ok()?);
        if let Some(home) = home {
            command.env("HOME", home.dir);
        }
        for (name, value) in &options.env {
            command.env(name, value.expose());
        }
        if let Some(cwd) = &options.cwd {
            command.current_dir(cwd);
        }
        let mut child =
            spawn::spawn(command).await.map_err(|error| {
                match fault::shortage_at_spawn(&error) {
                    Some(shortage) => StartError::Short(Short(shortage)),
                    None => StartError::Spawn(error),
                }
            })?;
        let (Some(input), Some(output), Some(printed), Some(group)) = (
            child.stdin.take(),
            child.stdout.take(),
            child.stderr.take(),
            Group::of(&child),
        ) else {
            return Err(StartError::Spawn(io::Error::other("it has no pipes")));
        };
        let last = Last::new();
        let follow = log::follow(printed, launch.workflow.clone(), group.id(), last.clone());
        Ok(Self {
            child,
            group,
            input: Some(input),
            output,
            inbox: Vec::new(),
            searched: 0,
            outbox: Vec::new(),
            sent: 0,
            last,
            logging: Some(tokio::spawn(follow)),
        })
    }

    /// Hears its first message.
    async fn greet(&mut self) -> Result<Hello, Greeting> {
        loop {
            match self.exchange().await {
                Moved::Heard => {}
                Moved::Said => continue,
                Moved::Mute | Moved::Deaf => return Err(Greeting::Shut),
            }
            let mut hello = None;
            self.messages(|message| match message {
                Message::Hello(said) if hello.is_none() => {
                    hello = Some(said);
                    Ok(())
                }
                other => Err(ProtocolError::OutOfTurn {
                    said: other.kind(),
                    wanted: if hello.is_some() { "nothing" } else { "hello" },
                }),
            })
            .map_err(Greeting::Protocol)?;
            if let Some(hello) = hello {
                return Ok(hello);
            }
        }
    }

    /// Tells it what is in the outbox, and hears what it says, whatever is possible first. May be dropped at any point.
    pub(super) async fn exchange(&mut self) -> Moved {
        if self.inbox.is_empty() && self.inbox.capacity() > KEPT_BYTES {
            self.inbox.shrink_to(READ_BYTES);
        }
        self.inbox.reserve(READ_BYTES);
        let pending = self.outbox.get(self.sent..).unwrap_or_default();
        let say = async {
            match &mut self.input {
                Some(input) if !pending.is_empty() => input.write(pending).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = self.output.read_buf(&mut self.inbox) => match read {
                Ok(1..) => Moved::Heard,
                Ok(0) => Moved::Mute,
                Err(error) => {
                    debug!(%error, "cannot read from a handler");
                    Moved::Mute
                }
            },
            said = say => match said {
                Ok(bytes) => {
                    self.sent += bytes;
                    if self.sent == self.outbox.len() {
                        self.outbox.clear();
                        self.outbox.shrink_to(KEPT_BYTES);
                        self.sent = 0;
                    }
                    Moved::Said
                }
                Err(error) => {
                    debug!(%error, "a handler does not listen");
                    Moved::Deaf
                }
            },
        }
    }

    /// Whether it has been told all that is in the outbox.
    pub(super) fn is_told(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Passes on the messages that have come whole.
    ///
    /// # Errors
    /// The first that is wrong with them; those before it have been passed on.
    pub(super) fn messages(
        &mut self,
        mut on_message: impl FnMut(Message) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let mut start = 0;
        while let Some(at) =
            memchr::memchr(b'\n', self.inbox.get(self.searched..).unwrap_or_default())
        {
            let end = self.searched + at;
            let line = self.inbox.get(start..end).unwrap_or_default();
            (start, self.searched) = (end + 1, end + 1);
            if !line.trim_ascii().is_empty() {
                on_message(protocol::parse(line)?)?;
            }
        }
        drop(self.inbox.drain(..start));
        self.searched = self.inbox.len();
        if self.inbox.len() > MAX_LINE_BYTES {
            return Err(ProtocolError::TooLong);
        }
        Ok(())
    }

    /// What it says is of no interest any more.
    pub(super) fn forget_inbox(&mut self) {
        self.inbox.clear();
        self.searched = 0;
    }

    /// Lets it know that nothing more comes.
    pub(super) fn shut_input(&mut self) {
        self.input = None;
    }

    /// Waits for the end of one that seems to have ended, makes it if it has not, and says how it ended and what it printed last.
    pub(super) async fn fate(&mut self) -> String {
        let fate = match timeout(LEAVE, self.child.wait()).await {
            Ok(Ok(status)) => told(status),
            Ok(Err(error)) => format!("it cannot be waited for ({error})"),
            Err(_elapsed) => {
                self.terminate().await;
                "it shut its pipes and went on without them".to_owned()
            }
        };
        fate + &self.last_words().await
    }

    /// What it printed last, as the end of a sentence. To be asked once it has ended.
    pub(super) async fn last_words(&mut self) -> String {
        if let Some(logging) = self.logging.take() {
            // Its end of the pipe is shut with it, and that of all it has started.
            let ended = timeout(LEAVE, logging).await;
            debug!(?ended, "a handler's prints have ended");
        }
        match self.last.text() {
            text if text.is_empty() => String::new(),
            text => format!("; the last it printed: {text}"),
        }
    }

    /// Waits for it to leave by itself.
    pub(super) async fn leaves(&mut self, within: Duration) -> Option<ExitStatus> {
        timeout(within, self.child.wait()).await.ok()?.ok()
    }

    /// Ends it and all it has started, whatever they are doing.
    pub(super) async fn terminate(&mut self) {
        if self.child.id().is_none() {
            return;
        }
        self.tell_keeper();
        if timeout(LEAVE, self.child.wait()).await.is_err() {
            // The keeper is one of them.
            self.group.kill();
            if let Err(error) = self.child.wait().await {
                warn!(%error, "cannot wait for a handler");
            }
        }
    }

    /// The same, with all that belongs to it here.
    pub(super) async fn end(mut self) {
        self.terminate().await;
        if let Some(logging) = self.logging.take() {
            let ended = timeout(LEAVE, logging).await;
            debug!(?ended, "a handler's prints have ended");
        }
    }

    /// Has the keeper end what it keeps. Only while it has not been waited for.
    fn tell_keeper(&self) {
        match kill(self.group.leader(), Signal::SIGTERM) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => warn!(%error, "cannot end a handler"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Unless it has been waited for.
        if self.child.id().is_some() {
            self.tell_keeper();
        }
        if let Some(logging) = self.logging.take() {
            logging.abort();
        }
    }
}

/// Why there was no hello.
enum Greeting {
    Protocol(ProtocolError),
    Shut,
}

/// How it ended, in words. The keeper leaves as the handler did.
fn told(status: ExitStatus) -> String {
    let name = |number: i32| match Signal::try_from(number) {
        Ok(signal) => format!("signal {number}, {signal}"),
        Err(_unknown) => format!("signal {number}"),
    };
    if let Some(number) = status.signal() {
        return format!("it was ended by {}", name(number));
    }
    let code = status.code().unwrap_or_default();
    match code - i32::from(SIGNALLED) {
        number @ 1..=64 => format!("it was ended by {}", name(number)),
        _ => format!("it left with exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told() {
        for (raw, expected) in [
            (0, "it left with exit code 0"),
            (3 << 8, "it left with exit code 3"),
            (127 << 8, "it left with exit code 127"),
            ((128 + 11) << 8, "it was ended by signal 11, SIGSEGV"),
            (9, "it was ended by signal 9, SIGKILL"),
        ] {
            assert_eq!(told(ExitStatus::from_raw(raw)), expected);
        }
    }
}
