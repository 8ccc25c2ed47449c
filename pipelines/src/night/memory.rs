//! Whether a night's fits have room, told before any begins: a pod that is killed for memory has worked for nothing.

use indicatif::BinaryBytes;
use sysinfo::System;
use train::{Dataset, Recipe};

use super::{Listener, Night, Note};
use crate::exit;

/// Nine tenths of what this process may take: of its container's limit where there is one, else of the machine's memory.
/// Without bounds where neither can be told.
pub fn memory_at_hand() -> u64 {
    let Ok(mut system) = System::new() else { return u64::MAX };
    system.refresh_memory();
    let container = system.cgroup_limits().map(|limits| limits.total_memory).filter(|bytes| *bytes > 0);
    let machine = system.total_memory();
    container.map_or(machine, |container| container.min(machine)) / 10 * 9
}

impl Night {
    /// The recipes that surely have room for every step of theirs; those that may not are told of.
    ///
    /// The data are held twice, whole and cut, and beside a fit lie its own result as bytes and the one it starts from.
    pub(super) fn affordable(
        &self,
        dataset: &Dataset,
        recipes: Vec<Recipe>,
        listener: &Listener<'_>,
    ) -> anyhow::Result<Vec<Recipe>> {
        let data = 2 * dataset.bytes();
        let (mut kept, mut most, mut least) = (Vec::new(), (0, String::new()), u64::MAX);
        for recipe in recipes {
            let need = recipe.algorithm.need(dataset);
            let total = data + need.peak + 2 * need.model;
            least = least.min(total);
            if total > self.memory {
                let (total, limit) = (BinaryBytes(total), BinaryBytes(self.memory));
                listener(Note::Said(format!(
                    "{} is left out: it may take {total} of memory, the limit is {limit}",
                    recipe.name
                )));
                continue;
            }
            if total > most.0 {
                most = (total, recipe.name.clone());
            }
            kept.push(recipe);
        }
        if kept.first().is_none_or(|first| first.name != "popularity") {
            let words = format!(
                "--memory: expected at least {} for this data, found {}",
                BinaryBytes(least),
                BinaryBytes(self.memory)
            );
            return Err(exit::coded(exit::USAGE, words));
        }
        let (most, limit) = ((BinaryBytes(most.0), most.1), BinaryBytes(self.memory));
        listener(Note::Said(format!("at most {} of memory is taken ({}), the limit is {limit}", most.0, most.1)));
        Ok(kept)
    }
}
