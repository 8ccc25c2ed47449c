//! Killed in the middle: `train` at random moments, and the registry after each.

use std::{os::unix::process::ExitStatusExt, process::Stdio, time::Duration};

use bookloop_tests::{bookloop, data, run};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
#[ignore = "a minute: fifty killed runs on real ratings"]
fn killed_at_any_moment_the_registry_is_sound_and_the_next_run_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}/store", folder.path().display());
    let ratings = data("ml-100k/interactions.csv.gz");
    let arguments = |run: &str| {
        format!("train --interactions {} --store {store} --tenant acme-books --run {run}", ratings.display())
    };
    let begun = std::time::Instant::now();
    let first = run(folder.path(), &arguments("whole"));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let whole_ms = begun.elapsed().as_millis() as u64;

    let mut random = ChaCha8Rng::seed_from_u64(50);
    let (mut killed, mut finished) = (0, 0);
    while killed < 50 {
        let kill = killed + finished;
        assert!(kill < 200, "runs end before they can be killed");
        let mut child = bookloop()
            .current_dir(folder.path())
            .args(arguments(&format!("kill-{kill}")).split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The last quarter, where the registry is written, gets half of the kills.
        let span = if kill % 2 == 0 { 0..whole_ms } else { whole_ms * 3 / 4..whole_ms };
        let wait = span.start + u64::from(random.next_u32()) % (span.end - span.start);
        std::thread::sleep(Duration::from_millis(wait));
        let _ = child.kill();
        let end = child.wait().unwrap();
        assert!(end.success() || end.signal().is_some(), "a run ended by itself with {end}");
        if end.success() {
            finished += 1;
        } else {
            killed += 1;
        }
        let verified = run(folder.path(), &format!("models verify --json --store {store} --tenant acme-books"));
        assert_eq!(
            verified.status.code(),
            Some(0),
            "kill {kill} after {wait} ms: {}",
            String::from_utf8_lossy(&verified.stdout)
        );
    }
    println!("{killed} runs killed, {finished} ended before; a whole run takes {whole_ms} ms");
    // A killed run repeated under its name, and a fresh one.
    for name in ["kill-0", "after"] {
        let next = run(folder.path(), &arguments(name));
        assert!(next.status.success(), "{name}: {}", String::from_utf8_lossy(&next.stderr));
    }
    let verified = run(folder.path(), &format!("models verify --json --store {store} --tenant acme-books"));
    let seen: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let list = run(folder.path(), &format!("models list --json --store {store} --tenant acme-books"));
    let versions: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(seen["versions"].as_u64().unwrap() as usize, versions.as_array().unwrap().len());
}
