//! The demo's progress: bars on a terminal, a line now and then elsewhere; and the table of workflows at the end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::ledger::Counts;
use crate::console::complain;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far the workflows are.
pub(super) struct Progress {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    last_line: Instant,
}

impl Progress {
    /// Bars if standard error is a terminal.
    pub(super) fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| (MultiProgress::new(), Vec::new()));
        Self {
            bars,
            last_line: Instant::now(),
        }
    }

    /// Brings it up to date.
    pub(super) fn show(&mut self, counts: &[Counts]) {
        match &mut self.bars {
            Some((all, bars)) => {
                while bars.len() < counts.len() {
                    bars.push(all.add(bar()));
                }
                for (bar, stage) in bars.iter().zip(counts) {
                    bar.set_prefix(stage.workflow);
                    bar.set_length((stage.settled() + stage.waiting()).unsigned_abs());
                    bar.set_position(stage.settled().unsigned_abs());
                    bar.set_message(format!(
                        "{} in hand, {} errors",
                        stage.processing, stage.error
                    ));
                }
            }
            None => {
                if self.last_line.elapsed() >= LINE_EVERY {
                    self.last_line = Instant::now();
                    let parts: Vec<String> = counts
                        .iter()
                        .map(|stage| {
                            let total = stage.settled() + stage.waiting();
                            format!("{} {}/{total}", stage.workflow, stage.settled())
                        })
                        .collect();
                    complain(&parts.join(", "));
                }
            }
        }
    }

    /// Takes the bars away.
    pub(super) fn finish(&mut self) {
        if let Some((all, _)) = self.bars.take() {
            // Nothing is to be seen where the terminal has gone away.
            drop(all.clear());
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>18} {wide_bar} {pos:>6}/{len:<6} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// The table at the end, line by line.
pub(super) fn table(counts: &[Counts]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<18} {:>10} {:>10} {:>10} {:>10}",
        "workflow", "completed", "filtered", "error", "attempts"
    )];
    for stage in counts {
        lines.push(format!(
            "{:<18} {:>10} {:>10} {:>10} {:>10}",
            stage.workflow, stage.completed, stage.filtered, stage.error, stage.attempts
        ));
    }
    lines
}
