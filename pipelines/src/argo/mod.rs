//! The training run as Argo Workflows objects: rendered from [`crate::step::Step`], checked without a cluster, submitted
//! by [`crate::cluster`].
//!
//! - [`render`]: options in, YAML files out, the same bytes every time.
//! - [`lint`](mod@lint): what is wrong with a set of files, before a cluster finds out at two in the morning.

mod lint;
mod options;
mod render;
mod types;

pub use self::{
    lint::{Finding, lint},
    options::{InvalidOptions, RenderOptions},
    render::{YamlFile, render},
};
pub(crate) use self::{
    render::common_labels,
    types::{Arguments, Manifest, Metadata, Parameter, TemplateReference, WorkflowSpec},
};

/// API group and version of every object here.
pub const API_VERSION: &str = "argoproj.io/v1alpha1";
/// Name of the `WorkflowTemplate` that every training run is made from.
pub const TEMPLATE_NAME: &str = "recommender-train";
/// Name of the `CronWorkflow` that starts it every night. Argo appends 11 characters, so at most 52.
pub const CRON_NAME: &str = "recommender-nightly";

/// Label and annotation keys of the platform, of Argo and of ours.
pub mod keys {
    /// Label: whose readers the run serves.
    pub const TENANT: &str = "bookstore-platform.example.com/tenant";
    /// Label: what started the run.
    pub const TRIGGER: &str = "bookstore-platform.example.com/trigger";
    /// Label: cost class.
    pub const CLASS: &str = "bookstore-platform.example.com/class";
    /// Label: region of the cluster.
    pub const REGION: &str = "bookstore-platform.example.com/region";
    /// Label: what that region does.
    pub const ROLE: &str = "bookstore-platform.example.com/role";
    /// Annotation of a namespace: that tenant's discretionary compute is stopped.
    pub const BUDGET_FROZEN: &str = "bookstore-platform.example.com/budget-frozen";
    /// Label: the template a Workflow was made from. Argo's own command line sets it, a direct create does not.
    pub const WORKFLOW_TEMPLATE: &str = "workflows.argoproj.io/workflow-template";
    /// Label: `"true"` once the controller is done with a Workflow.
    pub const COMPLETED: &str = "workflows.argoproj.io/completed";
    /// Annotation of a Workflow: the cause it was started for, in full.
    pub const TRIGGER_ID: &str = "bookloop.example.com/trigger-id";
    /// Annotation of a Workflow: the model it trains.
    pub const MODEL: &str = "bookloop.example.com/model";
    /// Annotation of the last pod of a run: how it ended.
    pub const OUTCOME: &str = "bookloop.example.com/outcome";
    /// Annotation of a Workflow: why, in a sentence.
    pub const REASON: &str = "bookloop.example.com/reason";
    /// Annotation of a Workflow: when it was asked for, and by whose word.
    pub const REQUESTED: &str = "bookloop.example.com/requested";
}
