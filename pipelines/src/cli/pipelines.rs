//! `bookloop pipelines`: training runs as Argo Workflows.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ::models::{ModelName, Registry, TenantName, manifest::TriggerKind};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{Place, Shared, print};
use crate::{
    argo::{RenderOptions, YamlFile, lint, render},
    cluster, exit,
    trigger::{RetrainRequest, Runner, Trigger, TriggerId},
};

/// Training runs as Argo Workflows: render, check, submit, look.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write the WorkflowTemplate and the CronWorkflow of the nightly run.
    Render(RenderArguments),
    /// Check rendered files without a cluster.
    Lint(LintArguments),
    /// Start a training run on the cluster; the same trigger id twice is one run.
    Submit(SubmitArguments),
    /// How a Workflow stands.
    Status(StatusArguments),
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub(super) struct Cluster {
    /// Kubeconfig file; without it, as kubectl would find the cluster.
    #[arg(long, env = "BOOKLOOP_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the Workflows.
    #[arg(long, env = "BOOKLOOP_NAMESPACE", default_value = "bookstore-platform-ml")]
    namespace: String,
}

impl Cluster {
    async fn connect(&self) -> anyhow::Result<cluster::Cluster> {
        Ok(cluster::Cluster::connect(self.kubeconfig.as_deref(), &self.namespace).await?)
    }

    /// A runner of Workflows for this tenant, checked to answer.
    pub(super) async fn runner(&self, tenant: &TenantName) -> anyhow::Result<Arc<dyn Runner>> {
        let cluster = self.connect().await?;
        cluster.in_flight(tenant).await?;
        Ok(Arc::new(cluster))
    }
}

#[derive(Debug, Args)]
pub(super) struct RenderArguments {
    /// Folder to write to; standard output if not given.
    #[arg(long, env = "BOOKLOOP_OUT", value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Namespace of the objects.
    #[arg(long, env = "BOOKLOOP_NAMESPACE", default_value_t = RenderOptions::default().namespace)]
    namespace: String,
    /// Image of the steps, by digest or by a tag other than latest.
    #[arg(long, env = "BOOKLOOP_IMAGE", default_value_t = RenderOptions::default().image)]
    image: String,
    /// Root of the store.
    #[arg(long, env = "BOOKLOOP_STORE", default_value_t = RenderOptions::default().store_url, value_name = "URL")]
    store: String,
    /// Interactions: a file, a folder or a prefix.
    #[arg(long, env = "BOOKLOOP_INTERACTIONS", default_value_t = RenderOptions::default().interactions_url, value_name = "PLACE")]
    interactions: String,
    /// The catalogue.
    #[arg(long, env = "BOOKLOOP_ITEMS", value_name = "PLACE")]
    items: Option<String>,
    /// Tenant of the nightly run.
    #[arg(long, env = "BOOKLOOP_TENANT", default_value_t = RenderOptions::default().tenant)]
    tenant: TenantName,
    /// Model of the nightly run.
    #[arg(long, env = "BOOKLOOP_MODEL", default_value_t = RenderOptions::default().model)]
    model: ModelName,
    /// Five cron fields, in UTC.
    #[arg(long, env = "BOOKLOOP_SCHEDULE", default_value_t = RenderOptions::default().schedule)]
    schedule: String,
    /// The least NDCG that is acceptable.
    #[arg(long, env = "BOOKLOOP_MIN_EVAL_SCORE", default_value_t = RenderOptions::default().min_eval_score)]
    min_eval_score: f64,
}

#[derive(Debug, Args)]
pub(super) struct LintArguments {
    /// YAML files or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SubmitArguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    cluster: Cluster,
    /// Unique per cause.
    #[arg(long, env = "BOOKLOOP_TRIGGER_ID")]
    trigger_id: TriggerId,
    /// Who asks.
    #[arg(long, env = "BOOKLOOP_ACTOR")]
    actor: String,
    /// Why, in a sentence.
    #[arg(long, env = "BOOKLOOP_REASON")]
    reason: String,
    /// Seconds to watch whether the controller takes the run up.
    #[arg(long, env = "BOOKLOOP_WATCH_SECONDS", default_value_t = 5)]
    watch_seconds: u64,
}

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Name of the Workflow.
    name: String,
}

