//! Messages of gRPC: which method they are for, and the message, which gets its frame here.

use axum::http::HeaderValue;
use bytes::Bytes;
use prost::Message;
use serve::grpc::proto::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelReadyRequest, ModelStatisticsRequest,
    RepositoryIndexRequest, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
};

use super::{STREET, Sent, Street, Told, binary::texts};

type Rewrite = fn(&[u8]) -> Option<Vec<u8>>;

/// The methods that read something, by the first byte of a case, and what writes their messages again.
const METHODS: [(&str, Rewrite); 7] = [
    ("ModelInfer", again::<ModelInferRequest>),
    ("ModelMetadata", again::<ModelMetadataRequest>),
    ("ModelReady", again::<ModelReadyRequest>),
    ("ModelStatistics", again::<ModelStatisticsRequest>),
    ("RepositoryIndex", again::<RepositoryIndexRequest>),
    ("RepositoryModelLoad", again::<RepositoryModelLoadRequest>),
    ("RepositoryModelUnload", again::<RepositoryModelUnloadRequest>),
];

/// A message read and written again; `None` for bytes that are none. What is written reads as the same.
fn again<M: Message + Default>(message: &[u8]) -> Option<Vec<u8>> {
    let written = M::decode(message).ok()?.encode_to_vec();
    // Not compared as messages: a number that is none equals nothing.
    assert_eq!(M::decode(written.as_slice()).unwrap().encode_to_vec(), written);
    Some(written)
}

/// A digit for the method, then its message; with any other byte, `ModelInfer` gets what follows as it is, frame and all.
pub fn grpc(case: &[u8]) -> bool {
    let Some((first, message)) = case.split_first() else { return false };
    STREET.with(|street| {
        let Some((method, rewrite)) = METHODS.get(usize::from(first.wrapping_sub(b'0'))) else {
            // What is no frame is said to be none by the library, in words of its own.
            call(street, METHODS[0].0, message.to_vec());
            return false;
        };
        let told = call(street, method, framed(message));
        let status = status(&told);
        let Some(written) = rewrite(message) else {
            assert_ne!(status, "0", "{method} of no message: {message:?}");
            return false;
        };
        assert!(!["2", "13"].contains(&status), "{method} of {message:?}: {told:?}");
        // Counts and times differ from call to call, patience too.
        let again = call(street, method, framed(&written));
        if *method != "ModelStatistics" && self::status(&again) != "4" {
            assert_eq!((self::status(&again), &again.body), (status, &told.body), "{method} of {message:?}");
        }
        if *method == "ModelInfer" && status == "0" {
            is_whole(&ModelInferResponse::decode(&told.body[5..]).unwrap());
        }
        status == "0"
    })
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], (message.len() as u32).to_be_bytes().as_slice(), message].concat()
}

fn call(street: &Street, method: &str, body: Vec<u8>) -> Told {
    let mut sent = Sent::post(&format!("/inference.GRPCInferenceService/{method}"), "");
    sent.headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    sent.headers.insert("te", HeaderValue::from_static("trailers"));
    sent.body = body.into();
    let told = street.hear(&street.anyone, &sent);
    let code: u32 = status(&told).parse().unwrap();
    assert!(told.status == 200 && code <= 16, "{told:?} to {sent:?}");
    told
}

/// `grpc-status`, which a refusal has in its head.
fn status(told: &Told) -> &str {
    let status = told.headers.get("grpc-status").or(told.trailers.get("grpc-status"));
    status.unwrap_or_else(|| panic!("no status in {told:?}")).to_str().unwrap()
}

/// Every tensor has as many elements as its shape says, wherever they are.
fn is_whole(answer: &ModelInferResponse) {
    let raw = &answer.raw_output_contents;
    assert!(raw.is_empty() || raw.len() == answer.outputs.len(), "{answer:?}");
    for (place, output) in answer.outputs.iter().enumerate() {
        let found = match (&output.contents, raw.get(place)) {
            (Some(contents), None) => contents.fp32_contents.len() + contents.bytes_contents.len(),
            (None, Some(raw)) => elements(&output.datatype, raw),
            // A tensor without elements may be anywhere.
            (None, None) => 0,
            (Some(_), Some(_)) => panic!("elements in two places: {answer:?}"),
        };
        assert_eq!(found as i64, output.shape.iter().product::<i64>(), "{answer:?}");
    }
}

fn elements(datatype: &str, raw: &Bytes) -> usize {
    if datatype == "BYTES" { texts(raw).len() } else { raw.len() / 4 }
}
