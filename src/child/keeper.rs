//! `gleaner keep`: stands between us and a program of somebody else, and leaves nothing of it behind.
//!
//! A group of processes can be left (`setsid`), and a death signal reaches one process. So the program is started by a keeper,
//! which the kernel gives all orphans among its descendants to (prctl(2), `PR_SET_CHILD_SUBREAPER`). When the program ends, when the
//! keeper is told to end it (SIGTERM), or when our process is gone, however it came to its end, the keeper kills what is left,
//! waits for it, and leaves as the program did. Whatever kills the keeper itself ends the program too, by its own death signal.
//!
//! What has to be done between `fork` and `exec` is done by this program, once more, with safe calls
//! ([`super::confine`]): `Command::pre_exec` needs `unsafe`, which this project forbids.

use std::error::Error as _;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::prctl::{set_child_subreaper, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, close, dup2_stdin, dup2_stdout, getpid, getppid};
use serde::{Deserialize, Serialize};

use super::group;

/// The name of the hidden subcommand that must call [`main`] with the arguments after it.
pub const SUBCOMMAND: &str = "keep";

/// The name of the hidden subcommand that must call [`super::confine::main`] in the same way.
pub const BECOME: &str = "become";

/// The exit code when the keeper, or what confines the program, could not do its work.
pub const FAILED: u8 = 125;

/// What is added to a signal's number to make an exit code of it, as shells do.
pub const SIGNALLED: u8 = 128;

/// As whom, and within which limits, a program runs. Goes over a command line, so nothing in it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Whoever started this: gone, or another, and there is no reason to go on.
    pub parent: i32,
    /// The user to become, with that user's groups.
    pub user: Option<String>,
    /// Address space of each process, in bytes.
    pub memory_bytes: Option<u64>,
    /// Descriptors of each process.
    pub open_files: Option<u64>,
    /// Processes and threads of the user, whoever started them; root is not held to it.
    pub processes: Option<u64>,
    /// Processor time of each process over its whole life, in seconds.
    pub cpu_seconds: Option<u64>,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    /// Somebody else than this program has called it.
    #[error("{0}: this command is for Gleaner itself, which starts handlers by it")]
    Arguments(String),
    /// The process that wanted the program is gone.
    #[error("the process that wanted this is gone")]
    Orphan,
    /// The system refuses a step.
    #[error("cannot {step}")]
    Refused {
        step: &'static str,
        #[source]
        source: io::Error,
    },
}

impl KeepError {
    pub(super) fn refused<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Refused {
            step,
            source: error.into(),
        }
    }
}

/// The command that runs a program through a keeper that is `shim`, which is this program. The child leads a group of its own.
pub(crate) fn command(shim: &Path, terms: &Terms, program: &[String]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(shim);
    command
        .arg0("gleaner")
        .arg(SUBCOMMAND)
        .arg(told(terms))
        .args(program)
        .process_group(0);
    command
}

fn told(terms: &Terms) -> String {
    // Of numbers and a name: there is nothing in it that has no JSON.
    serde_json::to_string(terms).unwrap_or_default()
}

/// The terms and the program among the arguments behind the name of the subcommand.
pub(super) fn parse(
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<(Terms, Vec<OsString>), KeepError> {
    let terms = arguments.next().unwrap_or_default();
    let terms = terms
        .to_str()
        .and_then(|terms| serde_json::from_str(terms).ok())
        .ok_or_else(|| KeepError::Arguments("there are no terms".to_owned()))?;
    let program: Vec<OsString> = arguments.collect();
    if program.is_empty() {
        return Err(KeepError::Arguments("there is no program".to_owned()));
    }
    Ok((terms, program))
}

/// Ties the life of this process to that of its parent. To be called behind every change of user: the kernel forgets it then.
pub(super) fn die_with(parent: i32, signal: Signal) -> Result<(), KeepError> {
    set_pdeathsig(signal).map_err(KeepError::refused("ask for a death signal"))?;
    // It may have died before.
    if getppid().as_raw() == parent {
        Ok(())
    } else {
        Err(KeepError::Orphan)
    }
}

/// Tells the log, and has no other way to.
pub(super) fn complain(error: &KeepError) {
    let cause = error.source().map(|source| format!(": {source}"));
    drop(writeln!(
        io::stderr(),
        "gleaner: {error}{}",
        cause.unwrap_or_default()
    ));
}

/// What the subcommand does.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match keep(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILED)
        }
    }
}

/// Runs the program to its end, or to ours: the exit code.
fn keep(arguments: impl Iterator<Item = OsString>) -> Result<u8, KeepError> {
    let (mut terms, program) = parse(arguments)?;
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ] {
        signals.add(signal);
    }
    signals
        .thread_block()
        .map_err(KeepError::refused("keep signals waiting"))?;
    die_with(terms.parent, Signal::SIGTERM)?;
    set_child_subreaper(true).map_err(KeepError::refused("take in orphans"))?;
    close_all_but_the_three().map_err(KeepError::refused("close what is not its own"))?;
    terms.parent = getpid().as_raw();
    let child = Command::new("/proc/self/exe")
        .arg0("gleaner")
        .arg(BECOME)
        .arg(told(&terms))
        .args(program)
        .spawn()
        .map_err(KeepError::refused("start a process"))?;
    let main = Pid::from_raw(child.id().cast_signed());
    let fate = let_go_of_the_pipes()
        .map_err(KeepError::refused("open /dev/null"))
        .and_then(|()| watch(&signals, main));
    end_all();
    fate
}

/// Waits for the program's end, or for word that it is to end.
fn watch(signals: &SigSet, main: Pid) -> Result<u8, KeepError> {
    loop {
        let signal = signals
            .wait()
            .map_err(KeepError::refused("wait for signals"))?;
        if signal != Signal::SIGCHLD {
            return Ok(SIGNALLED + 15);
        }
        // One signal may stand for several deaths, of orphans too.
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                    return Ok(u8::try_from(code & 0xff).unwrap_or(FAILED));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                    let number = u8::try_from(signal as i32).unwrap_or_default();
                    return Ok(SIGNALLED + number);
                }
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}

/// Kills all descendants: those whose parents die become our children.
fn end_all() {
    let own = getpid().as_raw();
    loop {
        for child in group::children_of(own) {
            // Ours, and not waited for: its number is nobody else's.
            kill(Pid::from_raw(child), Signal::SIGKILL).unwrap_or_default();
        }
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            // There is none left.
            Err(_) => return,
        }
    }
}

/// The ends of the program's pipes are the program's alone: when it shuts them, they are shut.
fn let_go_of_the_pipes() -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    Ok(())
}

/// What whoever started us has left open is none of the program's.
fn close_all_but_the_three() -> io::Result<()> {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        match close(descriptor) {
            // That of the folder itself is shut by now.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_and_program_come_through_a_command_line() {
        let terms = Terms {
            parent: 7,
            user: Some("nobody".to_owned()),
            cpu_seconds: Some(3),
            ..Terms::default()
        };
        let line = [told(&terms), "sh".to_owned(), "-c".to_owned()];
        let (read, program) = parse(line.iter().map(OsString::from)).unwrap();
        assert_eq!(read, terms);
        assert_eq!(program, ["sh", "-c"]);
        for (line, wanted) in [
            (vec![], "no terms"),
            (vec!["{}".to_owned(), "sh".to_owned()], "no terms"),
            (vec![told(&terms)], "no program"),
        ] {
            let error = parse(line.iter().map(OsString::from)).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
