//! What is wrong with a set of Argo files, found without a cluster.
//!
//! The minimal resource definitions let the API server accept nearly anything; the controller marks the Workflow `Error`
//! moments later. These checks are the ones that would have told: fields that must be there, references that must
//! resolve among the files given, names that must fit, fields that version 4 dropped, and the platform's rules for pods.

mod template;
mod workflow;

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{API_VERSION, YamlFile, keys, options::is_label};

/// Longest name of a `CronWorkflow`: its children append a dash and ten digits.
const CRON_NAME_MAX: usize = 52;
/// Longest name of everything else.
const NAME_MAX: usize = 63;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File as given; with the document's place in it, from 1, where a file holds several.
    pub file: String,
    /// Path of the field, as in `spec.templates[2].container.image`; empty for the whole file.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, path, expected, found } = self;
        write!(f, "{file}: {path}: expected {expected}, found {found}")
    }
}

/// Checks files of Argo objects; references resolve among them. Empty when nothing is wrong.
///
/// Findings come in the order of the files and, within one, of the checks. Objects of other API groups are passed over.
pub fn lint(files: &[YamlFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut objects = Vec::new();
    for file in files {
        match serde_saphyr::from_multiple::<Value>(&file.yaml) {
            Ok(documents) => {
                let several = documents.len() > 1;
                objects.extend(documents.into_iter().enumerate().map(|(place, object)| {
                    (if several { format!("{}#{}", file.name, place + 1) } else { file.name.clone() }, object)
                }));
            }
            Err(error) => findings.push(Finding {
                file: file.name.clone(),
                path: String::new(),
                expected: "YAML".into(),
                found: error.to_string().lines().next().unwrap_or_default().to_owned(),
            }),
        }
    }
    let templates: BTreeMap<&str, &Value> = objects
        .iter()
        .filter(|(_, object)| object["kind"] == "WorkflowTemplate")
        .filter_map(|(_, object)| Some((object["metadata"]["name"].as_str()?, &object["spec"])))
        .collect();
    for (file, object) in &objects {
        let mut check = Check { file, templates: &templates, findings: &mut findings };
        check.object(object);
    }
    findings
}

/// The checks of one object: where they write, and what they may refer to.
struct Check<'a> {
    file: &'a str,
    /// Specs of the `WorkflowTemplate`s among the files, by name.
    templates: &'a BTreeMap<&'a str, &'a Value>,
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn report(&mut self, path: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) {
        let (path, expected, found) = (path.into(), expected.into(), found.into());
        self.findings.push(Finding { file: self.file.into(), path, expected, found });
    }

    /// Reports the field unless it holds.
    fn require(&mut self, holds: bool, path: impl Into<String>, expected: &str, found: &Value) {
        if !holds {
            self.report(path, expected, show(found));
        }
    }

    fn object(&mut self, object: &Value) {
        let version = &object["apiVersion"];
        if version.as_str().is_some_and(|version| !version.starts_with("argoproj.io/")) {
            return;
        }
        self.require(*version == API_VERSION, "apiVersion", API_VERSION, version);
        match object["kind"].as_str() {
            Some("Workflow" | "WorkflowTemplate") => {
                self.metadata(&object["metadata"], NAME_MAX);
                self.workflow_spec(&object["spec"], "spec");
            }
            Some("CronWorkflow") => {
                self.metadata(&object["metadata"], CRON_NAME_MAX);
                self.cron_spec(&object["spec"]);
                self.workflow_spec(&object["spec"]["workflowSpec"], "spec.workflowSpec");
            }
            _ => self.report("kind", "Workflow, WorkflowTemplate or CronWorkflow", show(&object["kind"])),
        }
    }

    fn metadata(&mut self, metadata: &Value, longest: usize) {
        let name = &metadata["name"];
        let fits = name.as_str().is_some_and(|name| is_label(name) && name.len() <= longest);
        self.require(fits, "metadata.name", &format!("a-z, 0-9 and -, at most {longest} characters"), name);
        for key in ["app.kubernetes.io/part-of", "app.kubernetes.io/component", keys::TENANT, keys::CLASS] {
            let label = &metadata["labels"][key];
            self.require(label.is_string(), format!("metadata.labels[{key}]"), "a label of the platform", label);
        }
    }

    fn cron_spec(&mut self, spec: &Value) {
        self.require(
            spec["schedule"].is_null(),
            "spec.schedule",
            "no such field; schedules is a list",
            &spec["schedule"],
        );
        let schedules = &spec["schedules"];
        let listed = schedules.as_array().map(Vec::as_slice).unwrap_or_default();
        self.require(!listed.is_empty(), "spec.schedules", "at least one schedule", schedules);
        for (place, schedule) in listed.iter().enumerate() {
            let five = schedule.as_str().is_some_and(|text| text.split_whitespace().count() == 5);
            self.require(five, format!("spec.schedules[{place}]"), "five cron fields", schedule);
        }
        let policy = &spec["concurrencyPolicy"];
        let known = matches!(policy.as_str(), Some("Forbid" | "Replace"));
        self.require(known, "spec.concurrencyPolicy", "Forbid or Replace; the default lets runs pile up", policy);
        self.require(
            spec["timezone"].is_string(),
            "spec.timezone",
            "a time zone, not the machine's",
            &spec["timezone"],
        );
        let deadline = &spec["startingDeadlineSeconds"];
        let kept = deadline.as_u64().is_some_and(|secs| secs > 0);
        self.require(kept, "spec.startingDeadlineSeconds", "above 0, or a night is lost to a restart", deadline);
        for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
            self.require(spec[field].is_u64(), format!("spec.{field}"), "a number of runs to keep", &spec[field]);
        }
    }
}

/// A value as a finding shows it: absent, or JSON cut to 80 characters.
fn show(value: &Value) -> String {
    if value.is_null() { "nothing".into() } else { value.to_string().chars().take(80).collect() }
}

/// The list under a key; empty when it is absent or no list.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}
