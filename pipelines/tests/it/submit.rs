//! Submission: one Workflow per cause, and answers a person can act on.

use std::time::Duration;

use bookloop::{
    argo::keys,
    cluster::{Cluster, Error, Phase, workflow_name},
    trigger::RetrainRequest,
};
use expect_test::expect;
use futures::future::join_all;
use jiff::Timestamp;
use kube::{Client, Config};
use models::manifest::TriggerKind;
use serde_json::{Value, json};

use crate::stand_in::{Fault, NAMESPACE, StandIn, patience};

/// A drift retrain of `tenant` for the cause `id`.
pub fn request(tenant: &str, id: &str) -> RetrainRequest {
    RetrainRequest {
        tenant: tenant.parse().unwrap(),
        model: "recommender".parse().unwrap(),
        trigger_id: id.parse().unwrap(),
        kind: TriggerKind::Drift,
        actor: "drift detector".into(),
        reason: "unknown books above 20 %".into(),
        requested_at: Timestamp::UNIX_EPOCH,
    }
}

fn text(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(" <- {source}")).unwrap_or_default();
    format!("{error}{source}")
}

#[tokio::test]
async fn a_workflow_says_whose_it_is_and_why() {
    let stand_in = StandIn::default();
    let submitted = stand_in.cluster().submit(&request("acme-books", "d-1")).await.unwrap();
    assert!(submitted.created);
    let posted = serde_json::to_string_pretty(&stand_in.server().workflows[&submitted.name]).unwrap();
    expect![[r#"
        {
          "apiVersion": "argoproj.io/v1alpha1",
          "kind": "Workflow",
          "metadata": {
            "annotations": {
              "bookloop.example.com/model": "recommender",
              "bookloop.example.com/reason": "unknown books above 20 %",
              "bookloop.example.com/requested": "1970-01-01T00:00:00Z by drift detector",
              "bookloop.example.com/trigger-id": "d-1"
            },
            "labels": {
              "app.kubernetes.io/component": "ml-train",
              "app.kubernetes.io/managed-by": "kustomize",
              "app.kubernetes.io/part-of": "bookstore-platform",
              "bookstore-platform.example.com/class": "ml",
              "bookstore-platform.example.com/tenant": "acme-books",
              "bookstore-platform.example.com/trigger": "drift",
              "workflows.argoproj.io/workflow-template": "recommender-train"
            },
            "name": "recommender-train-drift-acme-books-0741a320e613",
            "namespace": "bookstore-platform-ml"
          },
          "spec": {
            "arguments": {
              "parameters": [
                {
                  "name": "tenant",
                  "value": "acme-books"
                },
                {
                  "name": "model",
                  "value": "recommender"
                },
                {
                  "name": "trigger-id",
                  "value": "d-1"
                },
                {
                  "name": "trigger-kind",
                  "value": "drift"
                }
              ]
            },
            "workflowTemplateRef": {
              "name": "recommender-train"
            }
          }
        }"#]]
    .assert_eq(&posted);
}

#[tokio::test]
async fn a_cause_is_one_workflow_however_often_and_from_wherever_it_is_submitted() {
    let stand_in = StandIn::default();
    let (cluster, request) = (stand_in.cluster(), request("acme-books", "d-1"));
    let results = join_all((0..16).map(|_| cluster.submit(&request))).await;
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|submitted| submitted.created).count(), 1);
    assert!(results.iter().all(|submitted| submitted.name == workflow_name(&request)));
    assert!(!stand_in.cluster().submit(&request).await.unwrap().created);
    assert_eq!(stand_in.server().workflows.len(), 1);
}

