//! A night that is interrupted: what was finished is kept, what is damaged or of other data is done again.

use std::sync::Mutex;

use bookloop::{
    exit,
    night::{Night, Note, object},
    step::Step,
};
use jiff::Timestamp;
use models::{
    Registry, Store,
    manifest::{Trigger, TriggerKind},
};
use train::Stage;

fn night(root: &Store, interactions: &str) -> Night {
    Night {
        root: root.clone(),
        model: "recommender".parse().unwrap(),
        run: "night-1".to_owned(),
        interactions: vec![interactions.to_owned()],
        items: None,
        min_rating: None,
        max_bad_share: 0.0,
        recipes: Vec::new(),
        test_share: 0.2,
        at: 5,
        memory: 1 << 40,
        min_eval_score: 0.0,
        seed: 3,
        trigger: Trigger { kind: TriggerKind::Manual, id: "by hand".to_owned() },
        code_revision: "test".to_owned(),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Sixty readers of eight of ten books each.
fn shelves(folder: &std::path::Path, name: &str, skip: usize) -> String {
    let books = |reader: usize| (0..10).filter(move |book| (book + reader) % 5 != skip);
    let rows = (0..60).flat_map(|reader| books(reader).map(move |book| format!("r{reader},b{book}")));
    let path = folder.join(name);
    let lines: Vec<String> = std::iter::once("user_id,item_id".to_owned()).chain(rows).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

/// The recipes whose fit began in one more attempt at the step.
async fn attempt(night: &Night, registry: &Registry, step: Step) -> Vec<String> {
    let begun = Mutex::new(Vec::new());
    let listen = |note: Note<'_>| {
        if let Note::Recipe(recipe, Stage::Started) = note {
            begun.lock().unwrap().push(recipe.name.clone());
        }
    };
    night.step(step, registry, &listen).await.unwrap();
    begun.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_fit_does_only_what_is_missing_damaged_or_of_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let root = Store::open("memory://night-resumed").unwrap();
    let registry = Registry::open(root.clone()).await.unwrap();
    let first = night(&root, &shelves(folder.path(), "one.csv", 0));
    let all = ["popularity", "item-knn", "ease-sparse", "ials", "blend"];
    attempt(&first, &registry, Step::Snapshot).await;
    assert_eq!(attempt(&first, &registry, Step::Fit).await, all);
    let key = |name: String| format!("runs/night-1/{name}");
    let of = async |name: String| root.get(&key(name)).await.unwrap().unwrap();
    let candidate = of(object::candidate("ials")).await;

    // Evicted after the fourth recipe, and the second one's bytes went bad.
    root.delete(&key(object::fitted_one("blend"))).await.unwrap();
    let mut damaged = of(object::candidate("item-knn")).await.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    root.put(&key(object::candidate("item-knn")), damaged.into()).await.unwrap();
    assert_eq!(attempt(&first, &registry, Step::Fit).await, ["item-knn", "blend"]);
    assert_eq!(of(object::candidate("ials")).await, candidate);

    // The same run over other data: nothing of the first is used.
    let second = night(&root, &shelves(folder.path(), "two.csv", 1));
    attempt(&second, &registry, Step::Snapshot).await;
    assert_eq!(attempt(&second, &registry, Step::Fit).await, all);
    assert_eq!(attempt(&second, &registry, Step::Fit).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_fit_into_memory_is_left_out_and_told_before_anything_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let root = Store::open("memory://night-small").unwrap();
    let registry = Registry::open(root.clone()).await.unwrap();
    let roomy = night(&root, &shelves(folder.path(), "one.csv", 0));
    attempt(&roomy, &registry, Step::Snapshot).await;
    let said = Mutex::new(Vec::new());
    let listen = |note: Note<'_>| match note {
        Note::Said(sentence) => said.lock().unwrap().push(sentence),
        Note::Recipe(recipe, Stage::Started) => said.lock().unwrap().push(format!("fits {}", recipe.name)),
        _ => {}
    };
    roomy.step(Step::Fit, &registry, &listen).await.unwrap();
    let told = std::mem::take(&mut *said.lock().unwrap());
    assert!(
        told[0].starts_with("at most ") && told[0].ends_with("of memory is taken (blend), the limit is 1.00 TiB"),
        "{told:?}"
    );
    assert_eq!(told[1], "fits popularity");

    // Each thread's products have 72 MiB; the blend, which holds candidates of its window, needs 57 MiB more than the others.
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    let small = Night { memory: (threads * 72 + 30) << 20, run: "night-2".to_owned(), ..roomy.clone() };
    attempt(&small, &registry, Step::Snapshot).await;
    small.step(Step::Fit, &registry, &listen).await.unwrap();
    let told = std::mem::take(&mut *said.lock().unwrap());
    assert!(told[0].starts_with("blend is left out: it may take "), "{told:?}");
    assert!(told.contains(&"fits ials".to_owned()) && !told.contains(&"fits blend".to_owned()), "{told:?}");

    let none = Night { memory: 1 << 20, ..small };
    let refused = none.step(Step::Fit, &registry, &|_| {}).await.unwrap_err();
    assert_eq!(exit::code(&refused), exit::USAGE);
    assert!(refused.to_string().starts_with("--memory: expected at least "), "{refused}");
}
