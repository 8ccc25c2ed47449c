//! What several tests need: the binary, a folder, small data, and a client.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The `bookloop` binary built beside this test.
///
/// Panics with the command that builds it when it is missing.
pub fn bookloop() -> Command {
    let mut folder = std::env::current_exe().expect("a running test has a path");
    folder.pop(); // deps/
    folder.pop(); // the profile's folder
    let binary = folder.join("bookloop");
    assert!(binary.exists(), "{} is missing: run cargo build --bin bookloop first", binary.display());
    let mut command = Command::new(binary);
    command.env("HOSTNAME", "test");
    command
}

/// Runs the binary with arguments separated by spaces, in a folder.
pub fn run(folder: &Path, arguments: &str) -> Output {
    bookloop().current_dir(folder).args(arguments.split(' ')).output().expect("the binary starts")
}

/// The real data sets, beside the project.
///
/// Panics when they are missing: a test that needs them says so and fails.
pub fn data(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(file);
    assert!(path.exists(), "this test needs the real data set {}, which is missing", path.display());
    path
}
