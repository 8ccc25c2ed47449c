//! What `deploy/` says to KServe: files that are listed, names that agree, and commands that the binary understands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use models::signature::SigningKey;
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The objects of a file.
fn objects(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The one object of a kind in `deploy/kserve`.
fn kserve(file: &str, kind: &str) -> Value {
    let mut found = objects(&deploy().join("kserve").join(file));
    found.retain(|object| object["kind"] == kind);
    assert_eq!(found.len(), 1, "{file} has one {kind}");
    found.remove(0)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_file_is_listed_and_every_listed_file_is_there() {
    for folder in ["base", "kserve"] {
        let folder = deploy().join(folder);
        let mut listed = texts(&objects(&folder.join("kustomization.yaml"))[0]["resources"]);
        listed.push("kustomization.yaml".into());
        listed.sort();
        let entries = fs::read_dir(&folder).unwrap();
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, listed, "{}", folder.display());
        for object in found.iter().flat_map(|file| objects(&folder.join(file))) {
            assert!(object["apiVersion"].is_string() && object["kind"].is_string(), "{object}");
        }
    }
}

#[test]
fn the_service_the_runtime_and_the_storage_agree() {
    let (storage, runtime) =
        (kserve("storage.yaml", "ClusterStorageContainer"), kserve("runtime.yaml", "ServingRuntime"));
    let (service, account) =
        (kserve("recommender.yaml", "InferenceService"), kserve("recommender.yaml", "ServiceAccount"));
    let (predictor, storage) = (&service["spec"]["predictor"], &storage["spec"]);
    let uri = predictor["model"]["storageUri"].as_str().unwrap();
    assert!(uri.starts_with(storage["supportedUriFormats"][0]["prefix"].as_str().unwrap()), "{uri}");
    assert_eq!(
        (&storage["workloadType"], &storage["container"]["name"]),
        (&"initContainer".into(), &"storage-initializer".into())
    );
    assert!(storage["container"]["args"].is_null(), "the arguments are KServe's");
    // The name of the service is what the runtime asks the folder for.
    let name = service["metadata"]["name"].as_str().unwrap();
    assert_eq!(uri.rsplit(['/', '@']).nth(1), Some(name), "{uri}");
    assert_eq!(predictor["model"]["runtime"], runtime["metadata"]["name"]);
    assert_eq!(predictor["model"]["modelFormat"]["name"], runtime["spec"]["supportedModelFormats"][0]["name"]);
    assert_eq!(predictor["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(
        (service["metadata"]["namespace"].as_str(), &account["metadata"]["namespace"]),
        (runtime["metadata"]["namespace"].as_str(), &service["metadata"]["namespace"])
    );
    // At the top of the spec it would be ignored.
    assert!(predictor["canaryTrafficPercent"].as_u64().is_some_and(|percent| percent <= 100));
    assert!(service["spec"].as_object().unwrap().keys().eq(["predictor"]));
    let container = &runtime["spec"]["containers"][0];
    assert_eq!(container["name"], "kserve-container");
    assert_eq!(container["image"], storage["container"]["image"], "what is fetched is read by the same build");
}

#[test]
fn containers_keep_the_platforms_rules() {
    let (storage, runtime) =
        (kserve("storage.yaml", "ClusterStorageContainer"), kserve("runtime.yaml", "ServingRuntime"));
    for container in [&storage["spec"]["container"], &runtime["spec"]["containers"][0]] {
        let image = container["image"].as_str().unwrap();
        assert!(
            image.contains("@sha256:") || image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest"),
            "{image}"
        );
        for bound in ["requests", "limits"] {
            for amount in ["cpu", "memory"] {
                assert!(container["resources"][bound][amount].is_string(), "{image}: {bound}.{amount}");
            }
        }
        let security = &container["securityContext"];
        assert_eq!((&security["allowPrivilegeEscalation"], &security["runAsNonRoot"]), (&false.into(), &true.into()));
        assert_eq!((&security["readOnlyRootFilesystem"], &security["runAsUser"]), (&true.into(), &65532.into()));
        assert_eq!(
            (texts(&security["capabilities"]["drop"]), &security["seccompProfile"]["type"]),
            (vec!["ALL".to_owned()], &"RuntimeDefault".into())
        );
    }
}

/// Exit code and words of a container's command with these arguments.
fn run(command: &Value, arguments: &[String], store: Option<&str>) -> (Option<i32>, String) {
    let command = texts(command);
    assert_eq!(command[0], "bookloop");
    let mut process = Command::new(env!("CARGO_BIN_EXE_bookloop"));
    process.args(&command[1..]).args(arguments).env_remove("BOOKLOOP_STORE");
    let output = process.envs(store.map(|store| ("BOOKLOOP_STORE", store))).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_binary_understands_what_kserve_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, service) =
        (kserve("storage.yaml", "ClusterStorageContainer"), kserve("recommender.yaml", "InferenceService"));
    let container = &storage["spec"]["container"];
    assert_eq!(container["env"][0]["name"], "BOOKLOOP_STORE");
    let uri = service["spec"]["predictor"]["model"]["storageUri"].as_str().unwrap().to_owned();
    let to = folder.path().join("models").display().to_string();
    // A registry that is empty: everything was understood, and there is no such model.
    let (code, said) = run(&container["command"], &[uri, to], Some("memory://deployed"));
    assert_eq!((code, said.contains("not found")), (Some(12), true), "{said}");

    fs::write(folder.path().join("team.pub"), SigningKey::from_secret(&[7; 32]).verifying_key().to_pem()).unwrap();
    let runtime = kserve("runtime.yaml", "ServingRuntime");
    let container = &runtime["spec"]["containers"][0];
    let here = folder.path().display().to_string();
    let name = service["metadata"]["name"].as_str().unwrap();
    let arguments: Vec<String> = texts(&container["args"])
        .iter()
        .map(|text| text.replace("{{.Name}}", name).replace("/etc/bookloop/keys", &here).replace("/mnt/models", &here))
        .collect();
    let (code, said) = run(&container["command"], &arguments, None);
    let says = format!("not found: manifest.json in {here}");
    assert_eq!((code, said.contains(&says)), (Some(12), true), "{said}");
    let unknown = [&arguments[..], &["--no-such-flag".to_owned()]].concat();
    assert_eq!(run(&container["command"], &unknown, None).0, Some(2), "what it does not understand it refuses");
}
