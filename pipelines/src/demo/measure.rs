//! What the retrain was worth: both versions on what readers bought after it, which neither has seen.

use train::{Comparison, Evaluation, evaluate, evaluate::Estimate, read, split};

use super::{chronicler::Chronicler, stage::Stage};
use crate::inputs;

/// Length of the lists.
const AT: usize = 10;

/// Both versions on the same readers.
#[derive(Debug, Clone)]
pub(super) struct Worth {
    pub(super) before: Estimate,
    pub(super) after: Estimate,
    pub(super) difference: Option<Comparison>,
    pub(super) readers: u64,
}

impl Stage {
    /// `None` when nothing was retrained.
    pub(super) async fn measure(&self, chronicler: &mut Chronicler<'_>) -> anyhow::Result<Option<Worth>> {
        let Some(retrained) = self.retrained else { return Ok(None) };
        let old = self.registry.load(&self.model, self.first_version).await?;
        let new = self.registry.load(&self.model, retrained).await?;
        let Some(seen_to) = new.manifest.data.to else { return Ok(None) };
        let mut files = Vec::new();
        for place in &self.interactions {
            files.push(inputs::open(place).await?);
        }
        let options = read::Options::at(jiff::Timestamp::now());
        let items = inputs::open(&self.items).await?;
        let seed = self.options.seed;
        let (before, after, difference) = tokio::task::block_in_place(|| {
            let books = read::read_items(items, &options)?.books;
            let dataset = read::read_interactions(files.into_iter().flatten(), books, &options)?.dataset;
            let split = split::at_time(&dataset, seen_to.as_millisecond() + 1)?;
            let before = evaluate(&old.artifact, &split, AT);
            let after = evaluate(&new.artifact, &split, AT);
            let difference = after.compared_with(&before, seed);
            Ok::<(Evaluation, Evaluation, Option<Comparison>), train::Error>((before, after, difference))
        })?;
        chronicler.worth(self.first_version, &before);
        chronicler.worth(retrained, &after);
        let (Some(old), Some(new)) = (&before.all, &after.all) else { return Ok(None) };
        Ok(Some(Worth { before: old.ndcg, after: new.ndcg, difference, readers: new.n_readers as u64 }))
    }
}
