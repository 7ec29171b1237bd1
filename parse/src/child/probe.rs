//! `gleaner parse --try WHAT`: confines itself as for a document, tries what is forbidden, and tells what came of it. Harmless: what
//! it would open, connect to or start is nothing that answers, and it writes nothing but one line of JSON.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::Limits;
use crate::sandbox::{self, Report};
use crate::watch;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trying {
    /// Only the confinement itself.
    Nothing,
    /// To open a file that everybody may read.
    Open,
    /// To make one.
    Create,
    /// To connect over TCP.
    Connect,
    /// To connect to a socket of this machine.
    Socket,
    /// To become another program.
    Exec,
    /// To start another program.
    Fork,
    /// To start a thread.
    Thread,
    /// To send its parent a signal that does nothing.
    Kill,
    /// To take more memory than there is for it.
    Alloc,
}

impl Trying {
    /// All of it.
    pub const ALL: [Self; 10] = [
        Self::Nothing,
        Self::Open,
        Self::Create,
        Self::Connect,
        Self::Socket,
        Self::Exec,
        Self::Fork,
        Self::Thread,
        Self::Kill,
        Self::Alloc,
    ];

    /// As it stands on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Open => "open",
            Self::Create => "create",
            Self::Connect => "connect",
            Self::Socket => "socket",
            Self::Exec => "exec",
            Self::Fork => "fork",
            Self::Thread => "thread",
            Self::Kill => "kill",
            Self::Alloc => "alloc",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    pub trying: Trying,
    /// What refused it; nothing if it was let through.
    pub refused: Option<String>,
    pub sandbox: Report,
}

pub(super) fn main(what: &OsStr) -> ExitCode {
    let Some(trying) = Trying::ALL.into_iter().find(|one| what == one.name()) else {
        watch::complain("gleaner parse --try: open, connect, exec, fork, …");
        return ExitCode::from(super::MISUSE);
    };
    let mut report = Report::default();
    sandbox::limit(&Limits::default(), &mut report);
    sandbox::close_files(&mut report);
    sandbox::seal(&mut report);
    let tried = Tried {
        trying,
        refused: attempt(trying).err().map(|error| error.to_string()),
        sandbox: report,
    };
    let line = serde_json::to_string(&tried).unwrap_or_default();
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn attempt(trying: Trying) -> io::Result<()> {
    match trying {
        Trying::Nothing => Ok(()),
        Trying::Open => File::open("/etc/passwd").map(drop),
        Trying::Create => File::create("/tmp/gleaner-parse-was-here").map(drop),
        Trying::Connect => {
            // Where nobody listens: let through, it would be refused by the other end.
            let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
            match TcpStream::connect_timeout(&nowhere, Duration::from_secs(1)) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                other => other.map(drop),
            }
        }
        Trying::Socket => match std::os::unix::net::UnixStream::connect("/gleaner-nowhere") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        },
        Trying::Exec => Err(Command::new("/bin/true").exec()),
        Trying::Fork => Command::new("/bin/true").spawn().map(drop),
        Trying::Thread => std::thread::Builder::new().spawn(|| {}).map(drop),
        Trying::Kill => match rustix::process::getppid() {
            Some(parent) => Ok(rustix::process::test_kill_process(parent)?),
            None => Ok(()),
        },
        Trying::Alloc => {
            let bytes = usize::try_from(Limits::default().memory_bytes).unwrap_or(usize::MAX);
            let mut memory = Vec::<u8>::new();
            memory.try_reserve_exact(bytes).map_err(io::Error::other)
        }
    }
}
