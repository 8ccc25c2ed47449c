//! The clients that shops already have, unchanged, against the real binary: Triton's, KServe's, gRPC health,
//! CloudEvents, and a fuzzer that reads the OpenAPI document.
//!
//! Each needs a Python with that client, named by an environment variable; `tests/run` installs them.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use bookloop_tests::{bookloop, run};
use serde_json::Value;

/// `bookloop serve` over a freshly trained model, killed when dropped.
pub(crate) struct Served {
    child: Child,
    /// Host and port; HTTP and gRPC alike.
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Served {
    /// Thirty readers who share twenty books, trained on, approved and promoted.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = (0..30).flat_map(|reader| {
            (0..6).map(move |place| {
                let (book, day) = ((reader + place * 7) % 20, 1 + (reader + place * 5) % 28);
                format!("r{reader},b{book},2026-01-{day:02}T10:00:00Z\n")
            })
        });
        let sales = format!("user_id,item_id,timestamp\n{}", rows.collect::<String>());
        std::fs::write(folder.path().join("sales.csv"), sales).unwrap();
        let place = format!("--store file://{}/store --tenant acme-books", folder.path().display());
        let done = |arguments: &str| {
            let output = run(folder.path(), arguments);
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        done(&format!("train --interactions sales.csv {place} --run one"));
        for what in ["approve", "promote"] {
            done(&format!("models {what} {place} --version 1 --actor ana --reason good"));
        }
        let mut child = bookloop()
            .args(format!("serve {place} --http-port 0 --poll-ms 100 --drain-seconds 1 --ce-merge").split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.by_ref().find_map(|line| Some(line.strip_prefix("listening on http://")?.to_owned()));
        // A full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        let served = Self { child, address: address.expect("the server says where it listens"), folder };
        served.wait_until_ready();
        served
    }

    fn wait_until_ready(&self) {
        use std::{io::Read, net::TcpStream, time::Duration};
        for _ in 0..600 {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            let request = "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            if reply.starts_with("HTTP/1.1 200") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no model within half a minute");
    }

    /// Asks it to leave.
    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's script in its own Python, which must be named by `variable`.
fn script(variable: &str, name: &str) -> Command {
    let python = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names a Python with the client"));
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name));
    command
}

/// Runs a script to its end and panics with what it said when it fails.
fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("all checks passed\n"), "{said}");
}

#[test]
#[ignore = "needs a Python with tritonclient, named by BOOKLOOP_TEST_PYTHON_TRITON"]
fn tritons_clients_get_the_same_bits_over_every_transport() {
    let served = Served::start();
    passes(script("BOOKLOOP_TEST_PYTHON_TRITON", "triton.py").arg(&served.address));
}

#[test]
#[ignore = "needs a Python with grpcio-health-checking, named by BOOKLOOP_TEST_PYTHON_TRITON"]
fn a_health_watch_sees_the_drain() {
    let served = Served::start();
    let mut command = script("BOOKLOOP_TEST_PYTHON_TRITON", "health.py");
    let mut watcher = command.arg(&served.address).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(watcher.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if line == "watching" {
            served.terminate();
        }
        said.push(line);
    }
    assert!(watcher.wait().unwrap().success(), "{said:#?}");
    assert_eq!(said.last().map(String::as_str), Some("all checks passed"), "{said:#?}");
}

#[test]
#[ignore = "needs a Python with cloudevents, named by BOOKLOOP_TEST_PYTHON_TRITON"]
fn events_are_answered_by_events() {
    let served = Served::start();
    passes(script("BOOKLOOP_TEST_PYTHON_TRITON", "cloud_events.py").arg(&served.address));
}

#[test]
#[ignore = "needs a Python with kserve, named by BOOKLOOP_TEST_PYTHON_KSERVE"]
fn kserves_clients_get_the_same_bits_over_every_protocol() {
    let served = Served::start();
    passes(script("BOOKLOOP_TEST_PYTHON_KSERVE", "kserve_calls.py").arg(&served.address));
}

#[test]
#[ignore = "needs a Python with mlserver, named by BOOKLOOP_TEST_PYTHON_MLSERVER"]
fn mlservers_command_line_infers_in_json_and_in_bytes() {
    let served = Served::start();
    let python = std::env::var_os("BOOKLOOP_TEST_PYTHON_MLSERVER").expect("it names a Python with mlserver");
    let folder = served.folder.path();
    let reader = |name: &str| {
        format!(r#"{{"inputs":[{{"name":"user_id","shape":[1],"datatype":"BYTES","data":["{name}"]}}]}}"#) + "\n"
    };
    std::fs::write(folder.join("in.jsonl"), reader("r1") + &reader("r2")).unwrap();
    let answers = ["", "-b"].map(|how| {
        let _ = std::fs::remove_file(folder.join("out.jsonl"));
        let output = Command::new(&python)
            .args(["-c", "from mlserver.cli import main; main()", "infer", "-u", &served.address, "-m", "recommender"])
            .args(["-i", "in.jsonl", "-o", "out.jsonl"])
            .args(Some(how).filter(|how| !how.is_empty()))
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = std::fs::read_to_string(folder.join("out.jsonl")).unwrap();
        let mut answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        answers.sort_by_key(|answer| answer["parameters"]["batch_index"].as_u64());
        answers.into_iter().map(|answer| answer["outputs"][0]["data"].clone()).collect::<Vec<_>>()
    });
    assert_eq!((answers[0].len(), &answers[0]), (2, &answers[1]));
    assert_eq!(answers[0][0].as_array().unwrap().len(), 10);
}

#[test]
#[ignore = "needs a Python with schemathesis, named by BOOKLOOP_TEST_PYTHON_OPENAPI"]
fn the_openapi_document_holds_under_fuzzing() {
    let served = Served::start();
    let python = std::env::var_os("BOOKLOOP_TEST_PYTHON_OPENAPI").expect("it names a Python with schemathesis");
    let output = Command::new(python)
        .args(["-m", "schemathesis.cli", "run", &format!("http://{}/openapi.json", served.address), "--no-color"])
        .args(["--mode", "all", "--max-examples", "20", "--seed", "7", "--phases", "examples,coverage,fuzzing"])
        // That tensors fit their shapes and instances are of one kind is more than a schema can say.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // No model explains itself: 501 is its answer, and every 5xx a finding.
        .args(["--exclude-path", "/v1/models/{model}:explain"])
        .current_dir(served.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
