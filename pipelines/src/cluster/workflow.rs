//! The Workflow of a cause: its name, what is written into it, and how an existing one is known again.

use kube::api::DynamicObject;

use super::Error;
use crate::{
    argo::{
        API_VERSION, Arguments, Manifest, Metadata, Parameter, TEMPLATE_NAME, TemplateReference, WorkflowSpec,
        common_labels, keys,
    },
    trigger::RetrainRequest,
};

/// Kubernetes' limit for the names and labels made from a Workflow's name.
const NAME_MAX: usize = 63;
/// Hex digits of the cause's digest in the name.
const DIGEST_DIGITS: usize = 12;

/// Where a Workflow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The controller has not begun it.
    Pending,
    /// At work.
    Running,
    /// Done.
    Succeeded,
    /// A step failed.
    Failed,
    /// The controller could not run it at all: most often a malformed spec.
    Error,
}

impl Phase {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error)
    }

    /// The controller's word; none, or one that we do not know, is not an end.
    fn read(word: Option<&str>) -> Self {
        match word {
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some("Error") => Self::Error,
            _ => Self::Pending,
        }
    }
}

/// A Workflow's state as the controller last wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its phase.
    pub phase: Phase,
    /// The controller's explanation; empty when it gave none.
    pub message: String,
}

/// Name of a cause's Workflow: `recommender-train-<kind>-<tenant>-<12 hex digits of sha256(trigger id)>`, the tenant
/// cut so that it all fits 63 characters.
pub fn workflow_name(request: &RetrainRequest) -> String {
    let digest = models::digest::sha256(request.trigger_id.as_str().as_bytes());
    let (kind, tail) = (request.kind.as_str(), &digest[..DIGEST_DIGITS]);
    let room = NAME_MAX - format!("{TEMPLATE_NAME}-{kind}--{tail}").len();
    let tenant = request.tenant.as_str();
    let cut = tenant[..tenant.len().min(room)].trim_end_matches('-');
    format!("{TEMPLATE_NAME}-{kind}-{cut}-{tail}")
}

/// The Workflow of a cause, under [`workflow_name`].
pub(super) fn workflow(namespace: &str, request: &RetrainRequest) -> DynamicObject {
    let mut labels = common_labels(request.tenant.as_str());
    labels.insert(keys::TRIGGER.into(), request.kind.as_str().into());
    labels.insert(keys::WORKFLOW_TEMPLATE.into(), TEMPLATE_NAME.into());
    let annotations = [
        (keys::TRIGGER_ID, request.trigger_id.to_string()),
        (keys::MODEL, request.model.to_string()),
        (keys::REASON, request.reason.clone()),
        (keys::REQUESTED, format!("{} by {}", request.requested_at, request.actor)),
    ];
    let annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let parameters = vec![
        Parameter { name: "tenant", value: request.tenant.to_string() },
        Parameter { name: "model", value: request.model.to_string() },
        Parameter { name: "trigger-id", value: request.trigger_id.to_string() },
        Parameter { name: "trigger-kind", value: request.kind.as_str().into() },
    ];
    let manifest = Manifest {
        api_version: API_VERSION,
        kind: "Workflow",
        metadata: Metadata { name: workflow_name(request), namespace: namespace.into(), labels, annotations },
        spec: WorkflowSpec {
            workflow_template_ref: Some(TemplateReference { name: TEMPLATE_NAME }),
            arguments: Arguments { parameters },
            ..WorkflowSpec::default()
        },
    };
    let json = serde_json::to_value(manifest).expect("a manifest holds only text and numbers");
    serde_json::from_value(json).expect("a manifest has the shape of an object")
}

/// Whether a Workflow that has our name is there for our cause.
///
/// The tenant counts too: long names are cut, and two tenants may use the same trigger id.
pub(super) fn same_cause(found: &DynamicObject, ours: &DynamicObject) -> Result<(), Error> {
    let annotation = |object: &DynamicObject, key| object.metadata.annotations.as_ref()?.get(key).cloned();
    let label = |object: &DynamicObject, key| object.metadata.labels.as_ref()?.get(key).cloned();
    let compared = [
        ("trigger id", annotation(ours, keys::TRIGGER_ID), annotation(found, keys::TRIGGER_ID)),
        ("tenant", label(ours, keys::TENANT), label(found, keys::TENANT)),
        ("model", annotation(ours, keys::MODEL), annotation(found, keys::MODEL)),
    ];
    for (what, expected, found_value) in compared {
        if expected != found_value {
            return Err(Error::NameClash {
                name: found.metadata.name.clone().unwrap_or_default(),
                what,
                expected: expected.unwrap_or_default(),
                found: found_value.unwrap_or_else(|| "none".into()),
            });
        }
    }
    Ok(())
}

pub(super) fn read_status(workflow: &DynamicObject) -> Status {
    let status = &workflow.data["status"];
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    Status { phase: Phase::read(status["phase"].as_str()), message }
}
