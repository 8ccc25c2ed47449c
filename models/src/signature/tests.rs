use expect_test::expect;
use serde_json::{Value, json};

use super::*;

fn key(n: u8) -> SigningKey {
    SigningKey::from_secret(&[n; 32])
}

fn trust(keys: &[u8]) -> Trust {
    Trust::new(keys.iter().map(|n| key(*n).verifying_key()).collect(), false).unwrap()
}

/// A small manifest with these files; the digest of each is that of its path.
fn manifest_of(name: &str, paths: &[&str]) -> Manifest {
    let file = |path: &&str| json!({ "path": path, "sha256": digest::sha256(path.as_bytes()), "bytes": path.len() });
    serde_json::from_value(json!({
        "format": 1, "name": name, "created_at": "2026-03-01T02:00:00Z", "algorithm": "ials", "params": {}, "seed": 7,
        "data": { "source": "sales", "sha256": digest::sha256(b"sales"), "interactions": 3, "readers": 2, "books": 2 },
        "metrics": {}, "gate": "first model", "code_revision": "r1", "trigger": { "kind": "nightly", "id": "n1" },
        "profile": {}, "files": paths.iter().map(file).collect::<Vec<_>>(),
    }))
    .unwrap()
}

fn manifest() -> Manifest {
    manifest_of("recommender", &["model.safetensors", "books.json"])
}

const STORED: &[u8] = b"the manifest as stored";

/// The version of [`manifest`], signed by key 1.
fn signed() -> Vec<u8> {
    sign(&key(1), &manifest(), STORED).unwrap()
}

/// Verification of the version of [`manifest`] by somebody who trusts key 1.
fn judge(bundle: &[u8]) -> Result<KeyId, Error> {
    verify(bundle, &manifest(), &digest::sha256(STORED), &trust(&[1]))
}

/// The bundle with one text changed, everything else in its place.
fn edited(pointer: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(signed()).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let old = value.pointer(pointer).unwrap().to_string();
    assert_eq!(text.matches(&old).count(), 1, "{pointer}");
    text.replace(&old, &json!(to).to_string()).into_bytes()
}

/// The bundle with one member of any type changed; all members in order of their names.
fn rebuilt(pointer: &str, to: Value) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&signed()).unwrap();
    *value.pointer_mut(pointer).unwrap() = to;
    value.to_string().into_bytes()
}

/// A bundle of key 1, properly signed, over the statement of [`manifest`] after a change.
fn attested(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let statement = Statement::of(&manifest(), &digest::sha256(STORED)).unwrap();
    let mut statement = serde_json::to_value(&statement).unwrap();
    change(&mut statement);
    let payload = serde_json::to_vec(&statement).unwrap();
    bundle::seal(&key(1).key_id(), &payload, &key(1).sign(&bundle::pae(&payload)))
}

