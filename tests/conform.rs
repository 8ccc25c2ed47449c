//! `bookloop conform` as it is used: the real binary against the real `bookloop serve`.

use std::process::Output;

use bookloop_tests::bookloop;
use serde_json::Value;

use crate::clients::Served;

/// A V2 request for another model than ours.
const REQUEST: &str = r#"{"inputs":[{"name":"user","shape":[1,1],"datatype":"INT64","data":[[7]]}]}"#;

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
