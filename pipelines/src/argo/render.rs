//! Options in, YAML out: the `WorkflowTemplate` of a training run and the `CronWorkflow` that starts it every night.
//!
//! Everything a run needs is in the template's parameters and the command line of each step, so that nightly, drift and
//! manual runs are the same objects with other arguments.

use serde::Serialize;

use super::{
    API_VERSION, CRON_NAME, InvalidOptions, RenderOptions, TEMPLATE_NAME, keys,
    types::{
        Amounts, Arguments, Backoff, Capabilities, Container, ContainerSecurity, CronSpec, Dag, EmptyDir, Labels,
        Manifest, Metadata, Mutex, Parameter, PodGc, PodSecurity, ResourceBounds, RetryStrategy, SeccompProfile,
        Synchronization, Task, Template, TemplateReference, TtlStrategy, Volume, VolumeMount, WorkflowSpec,
    },
};
use crate::step::{Resources, Step};

/// First line of every rendered file.
const HEADER: &str = "# Rendered by `bookloop pipelines render`; do not edit.\n";
/// User and group of the image; nothing in it belongs to them.
const NOBODY: u32 = 65532;
/// Template names beside those of the steps.
const PIPELINE: &str = "pipeline";
const REPORT: &str = "report";
/// The only place a step may write to.
const SCRATCH: &str = "tmp";

/// One file of objects, rendered or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlFile {
    /// Its name, without a folder.
    pub name: String,
    /// Its content.
    pub yaml: String,
}

/// The files of a cluster's training: the same options give the same bytes.
pub fn render(options: &RenderOptions) -> Result<Vec<YamlFile>, InvalidOptions> {
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(InvalidOptions { problems });
    }
    let template = Manifest {
        api_version: API_VERSION,
        kind: "WorkflowTemplate",
        metadata: options.metadata(TEMPLATE_NAME),
        spec: workflow_spec(options),
    };
    let cron = Manifest {
        api_version: API_VERSION,
        kind: "CronWorkflow",
        metadata: options.metadata(CRON_NAME),
        spec: cron_spec(options),
    };
    Ok(vec![
        YamlFile { name: format!("{TEMPLATE_NAME}.workflowtemplate.yaml"), yaml: to_yaml(&template) },
        YamlFile { name: format!("{CRON_NAME}.cronworkflow.yaml"), yaml: to_yaml(&cron) },
    ])
}

