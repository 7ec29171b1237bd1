//! The binary: parse, run, print the error chain, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let signals = gleaner::signals::Held::new();
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|argument| argument == gleaner::embedded::EXEC_SUBCOMMAND)
    {
        signals.release();
        // Becomes the server that our parent wants to start; does not return unless it cannot.
        let Err(error) = gleaner::embedded::exec_shim(arguments);
        return gleaner::console::fail(127, &error);
    }
    gleaner::cli::main(signals)
}