#[test]
fn the_bytes_of_a_signature_stay_what_they_are() {
    let bundle = signed();
    expect![[r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"3d4c030534b1c1c6a5238bf5932d7e4b97aad59b927aa0f504717dcb8e8a785f"},"tlogEntries":[]},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoicmVjb21tZW5kZXIiLCJkaWdlc3QiOnsic2hhMjU2IjoiMmRiNjVkYmRkNjA4NTY3ZTg2N2UxNTQ4NWJlYjQ4MjRhZWQwOWUzMjQ4MmYyMDYxOGY1YmI3ZTkxMTZjNGM4YiJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsic2VyaWFsaXphdGlvbiI6eyJtZXRob2QiOiJmaWxlcyIsImhhc2hfdHlwZSI6InNoYTI1NiIsImFsbG93X3N5bWxpbmtzIjpmYWxzZSwiaWdub3JlX3BhdGhzIjpbIm1vZGVsLnNpZyJdfSwicmVzb3VyY2VzIjpbeyJuYW1lIjoiYm9va3MuanNvbiIsImFsZ29yaXRobSI6InNoYTI1NiIsImRpZ2VzdCI6IjdiNTQzZjE4NmM2ZGNjZWJkY2IxMGYxOTA4ZDE2ZjEyMDhiOWFkZTYzZTFhODJhOGVlZmYwYmVkNTVhMGI5N2IifSx7Im5hbWUiOiJtYW5pZmVzdC5qc29uIiwiYWxnb3JpdGhtIjoic2hhMjU2IiwiZGlnZXN0IjoiNjQ2YzgxZDJkODRkZDZjN2ExNjdiMjlmYmNmODdmNWJkZDdhYWVhNDBlYjgzZTRhZTEzZWY4Njc2NDU4YThlNCJ9LHsibmFtZSI6Im1vZGVsLnNhZmV0ZW5zb3JzIiwiYWxnb3JpdGhtIjoic2hhMjU2IiwiZGlnZXN0IjoiOWQ3NWMxMDk4ZmM1NGExZjdiZDI3MGYxNDg4ODRmNTk5NzY1ZDg5NDYzOWM5YzRlZTg5MTM5Njk2OGM2MGRmMiJ9XX19","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"QjevMtBvYT1Tt2fGr1YP2uxAyIZzok9PQsrZP7FPBh2UBdyGhuOa0VeV1TgNj+j7ebTilO+Z5CB3qnL5NQWzAg==","keyid":""}]}}"#]].assert_eq(std::str::from_utf8(&bundle).unwrap());
    let payload = bundle::open(&bundle).unwrap().payload;
    expect![[r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"recommender","digest":{"sha256":"2db65dbdd608567e867e15485beb4824aed09e32482f20618f5bb7e9116c4c8b"}}],"predicateType":"https://model_signing/signature/v1.0","predicate":{"serialization":{"method":"files","hash_type":"sha256","allow_symlinks":false,"ignore_paths":["model.sig"]},"resources":[{"name":"books.json","algorithm":"sha256","digest":"7b543f186c6dccebdcb10f1908d16f1208b9ade63e1a82a8eeff0bed55a0b97b"},{"name":"manifest.json","algorithm":"sha256","digest":"646c81d2d84dd6c7a167b29fbcf87f5bdd7aaea40eb83e4ae13ef8676458a8e4"},{"name":"model.safetensors","algorithm":"sha256","digest":"9d75c1098fc54a1f7bd270f148884f599765d894639c9c4ee891396968c60df2"}]}}"#]].assert_eq(std::str::from_utf8(&payload).unwrap());
    assert_eq!(judge(&bundle), Ok(key(1).key_id()));
    assert_eq!(bundle, signed());
}

#[test]
fn the_envelope_is_signed_with_its_type_and_lengths() {
    // The example of the DSSE protocol, with our payload type of 28 bytes.
    assert_eq!(bundle::pae(b"hello world"), b"DSSEv1 28 application/vnd.in-toto+json 11 hello world");
}

#[test]
fn no_byte_of_a_bundle_can_change_unnoticed() {
    let bundle = signed();
    for at in 0..bundle.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut flipped = bundle.clone();
            flipped[at] ^= mask;
            assert!(judge(&flipped).is_err(), "byte {at} mask {mask:#x}: {}", bundle.escape_ascii());
        }
        assert!(judge(&bundle[..at]).is_err(), "cut at {at}");
        for inserted in [b' ', b'\n', b'0', b'A'] {
            let mut longer = bundle.clone();
            longer.insert(at, inserted);
            assert!(judge(&longer).is_err(), "{inserted} at {at}");
        }
    }
    assert_eq!(judge(&[&bundle[..], b"\n"].concat()), Err(Error::NotCanonical { at: bundle.len() }));
}

#[test]
fn a_bundle_that_is_none_says_what_it_is_instead() {
    assert!(matches!(judge(b""), Err(Error::NotJson(_))));
    assert!(matches!(judge(b"PK\x03\x04"), Err(Error::NotJson(_))));
    assert!(matches!(judge(&b"[".repeat(100_000)), Err(Error::NotJson(_))));
    assert_eq!(judge(b"[]"), Err(Error::MediaType { found: "none".into() }));
    let old = "application/vnd.dev.sigstore.bundle+json;version=0.2";
    assert_eq!(judge(&edited("/mediaType", old)), Err(Error::MediaType { found: old.into() }));
    assert_eq!(
        judge(&edited("/dsseEnvelope/payloadType", "text/plain")),
        Err(Error::PayloadType { found: "text/plain".into() })
    );
    let one = json!({ "sig": "AA==", "keyid": "" });
    for (found, signatures) in [(0, json!([])), (2, json!([one, one]))] {
        assert_eq!(judge(&rebuilt("/dsseEnvelope/signatures", signatures)), Err(Error::Signatures { found }));
    }
    for (pointer, to, expected) in [
        (
            "/verificationMaterial/tlogEntries",
            json!([{}]),
            expect!["signature is not a bundle of one key: invalid length 1, expected fewer elements in array"],
        ),
        (
            "/verificationMaterial/publicKey",
            json!({ "hint": "00" }),
            expect!["signature is not a bundle of one key: hint: a key id is 64 lower-case hex digits"],
        ),
        (
            "/verificationMaterial/publicKey",
            json!({ "hint": null }),
            expect!["signature is not a bundle of one key: invalid type: null, expected a string"],
        ),
        (
            "/verificationMaterial",
            json!({ "certificate": {} }),
            expect![
                "signature is not a bundle of one key: unknown field `certificate`, expected `publicKey` or `tlogEntries`"
            ],
        ),
        ("/dsseEnvelope", json!({}), expect!["signature is not a bundle of one key: missing field `payload`"]),
    ] {
        let error = judge(&rebuilt(pointer, to)).unwrap_err();
        assert!(matches!(error, Error::NotABundle(_)), "{error:?}");
        expected.assert_eq(&error.to_string());
    }
}

