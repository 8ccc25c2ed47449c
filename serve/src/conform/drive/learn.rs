//! What is asked before anything is graded: which model, what it declares, which request it answers, what is spoken.

use serde_json::{Value, json};

use super::{Error, Options, carry::Carrier};
use crate::conform::{
    exchange::{Answer, Reply, Request},
    grpc, sample,
    subject::{self, ID, Subject},
};

/// Meets a server.
pub(super) async fn learn(carrier: &Carrier, options: &Options) -> Result<Subject, Error> {
    let server = carrier.send(Request::get("/v2")).await;
    if let Answer::Broken(reason) | Answer::Late(reason) = &server {
        return Err(Error::Unreachable { url: options.url.clone(), reason: reason.clone() });
    }
    let v1 = carrier.send(Request::get("/v1/models")).await;
    let model = match &options.model {
        Some(model) => model.clone(),
        None => {
            let v2 = carrier.send(Request::get("/v2/models")).await;
            let index = carrier.send(Request::json("/v2/repository/index", &json!({}))).await;
            only_model(subject::listed([&v2, &index, &v1].into_iter().filter_map(reply)))?
        }
    };
    let mut subject = Subject::new(model);
    if let Some(reply) = reply(&server) {
        subject.learn_server(reply);
    }
    let model = carrier.send(Request::get(subject.path(""))).await;
    if let Some(reply) = reply(&model) {
        subject.learn_model(reply);
    }
    learn_sample(carrier, options.inputs.as_ref(), &mut subject).await;
    let own = carrier.send(Request::get(subject.v1_path(""))).await;
    subject.v1 = [&v1, &own].into_iter().filter_map(reply).any(|reply| reply.status == 200);
    if subject.v1 {
        subject.instances = instances(carrier, options.instances.as_ref(), &subject).await;
    }
    // Who says where gRPC is wants it graded, whether or not it is there.
    subject.grpc = options.grpc.is_some() || speaks_grpc(carrier).await;
    Ok(subject)
}

fn reply(answer: &Answer) -> Option<&Reply> {
    answer.http().ok()
}

fn only_model(listed: Vec<String>) -> Result<String, Error> {
    match <[String; 1]>::try_from(listed) {
        Ok([model]) => Ok(model),
        Err(listed) => Err(Error::Model { listed }),
    }
}

/// Finds a request that the model answers: the caller's, or the first of those made up that is not refused.
async fn learn_sample(carrier: &Carrier, given: Option<&Value>, subject: &mut Subject) {
    let made = || sample::candidates(&subject.inputs);
    let candidates = given.map_or_else(made, |body| vec![without_id(body)]);
    let mut last = "the metadata declares no inputs".to_owned();
    for body in candidates {
        let ask = Request::json(subject.path("/infer"), &sample::with(&body, json!({ "id": ID })));
        match first_of(carrier, &ask).await {
            Ok(answer) => {
                let again = first_of(carrier, &ask).await.unwrap_or_default();
                subject.learn_sample(body, [answer, again]);
                return;
            }
            Err(reason) => last = reason,
        }
    }
    let why = if given.is_some() {
        "the model does not answer --inputs"
    } else {
        "no request could be made up; give --inputs"
    };
    subject.sample = Err(format!("{why}: {last}"));
}

fn without_id(body: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().map(|body| body.remove("id"));
    body
}

async fn first_of(carrier: &Carrier, ask: &Request) -> Result<Value, String> {
    match carrier.send(ask.clone()).await {
        Answer::Http(reply) => reply.object().map_err(|_| reply.shown()),
        Answer::Broken(reason) | Answer::Late(reason) => Err(reason),
        Answer::Grpc(_) => Err("a gRPC answer".to_owned()),
    }
}

/// The caller's instances, or those made from the sample if the model takes them.
async fn instances(carrier: &Carrier, given: Option<&Vec<Value>>, subject: &Subject) -> Result<Vec<Value>, String> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let made = subject.made_instances()?;
    let ask = Request::json(subject.v1_path(":predict"), &json!({ "instances": made }));
    match first_of(carrier, &ask).await {
        Ok(_) => Ok(made),
        Err(reason) => Err(format!("no instances could be made up; give --v1-instances: {reason}")),
    }
}

async fn speaks_grpc(carrier: &Carrier) -> bool {
    let answers = carrier.carry(&grpc::live()).await;
    matches!(answers[..], [Answer::Grpc(Ok(_))])
}
