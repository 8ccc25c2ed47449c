//! Which models are served, to whom, and how many bytes of them at once: the flags, and what they mean together.

use std::{path::PathBuf, str::FromStr};

use ::models::{ModelName, Store, TenantName, Version};
use ::serve::{Callers, ModelSource, Options, Selection, Served};
use clap::Args;

use super::{keys, mounted::Mount};
use crate::exit;

/// Which models are served, and to whom.
#[derive(Debug, Args)]
pub(super) struct Models {
    /// Root of the store: file:///folder, memory://name, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
    ///
    /// Clouds are reached with the settings of their own tools: AWS_*, GOOGLE_* and AZURE_* in the environment.
    #[arg(long, env = "BOOKLOOP_STORE", value_name = "URL", required_unless_present = "model_dir")]
    store: Option<String>,
    /// Folder with one version, in place of a store: as `bookloop fetch` and `bookloop models export` write it, and as
    /// KServe mounts it. Nothing is written there, nothing is looked at again, and a store is not asked.
    #[arg(long, alias = "model_dir", env = "BOOKLOOP_MODEL_DIR", value_name = "DIR")]
    model_dir: Option<PathBuf>,
    /// Number of the version in the folder, where its origin.json does not tell it.
    #[arg(long, env = "BOOKLOOP_MODEL_VERSION", value_name = "NUMBER", requires = "model_dir")]
    model_version: Option<Version>,
    /// Tenants: several times or with commas, or * for every tenant that has a registry in the store. [default: shared,
    /// or with --model-dir whom the folder came from]
    ///
    /// With one tenant whoever comes is taken for one of its readers. With several the mesh says whose a request is.
    #[arg(long, env = "BOOKLOOP_TENANT", value_delimiter = ',', value_parser = named::<TenantName>)]
    tenant: Vec<Named<TenantName>>,
    /// The same as --tenant '*': also tenants that come later are served, without a restart.
    #[arg(long, env = "BOOKLOOP_ALL_TENANTS", conflicts_with = "model_dir")]
    all_tenants: bool,
    /// Models: several times or with commas, or * for every model of a tenant. Paths without a name ask for the first.
    /// [default: recommender, or with --model-dir the folder's]
    #[arg(
        long, alias = "model_name", env = "BOOKLOOP_MODEL", value_delimiter = ',', value_parser = named::<ModelName>
    )]
    model: Vec<Named<ModelName>>,
    /// Load every model at the start and be ready when they are; without it one model alone is loaded at the start, and
    /// of several each when it is first asked for.
    #[arg(long, env = "BOOKLOOP_EAGER", conflicts_with = "model_dir")]
    eager: bool,
    /// Bytes of model files loaded at once, as in 4GiB; those not asked for longest are let go. 0 for no limit.
    #[arg(long, env = "BOOKLOOP_MODEL_BYTES", default_value = "0", value_parser = crate::cli::bytes)]
    model_bytes: u64,
    /// Ask every request for the claim tenant in x-jwt-payload, as a mesh sets it, also with one tenant.
    #[arg(long, env = "BOOKLOOP_REQUIRE_CLAIM", conflicts_with = "tenant_header")]
    require_claim: bool,
    /// Header in which callers name their tenant, where no mesh does: whoever can connect may then ask for any tenant.
    #[arg(long, env = "BOOKLOOP_TENANT_HEADER", value_name = "NAME")]
    tenant_header: Option<String>,
    /// Requests of one tenant in flight at once, so that no tenant fills the room of all. [default: half of the room
    /// with several tenants, else all of it]
    #[arg(long, env = "BOOKLOOP_TENANT_IN_FLIGHT")]
    tenant_in_flight: Option<usize>,
    #[command(flatten)]
    trusted: keys::Trusted,
}

/// A name, or the star that stands for all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named<N> {
    One(N),
    All,
}

fn named<N: FromStr>(text: &str) -> Result<Named<N>, N::Err> {
    if text == "*" { Ok(Named::All) } else { text.parse().map(Named::One) }
}

/// All if one of them is the star, and the usual one if none is named.
fn served<N>(names: Vec<Named<N>>, usual: impl FnOnce() -> N) -> Served<N> {
    if names.is_empty() {
        return Served::These(vec![usual()]);
    }
    let one = |name| match name {
        Named::One(name) => Some(name),
        Named::All => None,
    };
    names.into_iter().map(one).collect::<Option<Vec<N>>>().map_or(Served::All, Served::These)
}

/// The one that is named, if any; a folder has one model, of one tenant.
fn one<N>(flag: &str, mut names: Vec<Named<N>>) -> anyhow::Result<Option<N>> {
    match (names.pop(), names.len()) {
        (None, _) => Ok(None),
        (Some(Named::One(name)), 0) => Ok(Some(name)),
        (Some(_), others) => {
            let found = if others == 0 { "all of them".to_owned() } else { (others + 1).to_string() };
            Err(exit::coded(exit::USAGE, format!("{flag}: expected one with --model-dir, found {found}")))
        }
    }
}

