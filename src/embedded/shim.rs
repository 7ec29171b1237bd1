//! The `embedded-exec` subcommand: prepares this process to be a server, then becomes it.
//!
//! Dropping to another user and asking for a death signal must happen between `fork` and `exec`. Doing that in
//! `Command::pre_exec` needs `unsafe`, which this project forbids; so the child first runs this program again, and that
//! prepares itself with safe calls and then replaces itself.
//!
//! The order matters. The kernel clears the death signal on a change of credentials, so it comes after them (prctl(2),
//! `PR_SET_PDEATHSIG`). The parent may have died before it was set, so that is checked last.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getppid, setgid, setgroups, setuid};

use super::EmbeddedError;
use super::account::Account;
use crate::child;

/// The name of the hidden subcommand that must call [`exec_shim`] with the arguments after it.
pub const EXEC_SUBCOMMAND: &str = "embedded-exec";

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    uid: Option<u32>,
    gid: Option<u32>,
    parent: u32,
    command: Vec<OsString>,
}

/// Drops to another user, asks to be interrupted when the parent dies, and becomes the program named by `arguments`.
///
/// `arguments` are those after [`EXEC_SUBCOMMAND`]: `[--uid N --gid N] --parent PID -- PROGRAM [ARGUMENT…]`. The death
/// signal is SIGINT: a fast shutdown for PostgreSQL, a clean one for Redis.
///
/// # Errors
///
/// Returns only if the arguments are wrong, a step is refused, the parent is gone, or the program cannot be executed.
pub fn exec_shim(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Infallible, EmbeddedError> {
    let arguments = parse(arguments)?;
    let refused = |action: &str| {
        let action = action.to_owned();
        move |errno: nix::Error| EmbeddedError::Shim {
            action,
            source: errno.into(),
        }
    };
    if let Some(gid) = arguments.gid {
        setgroups(&[]).map_err(refused("drop supplementary groups"))?;
        setgid(Gid::from_raw(gid)).map_err(refused("set the group"))?;
    }
    if let Some(uid) = arguments.uid {
        setuid(Uid::from_raw(uid)).map_err(refused("set the user"))?;
    }
    set_pdeathsig(Signal::SIGINT).map_err(refused("ask for a death signal"))?;
    if u32::try_from(getppid().as_raw()).ok() != Some(arguments.parent) {
        return Err(EmbeddedError::ShimArguments(format!(
            "the parent process {} is gone",
            arguments.parent
        )));
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(EmbeddedError::ShimArguments(
            "no program after --".to_owned(),
        ));
    };
    // Emptied here too: whoever starts the shim by hand starts a server as we would.
    let source = Command::new(program)
        .args(rest)
        .env_clear()
        .envs(child::environment())
        .exec();
    Err(EmbeddedError::Shim {
        action: format!("execute {}", program.display()),
        source,
    })
}

/// The command that runs `program` with `rest` through the shim, as a child of this process.
///
/// The child leads a process group of its own, so that Ctrl-C in a terminal reaches us and not it.
pub(super) fn command(
    shim: Option<&OsStr>,
    account: &Account,
    program: &OsStr,
    rest: impl IntoIterator<Item = OsString>,
) -> Command {
    // Not current_exe(): a program that was replaced while it runs must still be able to start its servers again.
    let mut command = Command::new(shim.unwrap_or(OsStr::new("/proc/self/exe")));
    command.arg0("gleaner").arg(EXEC_SUBCOMMAND);
    if account.is_other {
        command.args([
            "--uid",
            &account.uid.to_string(),
            "--gid",
            &account.gid.to_string(),
        ]);
    }
    command
        .args(["--parent", &std::process::id().to_string(), "--"])
        .arg(program)
        .args(rest);
    // Nor does PGDATA and its like move the server's files, port or defaults away from what we pass.
    command.env_clear().envs(child::environment());
    command.process_group(0);
    command
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, EmbeddedError> {
    let bad = |text: String| EmbeddedError::ShimArguments(text);
    let mut arguments = arguments.into_iter();
    let (mut uid, mut gid, mut parent) = (None, None, None);
    loop {
        let Some(name) = arguments.next() else {
            return Err(bad("expected -- and a program".to_owned()));
        };
        let target = match name.to_str() {
            Some("--") => break,
            Some("--uid") => &mut uid,
            Some("--gid") => &mut gid,
            Some("--parent") => &mut parent,
            _ => return Err(bad(format!("unknown argument {}", name.display()))),
        };
        let number = arguments
            .next()
            .and_then(|value| value.to_str().and_then(|text| text.parse::<u32>().ok()))
            .ok_or_else(|| bad(format!("{} needs a number", name.display())))?;
        *target = Some(number);
    }
    if uid.is_some() != gid.is_some() {
        return Err(bad("--uid and --gid go together".to_owned()));
    }
    let parent = parent.ok_or_else(|| bad("--parent is missing".to_owned()))?;
    let command: Vec<OsString> = arguments.collect();
    if command.is_empty() {
        return Err(bad("no program after --".to_owned()));
    }
    Ok(Arguments {
        uid,
        gid,
        parent,
        command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_are_parsed() {
        let command = vec![OsString::from("/bin/x"), OsString::from("--uid")];
        assert_eq!(
            parsed("--uid 1 --gid 2 --parent 3 -- /bin/x --uid"),
            Ok(Arguments {
                uid: Some(1),
                gid: Some(2),
                parent: 3,
                command: command.clone()
            })
        );
        assert_eq!(
            parsed("--parent 3 -- /bin/x --uid"),
            Ok(Arguments {
                uid: None,
                gid: None,
                parent: 3,
                command
            })
        );
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (line, wanted) in [
            ("", "expected -- and a program"),
            ("--parent 3 --", "no program after --"),
            ("-- /bin/x", "--parent is missing"),
            ("--uid 1 --parent 3 -- x", "--uid and --gid go together"),
            ("--uid x", "--uid needs a number"),
            ("--gid", "--gid needs a number"),
            ("--what 1", "unknown argument --what"),
        ] {
            assert_eq!(
                parsed(line),
                Err(format!("embedded-exec: {wanted}")),
                "{line}"
            );
        }
    }
}
