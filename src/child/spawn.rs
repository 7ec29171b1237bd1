//! Starts children from a thread that lives as long as this process.
//!
//! A child that asks to be told of its parent's death is told of the death of the **thread** that started it (prctl(2),
//! `PR_SET_PDEATHSIG`). The threads of a runtime may end before the process does: those for blocking work do when they are idle.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Start {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// The way to the thread, once there is one.
static STARTS: Mutex<Option<Sender<Start>>> = Mutex::new(None);

/// Starts a child that belongs to the runtime of whoever asks. What the command holds, such as the child's ends of pipes, is
/// dropped here. A child that nobody waits for any more when it is there is killed.
///
/// # Errors
/// As the system refuses it: [`crate::fault::shortage_at_spawn`] tells shortages from the rest.
pub(crate) async fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = oneshot::channel();
    let start = Start {
        command,
        runtime: Handle::current(),
        answer,
    };
    way()?
        .send(start)
        .map_err(|_gone| io::Error::other("the thread that starts children is gone"))?;
    answered
        .await
        .unwrap_or_else(|_gone| Err(io::Error::other("the thread that starts children is gone")))
}

fn way() -> io::Result<Sender<Start>> {
    let mut starts = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(way) = &*starts {
        return Ok(way.clone());
    }
    let (way, asked) = channel();
    thread::Builder::new()
        .name("gleaner-spawn".to_owned())
        .spawn(move || serve(&asked))?;
    Ok(starts.insert(way).clone())
}

fn serve(asked: &Receiver<Start>) {
    while let Ok(mut start) = asked.recv() {
        let started = {
            let _context = start.runtime.enter();
            start.command.spawn()
        };
        // With our copies of the child's ends of its pipes.
        drop(start.command);
        // Who is not there any more has no use for it.
        if let Err(Ok(mut child)) = start.answer.send(started) {
            child.start_kill().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_belongs_to_the_runtime_that_asked_and_a_refusal_is_told() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 7"]);
        let mut child = spawn(command).await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
        let refused = spawn(Command::new("/nowhere/program")).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
