//! A version as a folder: loaded where there is no registry, and believed no sooner than one that comes from there.

use std::{fs, path::Path};

use models::{
    Registry, format,
    registry::{Error, Origin, load_folder},
    signature::Trust,
};
use tempfile::TempDir;

use super::{World, key, trust};
use crate::registry_contract::{name, version};

/// Version 2 of acme-books, signed by key 1 and then by key 2, in a folder.
async fn mounted(test: &str) -> (World, TempDir) {
    let mut world = World::in_memory(&format!("folder-{test}")).await;
    world.registry = Registry::open(world.store.clone()).await.unwrap().signing(Some(key(1)));
    world.publish("Emma").await;
    world.publish("Dune").await;
    world.registry.sign(&name(), version(2), &key(2), &world.intent()).await.unwrap();
    let exported = world.registry.export(&name(), version(2)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in exported.in_folder(&"acme-books".parse().unwrap(), version(2)) {
        fs::write(folder.path().join(path), bytes).unwrap();
    }
    (world, folder)
}

/// The folder's error under a policy, with its cause.
fn refused(folder: &Path, trust: &Trust) -> String {
    let error = load_folder(folder, trust).unwrap_err();
    std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[tokio::test]
async fn a_folder_holds_what_the_registry_loads() {
    let (world, folder) = mounted("same").await;
    for keys in [&[1][..], &[2], &[1, 2]] {
        let found = load_folder(folder.path(), &trust(keys)).unwrap();
        let loaded = world.registry.load(&name(), version(2)).await.unwrap();
        assert_eq!(found.manifest, *loaded.manifest);
        assert!(format::encode(&found.artifact) == format::encode(&loaded.artifact), "byte for byte");
        let manifest_sha256 = world.registry.state().models[&name()].versions[&version(2)].manifest_sha256.clone();
        assert_eq!(found.manifest_sha256, manifest_sha256);
        let tenant = "acme-books".parse().unwrap();
        assert_eq!(found.origin, Some(Origin { tenant, version: version(2), manifest_sha256 }));
    }
    fs::remove_file(folder.path().join("origin.json")).unwrap();
    assert_eq!(load_folder(folder.path(), &trust(&[1])).unwrap().origin, None);
}

#[tokio::test]
async fn what_is_changed_or_missing_or_not_vouched_for_is_not_loaded() {
    let (_, folder) = mounted("changed").await;
    let place = |file: &str| folder.path().join(file);
    assert!(refused(folder.path(), &trust(&[3])).contains("not trusted"));
    for (file, says) in [
        ("model.safetensors", "corrupt model.safetensors: expected "),
        ("manifest.json", "corrupt manifest.json: expected a manifest"),
        ("origin.json", "corrupt origin.json: expected "),
    ] {
        let sound = fs::read(place(file)).unwrap();
        let mut broken = sound.clone();
        broken[0] ^= 1;
        fs::write(place(file), broken).unwrap();
        let error = refused(folder.path(), &Trust::default());
        assert!(error.starts_with(says), "{file}: {error}");
        fs::write(place(file), sound).unwrap();
    }
    // Still a manifest, but another one.
    let manifest = fs::read_to_string(place("manifest.json")).unwrap();
    fs::write(place("manifest.json"), manifest.replace("\"seed\": 7", "\"seed\": 8")).unwrap();
    assert!(refused(folder.path(), &trust(&[1])).starts_with("a version of recommender is not vouched for: sha256 of"));
    assert!(refused(folder.path(), &Trust::default()).contains("expected the manifest beside it"));
    fs::write(place("manifest.json"), manifest).unwrap();
    for file in ["model.1.sig", "model.sig"] {
        fs::remove_file(place(file)).unwrap();
    }
    assert!(refused(folder.path(), &trust(&[1])).contains("not signed"));
    load_folder(folder.path(), &Trust::default()).expect("nobody asks for a signature");
    for file in ["model.safetensors", "manifest.json"] {
        fs::remove_file(place(file)).unwrap();
        let error = load_folder(folder.path(), &Trust::default()).unwrap_err();
        let says = format!("not found: {file} in ");
        assert!(matches!(error, Error::NotFound(_)) && error.to_string().starts_with(&says), "{error}");
    }
    assert!(matches!(load_folder(&place("nowhere"), &Trust::default()), Err(Error::NotFound(_))));
}
