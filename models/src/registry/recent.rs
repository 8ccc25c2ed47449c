//! A memory of the newest log entries by key, of bounded length, so that a registry's state does not grow with its age.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Entries after which a key is forgotten. At a commit every ten minutes that is more than two months.
pub const WINDOW: u64 = 10_000;

/// Values by key, each with the id of the entry that set it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, String, V)>", into = "Vec<(u64, String, V)>")]
#[serde(bound(serialize = "V: Serialize + Clone", deserialize = "V: Deserialize<'de>"))]
pub struct Recent<V> {
    by_key: BTreeMap<String, (u64, V)>,
    by_age: BTreeSet<(u64, String)>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_age: BTreeSet::new() }
    }
}

impl<V> Recent<V> {
    /// The value of a key that is still remembered.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.by_key.get(key).map(|(_, value)| value)
    }

    /// The entry that set a key.
    pub fn entry(&self, key: &str) -> Option<u64> {
        self.by_key.get(key).map(|(id, _)| *id)
    }

    /// Keys remembered.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Remembers a key set by entry `id`, which is not below any id before, and forgets what is older than [`WINDOW`].
    pub(super) fn remember(&mut self, id: u64, key: String, value: V) {
        if let Some((before, _)) = self.by_key.insert(key.clone(), (id, value)) {
            self.by_age.remove(&(before, key.clone()));
        }
        self.by_age.insert((id, key));
        self.forget(id);
    }

    /// Forgets what entry `id` and its predecessors within [`WINDOW`] did not set.
    pub(super) fn forget(&mut self, id: u64) {
        while self.by_age.first().is_some_and(|(oldest, _)| oldest + WINDOW <= id) {
            let (_, key) = self.by_age.pop_first().expect("the first was just looked at");
            self.by_key.remove(&key);
        }
    }
}

impl<V> From<Vec<(u64, String, V)>> for Recent<V> {
    fn from(all: Vec<(u64, String, V)>) -> Self {
        let by_age = all.iter().map(|(id, key, _)| (*id, key.clone())).collect();
        Self { by_key: all.into_iter().map(|(id, key, value)| (key, (id, value))).collect(), by_age }
    }
}

impl<V: Clone> From<Recent<V>> for Vec<(u64, String, V)> {
    fn from(recent: Recent<V>) -> Self {
        let Recent { mut by_key, by_age } = recent;
        by_age.into_iter().filter_map(|(id, key)| by_key.remove(&key).map(|(_, value)| (id, key, value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_forgotten_after_the_window_and_not_before() {
        let mut recent = Recent::default();
        recent.remember(5, "a".into(), 'a');
        recent.remember(WINDOW + 4, "b".into(), 'b');
        assert_eq!((recent.get("a"), recent.entry("b")), (Some(&'a'), Some(WINDOW + 4)));
        recent.remember(WINDOW + 5, "c".into(), 'c');
        assert_eq!((recent.get("a"), recent.len()), (None, 2));
        let stored: Vec<(u64, String, char)> = recent.clone().into();
        assert_eq!(Recent::from(stored), recent);
    }
}