#[tokio::test]
async fn another_cause_is_another_workflow() {
    let stand_in = StandIn::default();
    for (tenant, id) in [("acme-books", "d-1"), ("acme-books", "d-2"), ("other-books", "d-1")] {
        assert!(stand_in.cluster().submit(&request(tenant, id)).await.unwrap().created, "{tenant} {id}");
    }
    assert_eq!(stand_in.server().workflows.len(), 3);
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again() {
    let stand_in = StandIn::default();
    stand_in.server().faults.extend([Fault::Refuse(503), Fault::Refuse(500)]);
    assert!(stand_in.cluster().submit(&request("acme-books", "d-1")).await.unwrap().created);
    assert_eq!(stand_in.server().requests.len(), 3);
}

#[tokio::test]
async fn a_lost_answer_leads_back_to_the_workflow_it_was_about() {
    let stand_in = StandIn::default();
    stand_in.server().faults.push_back(Fault::LoseAnswer);
    let submitted = stand_in.cluster().submit(&request("acme-books", "d-1")).await.unwrap();
    assert!(!submitted.created, "the create was answered with 409, and the Workflow is ours");
    assert_eq!(stand_in.server().workflows.len(), 1);
}

#[tokio::test]
async fn patience_ends_and_says_what_happened_last() {
    let stand_in = StandIn::default();
    stand_in.server().faults.extend([Fault::Refuse(503); 9]);
    let error = stand_in.cluster().submit(&request("acme-books", "d-1")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 3, .. }), "{error}");
    assert!(error.to_string().contains("could not create workflows in 3 attempts"), "{error}");
    assert_eq!(stand_in.server().requests.len(), 3);
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    // Bound and closed again: a port that refuses.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
    config.default_retry = false;
    let cluster = Cluster::at(Client::try_from(config).unwrap(), NAMESPACE).with_patience(patience());
    let error = cluster.status("recommender-train-x").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { verb: "get", .. }), "{error}");
}

#[tokio::test]
async fn the_same_name_for_another_cause_is_reported_and_not_believed() {
    let stand_in = StandIn::default();
    let ours = request("acme-books", "d-1");
    let name = workflow_name(&ours);
    let theirs = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name,
        "annotations": {keys::TRIGGER_ID: "d-7"}}});
    stand_in.server().workflows.insert(name.clone(), theirs);
    let error = stand_in.cluster().submit(&ours).await.unwrap_err();
    let wanted = format!("workflow {name} belongs to another cause. trigger id: expected=d-1 found=d-7");
    assert_eq!(error.to_string(), wanted);
}

#[tokio::test]
async fn two_tenants_whose_names_begin_alike_never_share_a_run() {
    let stand_in = StandIn::default();
    let (first, second) = ("a-tenant-with-a-very-long-name-one", "a-tenant-with-a-very-long-name-two");
    let (first, second) = (request(first, "d-1"), request(second, "d-1"));
    assert_eq!(workflow_name(&first), workflow_name(&second));
    assert!(stand_in.cluster().submit(&first).await.unwrap().created);
    let error = stand_in.cluster().submit(&second).await.unwrap_err();
    assert!(matches!(error, Error::NameClash { what: "tenant", .. }), "{error}");
}

#[test]
fn a_name_fits_and_is_a_name_for_every_tenant_and_kind() {
    let longest = "t".repeat(40);
    // Cut after 24 characters, this one would end in a dash.
    for tenant in ["abc", &longest, "twenty-three-letters-is-x-y"] {
        for kind in [TriggerKind::Nightly, TriggerKind::Drift, TriggerKind::Manual] {
            let name = workflow_name(&RetrainRequest { kind, ..request(tenant, "d-1") });
            assert!(name.len() <= 63, "{name}");
            assert!(!name.contains("--") && name.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric()), "{name}");
        }
    }
    assert_eq!(workflow_name(&RetrainRequest { kind: TriggerKind::Nightly, ..request(&longest, "d-1") }).len(), 63);
    // The first 12 digits of `printf d-1 | sha256sum`.
    assert_eq!(workflow_name(&request("acme-books", "d-1")), "recommender-train-drift-acme-books-0741a320e613");
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let stand_in = StandIn::default();
    stand_in.server().faults.push_back(Fault::Refuse(403));
    let error = stand_in.cluster().submit(&request("acme-books", "d-1")).await.unwrap_err();
    let wanted = "forbidden: this account may not create workflows in namespace bookstore-platform-ml <- ";
    assert!(text(&error).starts_with(wanted), "{}", text(&error));
    assert_eq!(stand_in.server().requests.len(), 1, "a right does not appear by waiting");
}