/// The tenant whose models are everyone's.
pub(super) fn shared() -> TenantName {
    ::serve::config::SHARED.parse().expect("the shared tenant's name is one")
}

impl Models {
    /// Settings with who asks and what may be loaded, and where models come from.
    pub(super) fn read(self) -> anyhow::Result<(Options, ModelSource)> {
        let trust = self.trusted.trust()?;
        let (mut options, source, several) = if let Some(folder) = self.model_dir {
            let (tenant, model) = (one("--tenant", self.tenant)?, one("--model", self.model)?);
            let mount = Mount::open(&folder, &trust, tenant, model, self.model_version)?;
            (Options::new(mount.tenant, mount.model), mount.source, false)
        } else {
            let usual = || "recommender".parse().expect("the usual name is one");
            let tenants = if self.all_tenants { Served::All } else { served(self.tenant, shared) };
            let models = served(self.model, usual);
            let first = match &models {
                Served::These(names) => names.first().cloned(),
                Served::All => None,
            };
            let several = tenants.only().is_none();
            let options = Options::new(tenants.only().cloned().unwrap_or_else(shared), first.unwrap_or_else(usual));
            let eager = self.eager || (!several && models.only().is_some());
            let root = Store::open(&self.store.expect("clap asks for a store where no folder is named"))?;
            (options, ModelSource::Store(Selection { root, trust, tenants, models, eager }), several)
        };
        options.callers = match self.tenant_header {
            Some(name) => Callers::Header(name.parse().map_err(|_| {
                exit::coded(exit::USAGE, format!("--tenant-header: expected the name of a header, found {name:?}"))
            })?),
            None if self.require_claim || several => Callers::Claim,
            None => Callers::Anyone,
        };
        options.model_bytes = self.model_bytes;
        options.tenant_in_flight = self.tenant_in_flight;
        Ok((options, source))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Flags {
        #[command(flatten)]
        models: Models,
    }

    fn read(flags: &str) -> (Options, Selection) {
        let words = ["bookloop", "--store", "memory://flags"].into_iter().chain(flags.split_whitespace());
        let (options, source) = Flags::try_parse_from(words).unwrap().models.read().unwrap();
        let ModelSource::Store(selection) = source else { panic!("a store was named") };
        (options, selection)
    }

    #[test]
    fn a_folder_leaves_no_choice_of_store_tenants_and_models() {
        let refused = |flags: &str| {
            let words = ["bookloop", "--model-dir", "/nowhere"].into_iter().chain(flags.split_whitespace());
            match Flags::try_parse_from(words) {
                Ok(flags) => flags.models.read().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            }
        };
        for (flags, says) in [
            ("", "manifest.json in /nowhere"),
            ("--store memory://flags", "manifest.json in /nowhere"),
            ("--all-tenants", "cannot be used with"),
            ("--eager", "cannot be used with"),
            ("--tenant *", "--tenant: expected one with --model-dir, found all of them"),
            ("--tenant acme-books,other-books", "--tenant: expected one with --model-dir, found 2"),
            ("--model a,b,c", "--model: expected one with --model-dir, found 3"),
        ] {
            let error = refused(flags);
            assert!(error.contains(says), "{flags}: {error}");
        }
        for flags in ["", "--model-version 3 --store memory://flags"] {
            assert!(
                Flags::try_parse_from(["bookloop"].into_iter().chain(flags.split_whitespace())).is_err(),
                "{flags}"
            );
        }
    }

    /// Whether models are loaded at the start, who says whose a request is, and what is usual.
    fn told(flags: &str) -> String {
        let (options, selection) = read(flags);
        let count = |n: usize| if n == 0 { "all".to_owned() } else { n.to_string() };
        let tenants = count(if let Served::These(names) = &selection.tenants { names.len() } else { 0 });
        let models = count(if let Served::These(names) = &selection.models { names.len() } else { 0 });
        let eager = if selection.eager { "eager" } else { "lazy" };
        format!("{tenants}x{models} {eager} {:?} {}/{}", options.callers, options.tenant, options.model)
    }

    #[test]
    fn one_model_of_one_tenant_is_as_it_ever_was() {
        assert_eq!(told(""), "1x1 eager Anyone shared/recommender");
        assert_eq!(told("--tenant acme-books --model next"), "1x1 eager Anyone acme-books/next");
        assert_eq!(told("--tenant acme-books --require-claim"), "1x1 eager Claim acme-books/recommender");
    }

    #[test]
    fn several_tenants_are_told_apart_by_the_mesh_unless_the_operator_says_otherwise() {
        assert_eq!(told("--tenant acme-books,other-books --model b,a"), "2x2 lazy Claim shared/b");
        assert_eq!(told("--tenant acme-books --model b --model a"), "1x2 lazy Anyone acme-books/b");
        assert_eq!(told("--tenant * --eager"), "allx1 eager Claim shared/recommender");
        assert_eq!(told("--all-tenants --model *"), "allxall lazy Claim shared/recommender");
        assert_eq!(
            told("--all-tenants --tenant-header x-tenant"),
            "allx1 lazy Header(\"x-tenant\") shared/recommender"
        );
    }
}
