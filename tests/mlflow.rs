//! The registry through the real MLflow client: lists, gets, aliases, tags, pages, refusals.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use bookloop_tests::{bookloop, run};

/// `bookloop models serve-api`, killed when dropped.
struct Api {
    child: Child,
    url: String,
}

impl Api {
    fn start(place: &str) -> Self {
        let mut child = bookloop()
            .args(format!("models serve-api {place} --listen 127.0.0.1:0").split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.by_ref().find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        // A full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.expect("the API says where it listens") }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary and panics with what it said when it fails.
fn done(folder: &Path, arguments: &str) {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Thirty readers who share twenty books, as `user_id,item_id,timestamp`.
fn sales() -> String {
    let rows = (0..30).flat_map(|reader| {
        (0..6).map(move |place| {
            let (book, day) = ((reader + place * 7) % 20, 1 + (reader + place * 5) % 28);
            format!("r{reader},b{book},2026-01-{day:02}T10:00:00Z\n")
        })
    });
    format!("user_id,item_id,timestamp\n{}", rows.collect::<String>())
}

#[test]
#[ignore = "needs a Python with mlflow-skinny, named by BOOKLOOP_TEST_PYTHON_MLFLOW"]
fn the_real_mlflow_client_reads_the_registry_and_changes_nothing() {
    let python = std::env::var_os("BOOKLOOP_TEST_PYTHON_MLFLOW");
    let python = python.expect("BOOKLOOP_TEST_PYTHON_MLFLOW names a Python that has mlflow-skinny");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("sales.csv"), sales()).unwrap();
    let place = format!("--store file://{}/store --tenant acme-books", folder.display());
    let train = |run: &str| done(folder, &format!("train --interactions sales.csv {place} --run {run}"));
    train("one");
    let decide = |what: &str| done(folder, &format!("models {what} {place} --version 1 --actor ana --reason good"));
    decide("approve");
    decide("promote");
    train("two");
    let api = Api::start(&place);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/mlflow_reads.py");
    let output = Command::new(python).arg(script).args([&api.url, "acme-books"]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("all checks passed\n"), "{said}");
    done(folder, &format!("models verify {place}"));
}
