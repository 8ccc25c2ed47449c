//! An API server in the process: the few answers that submission depends on, and faults on demand. No socket.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use bookloop::cluster::{Cluster, Patience};
use kube::Client;
use serde_json::{Value, json};

pub const NAMESPACE: &str = "bookstore-platform-ml";

/// What happens to one request instead of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// This status and nothing done.
    Refuse(u16),
    /// Done, but the answer does not come.
    LoseAnswer,
}

#[derive(Debug, Default)]
pub struct Server {
    /// Workflows by name.
    pub workflows: BTreeMap<String, Value>,
    /// Annotations of the namespaces that exist.
    pub namespaces: BTreeMap<String, Value>,
    /// Met by the next requests, one each.
    pub faults: VecDeque<Fault>,
    /// Requests so far, as `METHOD what`.
    pub requests: Vec<String>,
    /// States the controller will write, one before each read of a Workflow.
    pub states: VecDeque<Value>,
}

/// A handle to the server, shared with its clients.
#[derive(Clone, Default)]
pub struct StandIn(Arc<Mutex<Server>>);

impl StandIn {
    pub fn server(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap()
    }

    /// A cluster client that talks to this server and gives up within a second.
    pub fn cluster(&self) -> Cluster {
        let group = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows";
        let router = Router::new()
            .route(group, get(list).post(create))
            .route(&format!("{group}/{{name}}"), get(read))
            .route("/api/v1/namespaces/{name}", get(namespace))
            .with_state(self.clone());
        Cluster::at(Client::new(router, NAMESPACE), NAMESPACE).with_patience(patience())
    }

    async fn meet(&self, what: String) -> Option<Fault> {
        let fault = {
            let mut server = self.server();
            server.requests.push(what);
            server.faults.pop_front()
        };
        // Lets requests that are under way at once meet here.
        tokio::task::yield_now().await;
        fault
    }
}

pub fn patience() -> Patience {
    let millis = Duration::from_millis;
    Patience { attempts: 3, answer: millis(250), pause: millis(2), look: millis(2) }
}

fn refusal(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}

async fn answer(fault: Option<Fault>, act: impl FnOnce() -> Response) -> Response {
    match fault {
        None => act(),
        Some(Fault::Refuse(code)) => refusal(code, "", "as the test asked"),
        Some(Fault::LoseAnswer) => {
            act();
            std::future::pending().await
        }
    }
}

async fn create(State(stand_in): State<StandIn>, Json(workflow): Json<Value>) -> Response {
    let name = workflow["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let fault = stand_in.meet(format!("POST {name}")).await;
    answer(fault, || {
        let mut server = stand_in.server();
        if server.workflows.contains_key(&name) {
            return refusal(409, "AlreadyExists", &format!("workflows.argoproj.io \"{name}\" already exists"));
        }
        server.workflows.insert(name, workflow.clone());
        (StatusCode::CREATED, Json(workflow)).into_response()
    })
    .await
}

async fn read(State(stand_in): State<StandIn>, Path((_, name)): Path<(String, String)>) -> Response {
    let fault = stand_in.meet(format!("GET {name}")).await;
    answer(fault, || {
        let mut server = stand_in.server();
        let state = server.states.pop_front();
        let Some(workflow) = server.workflows.get_mut(&name) else {
            return refusal(404, "NotFound", &format!("workflows.argoproj.io \"{name}\" not found"));
        };
        if let Some(state) = state {
            workflow["status"] = state;
        }
        Json(workflow.clone()).into_response()
    })
    .await
}

async fn list(State(stand_in): State<StandIn>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let fault = stand_in.meet("LIST".into()).await;
    answer(fault, || {
        let selector = query.get("labelSelector").cloned().unwrap_or_default();
        let server = stand_in.server();
        let items: Vec<Value> =
            server.workflows.values().filter(|workflow| selects(&selector, workflow)).cloned().collect();
        let list =
            json!({"kind": "WorkflowList", "apiVersion": "argoproj.io/v1alpha1", "metadata": {}, "items": items});
        Json(list).into_response()
    })
    .await
}

/// Label selectors of the forms `key=value` and `key!=value`, all of which must hold.
fn selects(selector: &str, workflow: &Value) -> bool {
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        let (key, value, equal) = match term.split_once("!=") {
            Some((key, value)) => (key, value, false),
            None => term.split_once('=').map(|(key, value)| (key, value, true)).unwrap(),
        };
        (workflow["metadata"]["labels"][key] == value) == equal
    })
}

async fn namespace(State(stand_in): State<StandIn>, Path(name): Path<String>) -> Response {
    let fault = stand_in.meet(format!("GET namespace {name}")).await;
    answer(fault, || match stand_in.server().namespaces.get(&name) {
        Some(annotations) => {
            let metadata = json!({"name": name, "annotations": annotations});
            Json(json!({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata})).into_response()
        }
        None => refusal(404, "NotFound", &format!("namespaces \"{name}\" not found")),
    })
    .await
}
