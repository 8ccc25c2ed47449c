//! The transport below V2: content types, methods, connections, packed bodies, sizes.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};

use super::{
    Section::Http,
    check::{Check, Fault, Verdict, equal, holds, not_offered, wrong},
    exchange::{Answer, Body, Exchange, How, Reply, Request},
    infer, sample,
    subject::{Subject, named},
};

/// Larger than what any server takes by default: Triton's limit is 64 MiB.
const OVERSIZED: usize = 80 * 1024 * 1024;
/// Requests in flight together.
const AT_ONCE: usize = 16;
const RFC: &str = "RFC 9110";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = methods();
    checks.extend(types());
    checks.extend(connections());
    checks.extend(sizes());
    checks.extend(packed());
    checks
}

fn methods() -> Vec<Check> {
    let get_infer = |subject: &Subject| Ok(Request::get(subject.path("/infer")));
    vec![
        Http.should("unknown-path", "a path nobody has: 404 with {\"error\": ...}", "KServe, Triton").reply(
            |_| Ok(Request::get("/v2/conform/no/such/path")),
            |_, reply| {
                holds(reply.status == 404, "status 404", reply.shown())?;
                reply.error().map(drop)
            },
        ),
        Http.should("wrong-method", "GET .../infer: 405", "RFC 9110, 15.5.6")
            .reply(get_infer, |_, reply| holds(reply.status == 405, "status 405", reply.shown())),
        Http.must("allow", "a 405 says which methods are allowed", "RFC 9110, 15.5.6").reply(get_infer, |_, reply| {
            if reply.status != 405 {
                return not_offered(format!("GET .../infer answers {}", reply.status));
            }
            let allowed = reply.header("allow").unwrap_or("none");
            let posts = allowed.split(',').any(|method| method.trim() == "POST");
            holds(posts, "allow with POST", format!("allow: {allowed}"))
        }),
    ]
}

fn post(subject: &Subject) -> Result<Request, Fault> {
    Ok(Request::post(subject.path("/infer"), named(subject.sample()?).to_string()))
}

fn types() -> Vec<Check> {
    let base = |subject: &Subject| post(subject).map(|request| request.with("content-type", "application/json"));
    let answered = |_: &Subject, reply: &Reply| reply.object().map(drop);
    vec![
        Http.must("json-type", "answers of JSON are application/json", "inference_rest: HTTP").reply(
            base,
            |_, reply| {
                reply.ok()?;
                let found = reply.header("content-type").unwrap_or("none");
                holds(reply.essence() == "application/json", "content-type application/json", found)
            },
        ),
        Http.should("json-type-bare", "without parameters behind it", "KServe's client").reply(base, |_, reply| {
            reply.ok()?;
            let found = reply.header("content-type").unwrap_or("none");
            holds(found == "application/json", "content-type application/json", found)
        }),
        Http.must("charset", "application/json; charset=utf-8 is JSON", RFC)
            .reply(|subject| Ok(post(subject)?.with("content-type", "application/json; charset=utf-8")), answered),
        Http.should("no-content-type", "a body without content type is read", "Triton's client").reply(post, answered),
        Http.should("octet-stream", "JSON sent as application/octet-stream is read", "Triton's client")
            .reply(|subject| Ok(post(subject)?.with("content-type", "application/octet-stream")), answered),
        Http.should("unknown-content-type", "an unknown type is read, or refused in words", RFC).reply(
            |subject| Ok(post(subject)?.with("content-type", "application/x-conform")),
            |_, reply| match reply.status {
                200 => reply.object().map(drop),
                400..500 => reply.error().map(drop),
                _ => Err(wrong("status 200, or 400 to 499", reply.shown())),
            },
        ),
    ]
}

