//! What several tests need: the binary, a folder, small data, and a client.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// The `bookloop` binary: the one that `BOOKLOOP_TEST_BINARY` names, else the one built beside this test.
///
/// Panics with the command that builds it when it is missing.
pub fn bookloop() -> Command {
    let binary = std::env::var_os("BOOKLOOP_TEST_BINARY").map_or_else(beside_this_test, PathBuf::from);
    assert!(binary.exists(), "{} is missing: run cargo build --bin bookloop first", binary.display());
    let mut command = Command::new(binary);
    command.env("HOSTNAME", "test");
    command
}

fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.ancestors().nth(2).expect("tests lie in a folder of their profile's folder");
    profile.join("bookloop")
}

/// Runs the binary with arguments separated by spaces, in a folder.
pub fn run(folder: &Path, arguments: &str) -> Output {
    bookloop().current_dir(folder).args(arguments.split(' ')).output().expect("the binary starts")
}

/// A predictor process, killed when dropped.
pub struct Predictor {
    child: Child,
    /// Where it answers, as in `http://127.0.0.1:4711`.
    pub url: String,
}

impl Predictor {
    /// Starts `bookloop serve` on a free port; `place` names store and tenant.
    pub fn start(place: &str) -> Self {
        let mut child = bookloop()
            .args(format!("serve {place} --http-port 0 --poll-ms 100 --drain-seconds 1").split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines =
            BufReader::new(child.stderr.take().expect("standard error is piped")).lines().map_while(Result::ok);
        let url = lines.by_ref().find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        // A full pipe would stop the predictor.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.expect("the predictor says where it listens") }
    }
}

impl Drop for Predictor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The real data sets, beside the project.
///
/// Panics when they are missing: a test that needs them says so and fails.
pub fn data(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(file);
    assert!(path.exists(), "this test needs the real data set {}, which is missing", path.display());
    path
}
