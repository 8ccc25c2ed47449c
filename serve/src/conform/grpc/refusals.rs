//! Calls that break a rule: refused, and by which code.

use tonic::Code;

use super::{
    SOURCE, call,
    infer::infer,
    message::{raw, typed},
    path, refusal, refused_by, told,
};
use crate::{
    conform::{
        Section::Grpc,
        check::{Check, Fault, holds, wrong},
        exchange::Exchange,
        subject::{NO_VERSION, NOBODY, Subject},
        tensor,
    },
    grpc::proto::{
        InferTensorContents, ModelInferRequest, ModelMetadataRequest, ModelReadyRequest, ModelReadyResponse,
    },
};

/// A call that breaks a rule.
struct Breach {
    name: &'static str,
    what: &'static str,
    /// The code that says it best, and its name; none where servers' libraries choose.
    by: Option<(Code, &'static str)>,
    ask: fn(&Subject) -> Result<Exchange, Fault>,
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for Breach { name, what, by, ask } in breaches() {
        let refused = Grpc.must(name, &format!("{what}: refused"), SOURCE);
        checks.push(refused.check(ask, |_, answers| refusal(&answers[0]).map(drop)));
        let Some((code, word)) = by else { continue };
        let by_code = format!("{name}-{}", word.to_lowercase().replace('_', "-"));
        let by_code = Grpc.should(&by_code, &format!("{what}: {word}"), "Triton, gRPC status codes");
        checks.push(by_code.check(ask, move |_, answers| refused_by(&answers[0], code)));
    }
    checks.push(Grpc.must("unknown-ready", "a model nobody has is not ready, or refused", SOURCE).check(
        |subject| {
            let asked = ModelReadyRequest { name: NOBODY.to_owned(), version: String::new() };
            call(subject, "ModelReady", &asked)
        },
        |_, answers| match answers[0].grpc()? {
            Err(_) => Ok(()),
            Ok(_) => holds(!told::<ModelReadyResponse>(&answers[0])?.ready, "ready: false", "ready: true"),
        },
    ));
    checks
}

fn breaches() -> [Breach; 9] {
    let bad = |name, what, ask| Breach { name, what, by: Some((Code::InvalidArgument, "INVALID_ARGUMENT")), ask };
    let unknown = Some((Code::NotFound, "NOT_FOUND"));
    [
        Breach {
            by: unknown,
            ..bad("unknown-model", "a model nobody has", |subject| {
                infer(subject, |s| Ok(ModelInferRequest { model_name: NOBODY.to_owned(), ..typed(s)? }))
            })
        },
        Breach {
            by: unknown,
            ..bad("unknown-metadata", "metadata of a model nobody has", |subject| {
                let asked = ModelMetadataRequest { name: NOBODY.to_owned(), version: String::new() };
                call(subject, "ModelMetadata", &asked)
            })
        },
        Breach {
            by: unknown,
            ..bad("unknown-version", "a version nobody has", |subject| {
                subject.grpc()?;
                subject.version_path("")?;
                infer(subject, |s| Ok(ModelInferRequest { model_version: NO_VERSION.to_owned(), ..typed(s)? }))
            })
        },
        bad("input-missing", "no input at all", |subject| {
            infer(subject, |s| Ok(ModelInferRequest { inputs: Vec::new(), ..typed(s)? }))
        }),
        bad("element-count", "fewer elements than the shape says", |subject| {
            infer(subject, |s| {
                let mut request = typed(s)?;
                request.inputs.iter_mut().take(1).for_each(|input| input.shape.push(2));
                Ok(request)
            })
        }),
        bad("wrong-contents", "elements in another datatype's list", |subject| infer(subject, misplaced)),
        bad("contents-beside-raw", "contents beside raw contents", |subject| {
            infer(subject, |s| {
                let raw_input_contents = raw(s)?.raw_input_contents;
                Ok(ModelInferRequest { raw_input_contents, ..typed(s)? })
            })
        }),
        bad("raw-count", "more raw contents than inputs", |subject| {
            infer(subject, |s| {
                let mut request = raw(s)?;
                request.raw_input_contents.push(vec![0; 4].into());
                Ok(request)
            })
        }),
        Breach {
            by: None,
            ..bad("malformed", "bytes that are no message", |subject| {
                subject.grpc()?;
                // A field of kind 7, of which there is none.
                Ok(Exchange::call(path("ModelInfer"), vec![0x0f; 8]))
            })
        },
    ]
}

/// As many elements as there were, in a list that is not their datatype's.
fn misplaced(subject: &Subject) -> Result<ModelInferRequest, Fault> {
    let mut request = typed(subject)?;
    let data = tensor::flat(&subject.sample()?.body["inputs"][0]["data"]).len();
    let input = request.inputs.first_mut().ok_or_else(|| wrong("an input", "none"))?;
    let mut contents = InferTensorContents::default();
    if input.datatype == "FP64" {
        contents.bool_contents = vec![true; data];
    } else {
        contents.fp64_contents = vec![1.0; data];
    }
    input.contents = Some(contents);
    Ok(request)
}
