//! Whether supervisord lets Gleaner drain. Its default kills after ten seconds, in the middle of everything.

use std::path::Path;
use std::time::Duration;

/// Where Debian and Red Hat keep program files.
const FOLDERS: [&str; 2] = ["/etc/supervisor/conf.d", "/etc/supervisord.d"];

/// supervisord's own default (its manual, `[program:x]` section).
const DEFAULT_STOP_WAIT: Duration = Duration::from_secs(10);

/// A program that runs Gleaner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Its section.
    pub name: String,
    /// How long supervisord waits after SIGTERM before it kills.
    pub stop_wait: Duration,
}

/// Programs of this machine's supervisord that run Gleaner.
pub(super) fn programs() -> Vec<Program> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = Path::new(folder).read_dir() else {
            continue;
        };
        for entry in entries.flatten() {
            if let Ok(text) = std::fs::read_to_string(entry.path()) {
                found.extend(read(&text));
            }
        }
    }
    found
}

/// The sections of a program file whose command is `gleaner run`.
fn read(text: &str) -> Vec<Program> {
    let mut found = Vec::new();
    let mut section: Option<(Program, bool)> = None;
    let mut close = |section: &mut Option<(Program, bool)>| {
        if let Some((program, true)) = section.take() {
            found.push(program);
        }
    };
    for line in text.lines() {
        let line = line.split(" ;").next().unwrap_or_default().trim();
        if line.starts_with([';', '#']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            close(&mut section);
            let name = header.trim_end_matches(']').strip_prefix("program:");
            section = name.map(|name| {
                let name = name.trim().to_owned();
                (
                    Program {
                        name,
                        stop_wait: DEFAULT_STOP_WAIT,
                    },
                    false,
                )
            });
        } else if let (Some((program, is_ours)), Some((key, value))) =
            (&mut section, line.split_once('='))
        {
            match key.trim() {
                "command" => {
                    let mut words = value.split_whitespace();
                    let is_gleaner = words
                        .next()
                        .and_then(|path| path.rsplit('/').next())
                        .is_some_and(|name| name == "gleaner");
                    *is_ours = is_gleaner && words.any(|word| word == "run");
                }
                "stopwaitsecs" => {
                    if let Ok(seconds) = value.trim().parse() {
                        program.stop_wait = Duration::from_secs(seconds);
                    }
                }
                _ => {}
            }
        }
    }
    close(&mut section);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_programs_count() {
        let text = "[program:web]\ncommand=/usr/bin/web run\n\n[program:gleaner]\n; a remark\n\
            command = /usr/local/bin/gleaner run --config x\nstopwaitsecs = 60 ; longer than the drain\n\
            [program:g2]\ncommand=gleaner run\n[supervisord]\nlogfile=x\n";
        let program = |name: &str, seconds| Program {
            name: name.to_owned(),
            stop_wait: Duration::from_secs(seconds),
        };
        assert_eq!(read(text), [program("gleaner", 60), program("g2", 10)]);
        assert_eq!(
            read(include_str!("../../../deploy/supervisord.conf")),
            [program("gleaner", 60)]
        );
    }
}
