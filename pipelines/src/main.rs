//! The bookloop binary: settings, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    bookloop::cli::main()
}
