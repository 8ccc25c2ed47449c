//! The parts of Argo's and Kubernetes' object types that we write, and nothing else.
//!
//! Names follow Argo v4.1: lists `schedules` and `mutexes`, no `podPriority`. Field order here is the order in the
//! rendered files.

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) type Labels = BTreeMap<String, String>;

/// Any object: its kind, its name, what it should be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest<S> {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: Metadata,
    pub spec: S,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Metadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CronSpec {
    pub schedules: Vec<String>,
    pub timezone: &'static str,
    pub concurrency_policy: &'static str,
    pub starting_deadline_seconds: u32,
    pub successful_jobs_history_limit: u32,
    pub failed_jobs_history_limit: u32,
    pub workflow_metadata: Metadata,
    pub workflow_spec: WorkflowSpec,
}

/// Spec of a Workflow, of a `WorkflowTemplate` and of what a `CronWorkflow` starts.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkflowSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_template_ref: Option<TemplateReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exit: Option<&'static str>,
    pub arguments: Arguments,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_priority_class_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronization: Option<Synchronization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_strategy: Option<TtlStrategy>,
    #[serde(rename = "podGC", skip_serializing_if = "Option::is_none")]
    pub pod_gc: Option<PodGc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TemplateReference {
    pub name: &'static str,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Arguments {
    pub parameters: Vec<Parameter>,
}

/// Argo reads any scalar here; a string is the one that no reader turns into something else.
#[derive(Debug, Serialize)]
pub(crate) struct Parameter {
    pub name: &'static str,
    pub value: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Synchronization {
    pub mutexes: Vec<Mutex>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Mutex {
    pub name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TtlStrategy {
    pub seconds_after_completion: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodGc {
    pub strategy: &'static str,
    pub delete_delay_duration: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSecurity {
    pub run_as_non_root: bool,
    pub run_as_user: u32,
    pub run_as_group: u32,
    pub fs_group: u32,
    pub seccomp_profile: SeccompProfile,
}

#[derive(Debug, Serialize)]
pub(crate) struct SeccompProfile {
    #[serde(rename = "type")]
    pub kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Volume {
    pub name: &'static str,
    pub empty_dir: EmptyDir,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EmptyDir {
    pub size_limit: &'static str,
}

/// One template: a graph of tasks, or a container.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Template {
    pub name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dag: Option<Dag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Dag {
    pub tasks: Vec<Task>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Task {
    pub name: &'static str,
    pub template: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryStrategy {
    pub limit: String,
    pub retry_policy: &'static str,
    pub expression: String,
    pub backoff: Backoff,
}

#[derive(Debug, Serialize)]
pub(crate) struct Backoff {
    pub duration: &'static str,
    pub factor: &'static str,
    pub cap: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub image: String,
    pub command: Vec<String>,
    pub resources: ResourceBounds,
    pub security_context: ContainerSecurity,
    pub volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ResourceBounds {
    pub requests: Amounts,
    pub limits: Amounts,
}

#[derive(Debug, Serialize)]
pub(crate) struct Amounts {
    pub cpu: &'static str,
    pub memory: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerSecurity {
    pub allow_privilege_escalation: bool,
    pub read_only_root_filesystem: bool,
    pub capabilities: Capabilities,
}

#[derive(Debug, Serialize)]
pub(crate) struct Capabilities {
    pub drop: [&'static str; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount {
    pub name: &'static str,
    pub mount_path: &'static str,
}
