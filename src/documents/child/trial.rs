//! Whether children are confined here, tried out, and whether they read PDFs.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gleaner_parse::SECOND_ENGINE;
use gleaner_parse::child::{SUBCOMMAND, TRY, Tried, Trying};
use gleaner_parse::protocol::Sandbox;
use tokio::process::Command;
use tokio::time::timeout;

use super::Reader;
use crate::area::check::Check;

/// A child that tries something takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has a child confine itself and try something that is forbidden to it.
///
/// # Errors
/// If it cannot be started, or does not tell.
pub async fn try_out(reader: &Reader, trying: Trying) -> io::Result<Tried> {
    let ran = Command::new(reader.program())
        .arg0("gleaner")
        .args([SUBCOMMAND, TRY, trying.name()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, ran).await??;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("{error}: {}", complaint.trim()))
    })
}

/// What `gleaner doctor` says of them: how well they are confined, and what reads PDFs.
pub async fn examine(reader: &Reader, sandbox: Sandbox, pdfium: Option<&Path>) -> Vec<Check> {
    let confined = match try_out(reader, Trying::Nothing).await {
        Ok(tried) => confinement(&tried, sandbox),
        Err(error) => Check::fail(
            "sandbox",
            format!("the process that reads documents cannot be started: {error}"),
            "is the program's file still there and may it be run?",
        ),
    };
    vec![confined, parser(pdfium)]
}

fn confinement(tried: &Tried, sandbox: Sandbox) -> Check {
    const NAME: &str = "sandbox";
    let missing: Vec<String> = tried
        .sandbox
        .missing
        .iter()
        .map(|(part, why)| format!("{} ({why})", part.name()))
        .collect();
    if missing.is_empty() {
        return Check::ok(
            NAME,
            "readers of documents are confined by limits, Landlock and seccomp",
        );
    }
    let found = format!("readers of documents lack {}", missing.join(", "));
    match sandbox {
        Sandbox::Required => Check::fail(
            NAME,
            found,
            "documents fail with no_sandbox: use a kernel that has it (Linux 5.13 or later, Landlock enabled)",
        ),
        Sandbox::Best => Check::warn(
            NAME,
            found,
            "documents are read without it; a kernel from Linux 5.13 on with Landlock enabled has it",
        ),
    }
}

fn parser(pdfium: Option<&Path>) -> Check {
    const NAME: &str = "pdf";
    match pdfium {
        Some(library) => Check::ok(NAME, format!("PDFs are read by {}", library.display())),
        None => Check::warn(
            NAME,
            match SECOND_ENGINE {
                Some(engine) => {
                    format!("there is no libpdfium.so: PDFs are read by {engine}, which finds less")
                }
                None => "there is no libpdfium.so: PDFs fail with no_pdf_engine".to_owned(),
            },
            "./quickstart fetches it; or name it in the option pdfium of the workflow that reads documents",
        ),
    }
}

#[cfg(test)]
mod tests {
    use gleaner_parse::sandbox::{Part, Report};

    use super::*;
    use crate::area::check::Grade;

    #[test]
    fn what_is_missing_is_said_and_is_a_failure_where_it_is_demanded() {
        let tried = |missing| Tried {
            trying: Trying::Nothing,
            refused: None,
            sandbox: Report { missing },
        };
        let lacking = vec![(Part::Files, "none here".to_owned())];
        for (missing, sandbox, grade) in [
            (Vec::new(), Sandbox::Required, Grade::Ok),
            (lacking.clone(), Sandbox::Best, Grade::Warn),
            (lacking, Sandbox::Required, Grade::Fail),
        ] {
            let check = confinement(&tried(missing), sandbox);
            assert_eq!(check.outcome, grade, "{check:?}");
        }
        assert_eq!(parser(None).outcome, Grade::Warn);
        assert_eq!(parser(Some(Path::new("/lib/x.so"))).outcome, Grade::Ok);
    }
}
