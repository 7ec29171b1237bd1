//! `gleaner become`: gives up what a handler is not to have, and becomes it.
//!
//! It gets its protocol on descriptors of their own ([`IN`], [`OUT`]), so that nothing that it prints can get in between: its standard
//! output is the same as its standard error, which goes to the log, and its standard input is empty.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{User, dup2_stdin, dup2_stdout, initgroups, setgid, setuid};

use super::keeper::{FAILED, KeepError, complain, die_with, parse};

/// The descriptor that a handler reads its protocol from.
pub const IN: RawFd = 3;

/// The descriptor that a handler writes its protocol to.
pub const OUT: RawFd = 4;

/// How much a pipe of the protocol holds.
const PIPE_BYTES: i32 = 256 << 10;

/// The exit codes of shells: it is not there; it is there and cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// What the subcommand does. Returns only when it fails.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Err(error) = run(arguments);
    complain(&error);
    ExitCode::from(match &error {
        KeepError::Refused {
            step: EXECUTE,
            source,
        } => match source.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        },
        _ => FAILED,
    })
}

const EXECUTE: &str = "execute the command";

fn run(arguments: impl Iterator<Item = OsString>) -> Result<Infallible, KeepError> {
    let (terms, program) = parse(arguments)?;
    put(io::stdin(), IN).map_err(KeepError::refused("put the protocol in its place"))?;
    put(io::stdout(), OUT).map_err(KeepError::refused("put the protocol in its place"))?;
    silence().map_err(KeepError::refused("open /dev/null"))?;
    for (resource, most) in [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_NOFILE, terms.open_files),
        (Resource::RLIMIT_CPU, terms.cpu_seconds),
    ] {
        lower(resource, most)?;
    }
    if let Some(user) = &terms.user {
        become_user(user)?;
    }
    // Behind the change of user, whose processes are counted.
    lower(Resource::RLIMIT_NPROC, terms.processes)?;
    set_no_new_privs().map_err(KeepError::refused("give up new privileges"))?;
    die_with(terms.parent, Signal::SIGKILL)?;
    // The keeper keeps some waiting, and what it starts inherits that.
    SigSet::empty()
        .thread_set_mask()
        .map_err(KeepError::refused("let signals through"))?;
    let mut arguments = program.into_iter();
    let name = arguments.next().unwrap_or_default();
    let mut command = Command::new(&name);
    command.args(arguments);
    // Last: this very process may take more than that.
    lower(Resource::RLIMIT_AS, terms.memory_bytes)?;
    let source = command.exec();
    Err(KeepError::Refused {
        step: EXECUTE,
        source: io::Error::new(source.kind(), format!("{}: {source}", name.display())),
    })
}

/// Another name for a descriptor, which whatever is executed inherits.
fn put(stream: impl AsFd, place: RawFd) -> io::Result<()> {
    // Less to and fro with large messages. Who has many pipes already is refused it, and does without.
    fcntl(&stream, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).unwrap_or_default();
    let put = fcntl(stream, FcntlArg::F_DUPFD(place))?;
    if put == place {
        Ok(())
    } else {
        Err(io::Error::other(format!("descriptor {place} is taken")))
    }
}

/// Nothing to read, and what is printed goes where complaints go.
fn silence() -> io::Result<()> {
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    Ok(())
}

/// Sets a limit, never above what we were given ourselves.
fn lower(resource: Resource, most: Option<u64>) -> Result<(), KeepError> {
    let Some(most) = most else {
        return Ok(());
    };
    let set = || {
        let (_, hard) = getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most)
    };
    set().map_err(KeepError::refused("set a limit"))
}

fn become_user(name: &str) -> Result<(), KeepError> {
    let unknown = || KeepError::Arguments(format!("there is no user {name}"));
    let user = User::from_name(name)
        .map_err(KeepError::refused("look up a user"))?
        .ok_or_else(unknown)?;
    // Already; and who is not root may not even do nothing.
    if user.uid == nix::unistd::getuid() {
        return Ok(());
    }
    let name = CString::new(name).map_err(|_nul| unknown())?;
    initgroups(&name, user.gid).map_err(KeepError::refused(
        "take on the groups of the user (only root may become somebody else)",
    ))?;
    setgid(user.gid).map_err(KeepError::refused("take on the group of the user"))?;
    setuid(user.uid).map_err(KeepError::refused("become the user"))
}