impl Command {
    pub(super) async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        match self {
            Self::Render(arguments) => arguments.run(),
            Self::Lint(arguments) => arguments.run(shared),
            Self::Submit(arguments) => arguments.run(shared).await,
            Self::Status(StatusArguments { cluster, name }) => {
                let status = cluster.connect().await?.status(&name).await?;
                say(shared, &name, &status);
                Ok(())
            }
        }
    }
}

fn say(shared: &Shared, name: &str, status: &cluster::Status) {
    if shared.json {
        print::json(&json!({ "workflow": name, "phase": format!("{:?}", status.phase), "message": status.message }));
    } else {
        println!("{name}: {:?} {}", status.phase, status.message);
    }
}

impl RenderArguments {
    fn run(self) -> anyhow::Result<()> {
        let options = RenderOptions {
            namespace: self.namespace,
            image: self.image,
            store_url: self.store,
            interactions_url: self.interactions,
            items_url: self.items.or(RenderOptions::default().items_url),
            tenant: self.tenant,
            model: self.model,
            schedule: self.schedule,
            min_eval_score: self.min_eval_score,
            ..RenderOptions::default()
        };
        let files = render(&options).map_err(|error| exit::coded(exit::USAGE, error.to_string()))?;
        let Some(folder) = self.out else {
            let documents: Vec<String> = files.into_iter().map(|file| file.yaml).collect();
            print!("{}", documents.join("---\n"));
            return Ok(());
        };
        let failed = |error: std::io::Error| exit::coded(exit::UNAVAILABLE, format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        for YamlFile { name, yaml } in files {
            let path = folder.join(name);
            std::fs::write(&path, yaml).map_err(failed)?;
            println!("{}", path.display());
        }
        Ok(())
    }
}

impl LintArguments {
    fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for path in &self.paths {
            collect(path, &mut files)?;
        }
        let findings = lint(&files);
        if shared.json {
            let rows: Vec<_> = findings
                .iter()
                .map(|f| json!({ "file": f.file, "path": f.path, "expected": f.expected, "found": f.found }))
                .collect();
            print::json(&rows);
        } else {
            for finding in &findings {
                println!("{finding}");
            }
            println!("{} files, {} findings", files.len(), findings.len());
        }
        if findings.is_empty() {
            Ok(())
        } else {
            Err(exit::coded(exit::BAD_INPUT, format!("{} findings", findings.len())))
        }
    }
}

fn collect(path: &std::path::Path, files: &mut Vec<YamlFile>) -> anyhow::Result<()> {
    let bad = |error: std::io::Error| exit::coded(exit::BAD_INPUT, format!("{}: {error}", path.display()));
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path).map_err(bad)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        let is_yaml = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        return entries.iter().filter(|entry| is_yaml(entry)).try_for_each(|entry| collect(entry, files));
    }
    let yaml = std::fs::read_to_string(path).map_err(bad)?;
    files.push(YamlFile { name: path.display().to_string(), yaml });
    Ok(())
}

impl SubmitArguments {
    async fn run(self, shared: &Shared) -> anyhow::Result<()> {
        let registry = Arc::new(Registry::open(self.place.root()?).await?);
        let cluster = self.cluster.connect().await?;
        let request = RetrainRequest {
            tenant: self.place.tenant.clone(),
            model: self.place.model.clone(),
            trigger_id: self.trigger_id,
            kind: TriggerKind::Manual,
            actor: self.actor,
            reason: self.reason,
            requested_at: Timestamp::now(),
        };
        let fired = Trigger::new(registry, Arc::new(cluster.clone())).fire(&request).await?;
        if fired.repeated {
            eprintln!("this trigger was submitted before");
        }
        let status = cluster.watch_briefly(&fired.workflow, Duration::from_secs(self.watch_seconds)).await?;
        say(shared, &fired.workflow, &status);
        if status.phase == cluster::Phase::Error {
            return Err(exit::coded(exit::BUG, format!("the controller cannot run it: {}", status.message)));
        }
        Ok(())
    }
}