#[tokio::test]
async fn an_invalid_object_is_refused_at_once() {
    let stand_in = StandIn::default();
    stand_in.server().faults.push_back(Fault::Refuse(422));
    let error = stand_in.cluster().submit(&request("acme-books", "d-1")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { verb: "create", .. }), "{error}");
    assert_eq!(stand_in.server().requests.len(), 1);
}

#[tokio::test]
async fn a_spec_that_the_controller_rejects_is_seen_at_once() {
    let stand_in = StandIn::default();
    let cluster = stand_in.cluster();
    let name = cluster.submit(&request("acme-books", "d-1")).await.unwrap().name;
    let rejected = json!({"phase": "Error", "message": "template reference not found"});
    stand_in.server().states.extend([Value::Null, json!({"phase": "Pending"}), rejected]);
    let status = cluster.watch_briefly(&name, Duration::from_mins(1)).await.unwrap();
    assert_eq!((status.phase, status.message.as_str()), (Phase::Error, "template reference not found"));
}

#[tokio::test]
async fn a_workflow_that_waits_its_turn_is_not_waited_for() {
    let stand_in = StandIn::default();
    let cluster = stand_in.cluster();
    let name = cluster.submit(&request("acme-books", "d-1")).await.unwrap().name;
    let status = cluster.watch_briefly(&name, Duration::from_millis(20)).await.unwrap();
    assert_eq!(status.phase, Phase::Pending);
    let error = cluster.status("nothing").await.unwrap_err();
    assert_eq!(error.to_string(), "not found: workflow nothing");
}

#[tokio::test]
async fn a_run_in_flight_is_the_tenants_own_and_not_over() {
    let stand_in = StandIn::default();
    let cluster = stand_in.cluster();
    let acme = "acme-books".parse().unwrap();
    assert_eq!(cluster.in_flight(&acme).await.unwrap(), None);
    let mut names = Vec::new();
    for (tenant, id) in [("other-books", "d-1"), ("acme-books", "d-1"), ("acme-books", "d-2")] {
        names.push(cluster.submit(&request(tenant, id)).await.unwrap().name);
    }
    for (name, minute) in names.iter().zip([0, 2, 1]) {
        let created = format!("2026-03-01T02:0{minute}:00Z");
        stand_in.server().workflows.get_mut(name).unwrap()["metadata"]["creationTimestamp"] = created.into();
    }
    assert_eq!(cluster.in_flight(&acme).await.unwrap().as_ref(), Some(&names[2]), "the older of two");
    stand_in.server().workflows.get_mut(&names[2]).unwrap()["status"] = json!({"phase": "Failed"});
    assert_eq!(cluster.in_flight(&acme).await.unwrap().as_ref(), Some(&names[1]));
    stand_in.server().workflows.get_mut(&names[1]).unwrap()["metadata"]["labels"][keys::COMPLETED] = "true".into();
    assert_eq!(cluster.in_flight(&acme).await.unwrap(), None);
}

#[tokio::test]
async fn a_frozen_budget_is_read_from_the_tenants_namespace() {
    let stand_in = StandIn::default();
    let cluster = stand_in.cluster();
    let acme = "acme-books".parse().unwrap();
    assert!(!cluster.budget_frozen(&acme).await.unwrap(), "neither namespace exists");
    for (value, frozen) in [("2026-03-01", true), ("false", false), ("true", true)] {
        let annotations = json!({keys::BUDGET_FROZEN: value});
        stand_in.server().namespaces.insert("bookstore-platform-acme-books".into(), annotations);
        assert_eq!(cluster.budget_frozen(&acme).await.unwrap(), frozen, "{value}");
    }
    assert!(!cluster.budget_frozen(&"shared".parse().unwrap()).await.unwrap());
    stand_in.server().namespaces.insert(NAMESPACE.into(), json!({keys::BUDGET_FROZEN: "true"}));
    assert!(cluster.budget_frozen(&"shared".parse().unwrap()).await.unwrap());
    stand_in.server().faults.push_back(Fault::Refuse(403));
    let error = cluster.budget_frozen(&acme).await.unwrap_err();
    assert!(error.to_string().ends_with("get namespaces in namespace bookstore-platform-acme-books"), "{error}");
}
