//! `bookloop fetch`: a version out of the registry into a folder, as a cluster's init container does it before the
//! predictor starts.

mod place;
mod source;

use std::path::{Path, PathBuf};

use ::models::{Registry, Store, registry::load_folder, signature::Trust};
use clap::Args;
use serde_json::json;

use self::{
    place::{Placed, place},
    source::Source,
};
use super::{Shared, keys, print};
use crate::exit;

/// Fetch a version into a folder: checked against the log, the manifest and the trusted keys, then whole or not at all.
///
/// Takes the arguments that KServe gives a storage initializer. A folder that is new appears in one step; one that is
/// there, as a mounted one is, gets its manifest last, and without a manifest nothing is served from it. What is whole
/// already is left alone, another version is replaced, and what is no version's is refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What and where to, in turn; what is bookloop://TENANT/MODEL@ALIAS or bookloop://TENANT/MODEL@VERSION.
    #[arg(value_name = "SOURCE DIR", required = true)]
    pairs: Vec<String>,
    /// Root of the store, as in `bookloop serve`.
    #[arg(long, env = "BOOKLOOP_STORE", value_name = "URL")]
    store: String,
    #[command(flatten)]
    trusted: keys::Trusted,
}

const EXAMPLES: &str = "\
Examples:
  bookloop fetch --store s3://models bookloop://acme-books/recommender@production /mnt/models
  bookloop serve --model-dir /mnt/models
  bookloop fetch --store s3://models --trusted-key team.pub --require-signature bookloop://shared/recommender@7 v7";

impl Arguments {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let wanted = wanted(&self.pairs).map_err(|words| exit::coded(exit::USAGE, words))?;
        let (store, trust) = (Store::open(&self.store)?, self.trusted.trust()?);
        for (source, folder) in wanted {
            let Source { tenant, model, .. } = &source;
            let registry = Registry::open(store.tenant(tenant)).await?.trusting(trust.clone());
            let version = source.version(&registry.state())?;
            let exported = registry.export(model, version).await?;
            let files = exported.in_folder(tenant, version);
            let (trust, to) = (trust.clone(), folder.clone());
            let placed = tokio::task::spawn_blocking(move || place(&files, &to, |staged| readable(staged, &trust)));
            let placed = placed.await.expect("writing files returns errors instead of panicking")?;
            if shared.json {
                let is_new = placed == Placed::New;
                let line = json!({ "tenant": tenant, "model": model, "version": version, "to": folder, "new": is_new });
                print::json(&line);
            } else {
                let how = if placed == Placed::New { "is in" } else { "was in" };
                println!("{tenant}/{model}: version {version} {how} {}", folder.display());
            }
        }
        Ok(())
    }
}

/// Sources with their folders.
fn wanted(pairs: &[String]) -> Result<Vec<(Source, PathBuf)>, String> {
    let read = |pair: &[String]| match pair {
        [source, folder] => Ok((source.parse()?, PathBuf::from(folder))),
        alone => Err(format!("expected a folder after each source, found none after {alone:?}")),
    };
    pairs.chunks(2).map(read).collect()
}

/// Reads what was written the way a predictor will.
fn readable(folder: &Path, trust: &Trust) -> anyhow::Result<()> {
    Ok(load_folder(folder, trust).map(drop)?)
}