#[test]
fn base64_has_one_spelling() {
    let payload = Err(Error::Base64 { member: "payload" });
    let sig = Err(Error::Base64 { member: "sig" });
    for bad in ["*", "AA", "AA=", "AB==", "AA==\n", "_w=="] {
        assert_eq!(judge(&edited("/dsseEnvelope/payload", bad)), payload, "{bad:?}");
        assert_eq!(judge(&edited("/dsseEnvelope/signatures/0/sig", bad)), sig, "{bad:?}");
    }
}

#[test]
fn the_same_members_written_otherwise_are_refused() {
    let text = String::from_utf8(signed()).unwrap();
    let moved = text.replace(",\"keyid\":\"\"", "").replace("{\"sig\"", "{\"keyid\":\"\",\"sig\"");
    assert_eq!(moved.len(), text.len());
    let spaced = text.replace("sig\":", "sig\" :");
    let escaped = text.replace("\"sig\"", "\"\\u0073ig\"");
    for otherwise in [moved, spaced, escaped] {
        assert!(matches!(judge(otherwise.as_bytes()), Err(Error::NotCanonical { .. })), "{otherwise}");
    }
    // The first of two equal members is dropped by the reader.
    let twice = text.replacen('{', "{\"mediaType\":\"x\",", 1);
    assert!(matches!(judge(twice.as_bytes()), Err(Error::NotCanonical { at: 14 })));
    let keyid = edited("/dsseEnvelope/signatures/0/keyid", "k");
    assert!(matches!(judge(&keyid), Err(Error::NotCanonical { .. })));
}

#[test]
fn only_a_trusted_key_counts_and_several_may() {
    let (manifest, stored) = (manifest(), digest::sha256(STORED));
    let by = |n: u8| sign(&key(n), &manifest, STORED).unwrap();
    // During a rotation both are trusted, then the old one is dropped.
    for n in [1, 2] {
        assert_eq!(verify(&by(n), &manifest, &stored, &trust(&[1, 2])), Ok(key(n).key_id()));
    }
    let untrusted = Err(Error::Untrusted { key_id: key(1).key_id() });
    assert_eq!(verify(&by(1), &manifest, &stored, &trust(&[2])), untrusted);
    assert_eq!(verify(&by(1), &manifest, &stored, &Trust::default()), untrusted);
    // A stranger's signature under a trusted key's name.
    let hinted = String::from_utf8(by(3)).unwrap().replace(key(3).key_id().as_str(), key(1).key_id().as_str());
    let bad = Err(Error::BadSignature { key_id: key(1).key_id() });
    assert_eq!(verify(hinted.as_bytes(), &manifest, &stored, &trust(&[1, 2])), bad);
    let short = edited("/dsseEnvelope/signatures/0/sig", "AA==");
    assert_eq!(verify(&short, &manifest, &stored, &trust(&[1])), bad);
}

#[test]
fn a_signature_is_for_one_version_only() {
    let bundle = signed();
    let stored = digest::sha256(STORED);
    let against = |manifest: &Manifest| verify(&bundle, manifest, &stored, &trust(&[1]));
    let other = digest::sha256(b"another manifest");
    let path = |path: &str| path.to_owned();
    assert_eq!(
        verify(&bundle, &manifest(), &other, &trust(&[1])),
        Err(Error::Digest { path: path(MANIFEST_FILE), signed: stored.clone(), found: other })
    );
    let mut swapped = manifest();
    swapped.files[1].sha256 = digest::sha256(b"other books");
    let [was, is] = ["books.json", "other books"].map(|text| digest::sha256(text.as_bytes()));
    assert_eq!(against(&swapped), Err(Error::Digest { path: path("books.json"), signed: was, found: is }));
    assert_eq!(
        against(&manifest_of("recommender", &["model.safetensors"])),
        Err(Error::FileUnknown { path: path("books.json") })
    );
    assert_eq!(
        against(&manifest_of("recommender", &["model.safetensors", "books.json", "more"])),
        Err(Error::FileMissing { path: path("more") })
    );
    assert_eq!(
        against(&manifest_of("similar", &["model.safetensors", "books.json"])),
        Err(Error::Model { expected: path("similar"), found: path("recommender") })
    );
    // The order in which a manifest lists its files is not part of what is signed; the stored bytes have it.
    assert!(against(&manifest_of("recommender", &["books.json", "model.safetensors"])).is_ok());
}