/// Labels of every object and pod of a tenant's training.
pub(crate) fn common_labels(tenant: &str) -> Labels {
    [
        ("app.kubernetes.io/part-of", "bookstore-platform"),
        ("app.kubernetes.io/component", "ml-train"),
        ("app.kubernetes.io/managed-by", "kustomize"),
        (keys::CLASS, "ml"),
        (keys::TENANT, tenant),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn to_yaml(object: &impl Serialize) -> String {
    // Folding would break long command lines over lines that people then compare by eye.
    let style = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let body = serde_saphyr::to_string_with_options(object, style).expect("the objects hold only text and numbers");
    format!("{HEADER}{body}")
}

impl RenderOptions {
    fn metadata(&self, name: &str) -> Metadata {
        let labels = self.labels(self.tenant.as_str());
        Metadata { name: name.into(), namespace: self.namespace.clone(), labels, ..Metadata::default() }
    }

    fn labels(&self, tenant: &str) -> Labels {
        let mut labels = common_labels(tenant);
        labels.insert(keys::REGION.into(), self.region.clone());
        labels.insert(keys::ROLE.into(), "writer".into());
        labels
    }

    /// Labels of the pods. On the templates, because there Argo fills in parameters.
    fn pod_labels(&self) -> Metadata {
        let mut labels = self.labels(&parameter("tenant"));
        labels.insert(keys::TRIGGER.into(), parameter("trigger-kind"));
        if let Some(queue) = &self.queue {
            labels.insert("kueue.x-k8s.io/queue-name".into(), queue.clone());
        }
        Metadata { labels, ..Metadata::default() }
    }
}

fn parameter(name: &str) -> String {
    format!("{{{{workflow.parameters.{name}}}}}")
}

fn workflow_spec(options: &RenderOptions) -> WorkflowSpec {
    WorkflowSpec {
        entrypoint: Some(PIPELINE),
        on_exit: Some(REPORT),
        arguments: Arguments {
            parameters: vec![
                Parameter { name: "tenant", value: options.tenant.to_string() },
                Parameter { name: "model", value: options.model.to_string() },
                Parameter { name: "min-eval-score", value: options.min_eval_score.to_string() },
                // A run that nobody gave a cause is its own: its name is unique, and for a nightly run it holds the
                // scheduled second.
                Parameter { name: "trigger-id", value: "{{workflow.name}}".into() },
                Parameter { name: "trigger-kind", value: "manual".into() },
            ],
        },
        service_account_name: Some(options.service_account.clone()),
        pod_priority_class_name: Some("bookstore-platform-ml-batch"),
        active_deadline_seconds: Some(7200),
        // Covers nightly, drift and manual runs together, which the CronWorkflow's own policy does not.
        synchronization: Some(Synchronization {
            mutexes: vec![Mutex { name: format!("train-{}", parameter("tenant")) }],
        }),
        ttl_strategy: Some(TtlStrategy { seconds_after_completion: 172_800 }),
        pod_gc: Some(PodGc { strategy: "OnWorkflowSuccess", delete_delay_duration: "600s" }),
        security_context: Some(PodSecurity {
            run_as_non_root: true,
            run_as_user: NOBODY,
            run_as_group: NOBODY,
            fs_group: NOBODY,
            seccomp_profile: SeccompProfile { kind: "RuntimeDefault" },
        }),
        pod_metadata: Some(Metadata {
            labels: [(keys::CLASS.into(), "ml".into()), ("app.kubernetes.io/component".into(), "ml-train".into())]
                .into(),
            ..Metadata::default()
        }),
        volumes: vec![Volume { name: SCRATCH, empty_dir: EmptyDir { size_limit: "4Gi" } }],
        templates: std::iter::once(pipeline())
            .chain(Step::ALL.map(|step| step_template(step, options)))
            .chain([report_template(options)])
            .collect(),
        ..WorkflowSpec::default()
    }
}

fn pipeline() -> Template {
    let task = |step: Step| Task {
        name: step.name(),
        template: step.name(),
        dependencies: step.after().iter().map(|needed| needed.name()).collect(),
    };
    Template { name: PIPELINE, dag: Some(Dag { tasks: Step::ALL.map(task).into() }), ..Template::default() }
}

fn step_template(step: Step, options: &RenderOptions) -> Template {
    let mut command = command(&["train", "--step", step.name(), "--run", "{{workflow.name}}"], options);
    command.extend(["--interactions".into(), options.interactions_url.clone()]);
    if let Some(items) = &options.items_url {
        command.extend(["--items".into(), items.clone()]);
    }
    for name in ["trigger-id", "trigger-kind", "min-eval-score"] {
        command.extend([format!("--{name}"), parameter(name)]);
    }
    container_template(step.name(), command, step.resources(), step.retry().limit, step.retry().exit_codes, options)
}

/// Runs after the last step whatever happened: prints the versions and aliases that the run leaves behind, in a pod
/// whose annotation says how it ended.
fn report_template(options: &RenderOptions) -> Template {
    let register = Step::Register;
    let command = command(&["models", "list"], options);
    let mut template =
        container_template(REPORT, command, register.resources(), 2, register.retry().exit_codes, options);
    if let Some(metadata) = &mut template.metadata {
        metadata.annotations.insert(keys::OUTCOME.into(), "{{workflow.status}}".into());
    }
    template
}

/// A command line of ours about the run's tenant and model.
fn command(words: &[&str], options: &RenderOptions) -> Vec<String> {
    let (tenant, model) = (parameter("tenant"), parameter("model"));
    let place = ["--store", &options.store_url, "--tenant", &tenant, "--model", &model];
    ["bookloop"].iter().chain(words).chain(&place).map(|word| (*word).to_owned()).collect()
}

fn container_template(
    name: &'static str,
    command: Vec<String>,
    resources: Resources,
    limit: u32,
    exit_codes: &[u8],
    options: &RenderOptions,
) -> Template {
    let Resources { cpu_request, cpu_limit, memory_request, memory_limit } = resources;
    Template {
        name,
        metadata: Some(options.pod_labels()),
        retry_strategy: Some(RetryStrategy {
            limit: limit.to_string(),
            retry_policy: "Always",
            expression: retry_expression(exit_codes),
            // No `maxDuration`: Argo would stop a running attempt when it ends.
            backoff: Backoff { duration: "15s", factor: "2", cap: "5m" },
        }),
        container: Some(Container {
            image: options.image.clone(),
            command,
            resources: ResourceBounds {
                requests: Amounts { cpu: cpu_request, memory: memory_request },
                limits: Amounts { cpu: cpu_limit, memory: memory_limit },
            },
            security_context: ContainerSecurity {
                allow_privilege_escalation: false,
                read_only_root_filesystem: true,
                capabilities: Capabilities { drop: ["ALL"] },
            },
            volume_mounts: vec![VolumeMount { name: SCRATCH, mount_path: "/tmp" }],
        }),
        ..Template::default()
    }
}

/// The exit codes after which Argo tries again: the step's own, and those of a pod that was taken away.
///
/// Argo says `-1` when a pod was evicted or deleted and left no code; 137 and 143 are its two signals. Argo hands codes
/// over as text.
fn retry_expression(exit_codes: &[u8]) -> String {
    let own = exit_codes.iter().map(u8::to_string);
    let codes = ["-1".to_owned()].into_iter().chain(own).chain(["137".to_owned(), "143".to_owned()]);
    let listed: Vec<String> = codes.map(|code| format!("'{code}'")).collect();
    format!("lastRetry.exitCode in [{}]", listed.join(", "))
}

fn cron_spec(options: &RenderOptions) -> CronSpec {
    let mut labels = options.labels(options.tenant.as_str());
    labels.insert(keys::TRIGGER.into(), "nightly".into());
    labels.insert(keys::WORKFLOW_TEMPLATE.into(), TEMPLATE_NAME.into());
    CronSpec {
        schedules: vec![options.schedule.clone()],
        timezone: "UTC",
        concurrency_policy: "Forbid",
        starting_deadline_seconds: 600,
        successful_jobs_history_limit: 3,
        failed_jobs_history_limit: 1,
        workflow_metadata: Metadata { labels, ..Metadata::default() },
        workflow_spec: WorkflowSpec {
            workflow_template_ref: Some(TemplateReference { name: TEMPLATE_NAME }),
            arguments: Arguments { parameters: vec![Parameter { name: "trigger-kind", value: "nightly".into() }] },
            ..WorkflowSpec::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_is_what_was_rendered() {
        let options = RenderOptions::default();
        let (train, night) = (workflow_spec(&options), cron_spec(&options));
        let back: serde_json::Value = serde_saphyr::from_str(&to_yaml(&train)).unwrap();
        assert_eq!(back, serde_json::to_value(&train).unwrap());
        let back: serde_json::Value = serde_saphyr::from_str(&to_yaml(&night)).unwrap();
        assert_eq!(back, serde_json::to_value(&night).unwrap());
    }

    #[test]
    fn text_that_looks_like_something_else_stays_text() {
        let risky = [
            "0.45",
            "true",
            "yes",
            "no",
            "on",
            "1e3",
            "007",
            "0x1f",
            "1:30",
            "null",
            "~",
            "2026-03-01",
            "",
            "{{workflow.parameters.tenant}}",
            "- a",
            "a: b",
            "# a",
            "&a",
            "*a",
            "0o17",
            "1_000",
            ".inf",
            "n",
        ];
        let yaml = to_yaml(&risky);
        let back: Vec<serde_json::Value> = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(back, risky.map(serde_json::Value::from));
        for (line, text) in yaml.lines().skip(1).zip(risky) {
            assert!(line.starts_with("- \"") || line.starts_with("- '"), "{text} is written as {line}");
        }
    }
}
