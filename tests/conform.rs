//! `bookloop conform` as it is used: against `bookloop serve`, and against the servers that a shop would run instead.
//!
//! KServe's and MLServer's Python servers are started from the environments that `tests/run` installs. What they fail is
//! pinned, so that a change of ours, or of theirs, is seen.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use bookloop_tests::bookloop;
use serde_json::Value;

use crate::clients::Served;

/// Must points that neither peer meets.
const BOTH_FAIL: [&str; 19] = [
    "v2.metadata.model-platform",
    "v2.infer.output-selection",
    "v2.infer.nested-data",
    "v2.errors.malformed-json",
    "v2.errors.empty-body",
    "v2.errors.not-an-object",
    "v2.errors.no-inputs",
    "v2.errors.no-name",
    "v2.errors.no-shape",
    "v2.errors.no-datatype",
    "v2.errors.no-data",
    "v2.errors.element-count",
    "v2.errors.negative-shape",
    "v2.errors.huge-shape",
    "v2.errors.unknown-datatype",
    "v2.errors.deep-json",
    "grpc.model-metadata",
    "grpc.output-selection",
    "grpc.element-count",
];
/// Those that KServe's server does not.
const KSERVE_FAILS: [&str; 2] = ["v1.charset", "grpc.infer-raw"];
/// Those that MLServer does not.
const MLSERVER_FAILS: [&str; 5] = [
    "v2.errors.input-missing",
    "v2.errors.wrong-element",
    "grpc.wrong-contents",
    "grpc.contents-beside-raw",
    "grpc.raw-count",
];

/// A V2 request of both peers' model.
const REQUEST: &str = r#"{"inputs":[{"name":"user","shape":[1,1],"datatype":"INT64","data":[7]}]}"#;

fn conform(arguments: &[&str]) -> Output {
    bookloop().arg("conform").args(arguments).output().unwrap()
}

/// The JSON report, and the ids of its points that end so.
fn report(output: &Output) -> (Value, impl Fn(&str, &str) -> Vec<String>) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let points = report["points"].as_array().unwrap().clone();
    let of = move |level: &str, outcome: &str| {
        let of = points.iter().filter(|point| point["level"] == level && point["outcome"] == outcome);
        of.map(|point| point["id"].as_str().unwrap().to_owned()).collect()
    };
    (report, of)
}

#[test]
#[ignore = "runs the release binary"]
fn our_own_server_passes_every_point_it_offers() {
    let served = Served::start();
    let url = format!("http://{}", served.address);
    let output = conform(&[&url, "--json"]);
    let (report, of) = report(&output);
    for level in ["must", "should", "extension"] {
        assert_eq!((of(level, "fail"), of(level, "skipped")), (vec![], vec![]), "{level}");
    }
    // The request made up has one input of one dimension.
    assert_eq!(of("must", "not-offered"), ["v2.infer.nested-data"]);
    assert_eq!((report["model"].as_str(), output.status.code()), (Some("recommender"), Some(0)));
    for section in ["v2.infer.", "binary.", "v1.", "grpc."] {
        assert!(of("must", "pass").iter().any(|id| id.starts_with(section)), "{section}");
    }

    let table = conform(&[&url, "--only", "v2.health,grpc.id-echoed"]);
    let text = String::from_utf8_lossy(&table.stdout);
    assert_eq!(table.status.code(), Some(0));
    assert!(text.contains("V2: health") && text.contains("grpc.id-echoed") && !text.contains("v1."), "{text}");
    // No reader is asked for, so nothing can be inferred.
    let file = served.folder.path().join("inputs.json");
    std::fs::write(&file, REQUEST).unwrap();
    let strange = conform(&[&url, "--only", "v2.infer.answers", "--inputs", file.to_str().unwrap()]);
    assert_eq!(strange.status.code(), Some(10), "{strange:?}");
    assert!(String::from_utf8_lossy(&strange.stderr).contains("v2.infer.answers"), "{strange:?}");
    assert_eq!(conform(&[&url, "--model"]).status.code(), Some(2));
    assert_eq!(conform(&["http://127.0.0.1:9"]).status.code(), Some(69));
}

/// A server in Python, killed when dropped.
struct Peer {
    child: Child,
    /// HTTP and gRPC.
    ports: [u16; 2],
    folder: tempfile::TempDir,
}

impl Peer {
    /// Starts a server on free ports; `command` is given the Python, the ports and a folder to run in.
    fn start(variable: &str, command: impl FnOnce(&mut Command, [u16; 2])) -> Self {
        let python = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names a Python with the server"));
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("request.json"), REQUEST).unwrap();
        std::fs::write(folder.path().join("instances.json"), r#"[{"user":7}]"#).unwrap();
        let mut starting = Command::new(python);
        starting.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command(&mut starting, ports);
        let peer = Self { child: starting.spawn().unwrap(), ports, folder };
        for _ in 0..240 {
            let url = peer.url();
            let ready = conform(&[&url, "--model", "rec", "--only", "v2.health.model-ready", "--timeout", "2"]);
            if ready.status.success() {
                return peer;
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        panic!("no server within a minute");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Its grades; the tool must end in a table as well as in JSON.
    fn graded(&self) -> Output {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (url, grpc) = (self.url(), format!("http://127.0.0.1:{}", self.ports[1]));
        let arguments = [
            &*url,
            "--grpc",
            &grpc,
            "--model",
            "rec",
            "--inputs",
            &file("request.json"),
            "--v1-instances",
            &file("instances.json"),
        ];
        let table = conform(&arguments);
        let text = String::from_utf8_lossy(&table.stdout);
        assert!(text.contains("grpc.infer-typed") && text.contains("extension"), "{table:?}");
        conform(&[&arguments[..], &["--json"]].concat())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Exactly what both fail and what this one fails.
fn assert_fails(found: &[String], own: &[&str]) {
    let (mut found, mut expected) =
        (found.to_vec(), BOTH_FAIL.iter().chain(own).map(ToString::to_string).collect::<Vec<_>>());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
#[ignore = "needs a Python with kserve, named by BOOKLOOP_TEST_PYTHON_KSERVE"]
fn what_kserves_server_fails_is_known() {
    let peer = Peer::start("BOOKLOOP_TEST_PYTHON_KSERVE", |command, ports| {
        command.arg(clients().join("kserve_serves.py")).args(ports.map(|port| port.to_string()));
    });
    let output = peer.graded();
    let (_, of) = report(&output);
    assert_fails(&of("must", "fail"), &KSERVE_FAILS);
    assert_eq!(output.status.code(), Some(10));
}

#[test]
#[ignore = "needs a Python with mlserver, named by BOOKLOOP_TEST_PYTHON_MLSERVER"]
fn what_mlservers_server_fails_is_known() {
    let peer = Peer::start("BOOKLOOP_TEST_PYTHON_MLSERVER", |command, [http, grpc]| {
        let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        command
            .args(["-c", "from mlserver.cli import main; main()", "start"])
            .arg(clients().join("mlserver_serves"))
            .env("MLSERVER_HTTP_PORT", http.to_string())
            .env("MLSERVER_GRPC_PORT", grpc.to_string())
            .env("MLSERVER_METRICS_PORT", metrics.to_string());
    });
    let output = peer.graded();
    let (_, of) = report(&output);
    assert_fails(&of("must", "fail"), &MLSERVER_FAILS);
    assert_eq!(output.status.code(), Some(10));
}
