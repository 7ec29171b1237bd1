//! The child as a process: started with nothing of ours but a file and a socket, and ended with all it may have started.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::ChildError;
use crate::child::group::Group;
use crate::child::spawn::spawn;
use crate::child::tail::Tail;
use crate::fault::{self, Short};

/// How much of what a child complains of is kept.
const TAIL_BYTES: usize = 2_048;

/// How long a child may take to be gone once it has said its last word, or has shut its socket.
const LEAVE: Duration = Duration::from_secs(2);

/// A child at work.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
    pub(super) socket: UnixStream,
    complaints: Option<JoinHandle<String>>,
}

/// How a child came to its end.
#[derive(Debug, Default)]
pub(super) struct Death {
    /// The signal that ended it.
    pub(super) signal: Option<Signal>,
    /// The code that it left by itself.
    pub(super) code: Option<i32>,
    /// The last that it complained of.
    pub(super) complaints: String,
}

impl Process {
    #[expect(
        clippy::disallowed_methods,
        reason = "what reads its complaints ends with it, and with this value"
    )]
    pub(super) async fn start(program: &Path, file: &File) -> Result<Self, ChildError> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        let mut command = Command::new(program);
        command
            .arg0("gleaner")
            .arg(gleaner_parse::child::SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(file.try_clone()?)
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        // The command goes with it, and with that our copy of the child's end of the socket: the end of the child is then the end of
        // the stream.
        let mut child =
            spawn(command)
                .await
                .map_err(|error| match fault::shortage_at_spawn(&error) {
                    Some(shortage) => ChildError::Short(Short(shortage)),
                    None => ChildError::Start(error),
                })?;
        let (Some(stderr), Some(group)) = (child.stderr.take(), Group::of(&child)) else {
            return Err(ChildError::Start(io::Error::other("it has no pipe")));
        };
        Ok(Self {
            child,
            group,
            socket,
            complaints: Some(tokio::spawn(tail(stderr))),
        })
    }

    /// Waits for the end of a child that is about to leave, and makes it if it does not.
    pub(super) async fn death(&mut self) -> Death {
        let status = match timeout(LEAVE, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                self.kill();
                self.child.wait().await.ok()
            }
        };
        let complaints = match self.complaints.take() {
            // Its end of the pipe is shut with it.
            Some(complaints) => timeout(LEAVE, complaints).await,
            None => Ok(Ok(String::new())),
        };
        Death {
            signal: status
                .and_then(|status| status.signal())
                .and_then(|signal| Signal::try_from(signal).ok()),
            code: status.and_then(|status| status.code()),
            complaints: complaints.ok().and_then(Result::ok).unwrap_or_default(),
        }
    }

    /// Ends it, whatever it is doing.
    pub(super) async fn end(mut self) {
        if self.child.id().is_some() {
            self.kill();
            if let Err(error) = self.child.wait().await {
                warn!(%error, "cannot wait for the child that read a document");
            }
        }
    }

    /// To be called only while the child has not been waited for.
    pub(super) fn kill(&self) {
        self.group.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Unless it has been waited for.
        if self.child.id().is_some() {
            self.kill();
        }
        if let Some(complaints) = self.complaints.take() {
            complaints.abort();
        }
    }
}

/// The last of what it writes.
async fn tail(mut stderr: ChildStderr) -> String {
    let mut kept = Tail::of(TAIL_BYTES);
    let mut buffer = [0; 1_024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        kept.push(buffer.get(..read).unwrap_or_default());
    }
    kept.text()
}
