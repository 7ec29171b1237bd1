//! The binary: parse, run, print the error chain, exit code.

use std::process::ExitCode;

use gleaner::child::{confine, keeper};

fn main() -> ExitCode {
    let signals = gleaner::signals::Held::new();
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first
        .as_ref()
        .is_some_and(|argument| argument == gleaner_parse::child::SUBCOMMAND)
    {
        signals.release();
        // Before anything else is touched: it holds one hostile document, and is to hold nothing besides.
        return gleaner_parse::child::main(arguments);
    }
    if first
        .as_ref()
        .is_some_and(|argument| argument == keeper::SUBCOMMAND)
    {
        signals.release();
        return keeper::main(arguments);
    }
    if first
        .as_ref()
        .is_some_and(|argument| argument == keeper::BECOME)
    {
        signals.release();
        // Becomes a handler; does not return unless it cannot.
        return confine::main(arguments);
    }
    if first.is_some_and(|argument| argument == gleaner::embedded::EXEC_SUBCOMMAND) {
        signals.release();
        // Becomes the server that our parent wants to start; does not return unless it cannot.
        let Err(error) = gleaner::embedded::exec_shim(arguments);
        return gleaner::console::fail(127, &error);
    }
    gleaner::cli::main(signals)
}