fn connections() -> Vec<Check> {
    // Two answers that cannot be taken for each other.
    let two = |subject: &Subject| [Request::get("/v2"), Request::get(subject.path("/ready"))];
    let both = |subject: &Subject, answers: &[Answer]| {
        let first = answers[0].http()?.object()?;
        holds(first["extensions"].is_array(), "the server's metadata first", first.to_string())?;
        let ready = answers[1].http()?.ok()?;
        let named = serde_json::from_slice::<Value>(&ready.body).unwrap_or_default();
        // MLServer and Triton answer readiness without a body.
        if ready.body.is_empty() { Ok(()) } else { equal("name", &json!(subject.model), &named["name"]) }
    };
    vec![
        Http.must("chunked", "a body in chunks is read", "RFC 9112, 7.1").reply(
            |subject| {
                let mut request = post(subject)?.with("content-type", "application/json");
                if let Body::Bytes(bytes) = request.body {
                    request.body = Body::Chunked(bytes);
                }
                Ok(request)
            },
            |_, reply| reply.object().map(drop),
        ),
        Http.should("keep-alive", "a connection carries a second request", "RFC 9112, 9.3")
            .check(move |subject| Ok(Exchange::of(How::OneConnection, two(subject))), both),
        Http.should("pipelining", "requests sent together are answered in order", "RFC 9112, 9.3.2")
            .check(move |subject| Ok(Exchange::of(How::Pipelined, two(subject))), both),
        Http.must("at-once", "16 requests in flight get each its own answer", "inference_rest: Inference").check(
            |subject| {
                let body = &subject.sample()?.body;
                let path = subject.path("/infer");
                let request = |n: usize| Request::json(&*path, &sample::with(body, json!({ "id": n.to_string() })));
                Ok(Exchange::of(How::AtOnce, (0..AT_ONCE).map(request)))
            },
            |_, answers| {
                for (n, answer) in answers.iter().enumerate() {
                    equal("id", &json!(n.to_string()), &answer.http()?.object()?["id"])?;
                }
                Ok(())
            },
        ),
    ]
}

fn sizes() -> Vec<Check> {
    let oversized = |subject: &Subject| {
        let mut large = Request::post(subject.path("/infer"), "").with("content-type", "application/json");
        large.body = Body::Spaces(OVERSIZED);
        Ok(Exchange::of(How::InTurn, [large, Request::get("/v2/health/live")]))
    };
    vec![
        Http.must("oversized", "80 MiB are refused or cut off, not waited for; the server lives", RFC).check(
            oversized,
            |_, answers| {
                match &answers[0] {
                    Answer::Broken(_) => {}
                    answer => holds(answer.http()?.status >= 400, "a refusal", answer.http()?.shown())?,
                }
                answers[1].http()?.ok().map(drop)
            },
        ),
        Http.should("oversized-413", "by status 413", "RFC 9110, 15.5.14").check(oversized, |_, answers| {
            let reply = answers[0].http()?;
            holds(reply.status == 413, "status 413", reply.shown())
        }),
    ]
}

fn packed() -> Vec<Check> {
    let zipped = |subject: &Subject| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(named(subject.sample()?).to_string().as_bytes()).expect("writing to memory cannot fail");
        let body = packer.finish().expect("writing to memory cannot fail");
        let request = Request::post(subject.path("/infer"), body).with("content-type", "application/json");
        Ok(request.with("content-encoding", "gzip"))
    };
    vec![
        Http.extension("gzip-request", "a body packed with gzip is read", "Triton's client").reply(
            zipped,
            |subject, reply| match reply.status {
                400..500 => not_offered(reply.shown()),
                _ => infer::same_as_sample(subject, reply),
            },
        ),
        Http.extension("gzip-response", "an answer packed on request unpacks to the same", "Triton's client").reply(
            |subject| {
                Ok(Request::json(subject.path("/infer"), &named(subject.sample()?)).with("accept-encoding", "gzip"))
            },
            unpacked,
        ),
    ]
}

fn unpacked(subject: &Subject, reply: &Reply) -> Verdict {
    match reply.header("content-encoding") {
        None => {
            infer::same_as_sample(subject, reply)?;
            not_offered("the answer is not packed: too short, or never")
        }
        Some("gzip") => {
            let mut plain = Vec::new();
            let read = GzDecoder::new(&*reply.body).take(OVERSIZED as u64).read_to_end(&mut plain);
            read.map_err(|error| wrong("a body that gzip unpacks", error.to_string()))?;
            infer::same_as_sample(subject, &Reply { body: plain.into(), ..reply.clone() })
        }
        Some(other) => Err(wrong("content-encoding gzip or none", other)),
    }
}