#[test]
fn a_trusted_key_on_another_kind_of_statement_is_no_signature() {
    type Change = fn(&mut Value);
    let unchanged = attested(|_| {});
    assert_eq!(judge(&unchanged), Ok(key(1).key_id()), "the changes below are what is refused");
    let changes: [(&str, Change); 9] = [
        ("type", |s| s["_type"] = json!("https://in-toto.io/Statement/v0.1")),
        ("predicate type", |s| s["predicateType"] = json!("https://slsa.dev/provenance/v1")),
        ("two subjects", |s| s["subject"] = json!([s["subject"][0], s["subject"][0]])),
        ("root digest", |s| s["subject"][0]["digest"]["sha256"] = json!("00")),
        ("algorithm", |s| s["predicate"]["resources"][0]["algorithm"] = json!("blake3")),
        ("ignored", |s| s["predicate"]["serialization"]["ignore_paths"] = json!(["model.safetensors"])),
        ("extra member", |s| s["predicate"]["note"] = json!("fine")),
        ("twice", |s| {
            let first = s["predicate"]["resources"][0].clone();
            s["predicate"]["resources"].as_array_mut().unwrap().insert(0, first);
        }),
        ("no object", |s| *s = json!(["statement"])),
    ];
    for (what, change) in changes {
        let error = judge(&attested(change)).unwrap_err();
        assert!(matches!(error, Error::NotAStatement(_)), "{what}: {error:?}");
    }
    let not_json = bundle::seal(&key(1).key_id(), b"hello", &key(1).sign(&bundle::pae(b"hello")));
    assert!(matches!(judge(&not_json), Err(Error::NotAStatement(_))));
}

#[test]
fn what_would_leave_doubt_is_not_signed() {
    let refused = |paths: &[&str], path: &str| match sign(&key(1), &manifest_of("recommender", paths), STORED) {
        Err(Error::Unsignable { path: found, .. }) => assert_eq!(found, path),
        other => panic!("{paths:?}: {other:?}"),
    };
    refused(&["a", "b", "a"], "a");
    refused(&["manifest.json"], "manifest.json");
    refused(&["model.sig"], "model.sig");
    refused(&["model.sig/a"], "model.sig/a");
    for path in ["", "/a", "a/", "a//b", "./a", "a/../b"] {
        refused(&[path], path);
    }
    for digest in ["", "00", &"0".repeat(63), &"A".repeat(64)] {
        let mut manifest = manifest();
        manifest.files[0].sha256 = digest.to_owned();
        assert!(matches!(sign(&key(1), &manifest, STORED), Err(Error::Unsignable { .. })), "{digest}");
    }
}

#[test]
fn files_are_listed_by_the_parts_of_their_paths() {
    let statement = Statement::of(&manifest_of("m", &["a-b", "z", "a/b", "a"]), &digest::sha256(b"")).unwrap();
    let names: Vec<&str> = statement.predicate.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["a", "a/b", "a-b", "manifest.json", "z"]);
}

#[test]
fn the_policy_says_when_a_signature_must_be_there() {
    let (manifest, stored, bundle) = (manifest(), digest::sha256(STORED), signed());
    let keys = || vec![key(1).verifying_key()];
    let [lenient, strict] = [false, true].map(|required| Trust::new(keys(), required).unwrap());
    let check = |trust: &Trust, bundle| trust.check(bundle, &manifest, &stored);
    assert_eq!(check(&strict, None), Err(Error::Unsigned));
    assert_eq!(check(&lenient, None), Ok(None));
    assert_eq!(check(&Trust::default(), None), Ok(None));
    assert_eq!(check(&Trust::default(), Some(b"anything")), Ok(None));
    for trust in [&strict, &lenient] {
        assert_eq!(check(trust, Some(&bundle)), Ok(Some(key(1).key_id())));
        assert!(matches!(check(trust, Some(b"anything")), Err(Error::NotJson(_))));
    }
    assert_eq!(Trust::new(Vec::new(), true).unwrap_err(), KeyError::NoneTrusted);
    let from_file = Trust::from_pem(&key(1).verifying_key().to_pem(), true).unwrap();
    assert_eq!((from_file.keys(), from_file.required()), (strict.keys(), true));
}
