//! CloudEvents around V1, and what the shop reports of its readers.

use axum::http::{Method, Uri};
use serde_json::Value;

use super::{STREET, Sent, V1};

/// The attributes that every event has.
const ATTRIBUTES: [&str; 4] = ["specversion", "id", "type", "source"];

/// A request of V1 with headers: an event, if they or the body say so. Its data alone ask the same.
pub fn cloud_events(case: &[u8]) -> bool {
    let Some(mut sent) = Sent::read(V1, case) else { return false };
    STREET.with(|street| {
        let told = street.ask(&street.anyone, &sent);
        let Some(answer) = told.answered().filter(|_| sent.header("content-encoding").is_none()) else { return false };
        let is_structured = told.header("content-type") == Some("application/cloudevents+json");
        let told_data = if is_structured {
            assert!(ATTRIBUTES.iter().all(|name| answer[*name].is_string()), "{answer}");
            let question: Value = serde_json::from_slice(&sent.body).unwrap();
            sent.body = question["data"].to_string().into();
            answer["data"].clone()
        } else {
            let given = |name: &str| told.headers.contains_key(format!("ce-{name}"));
            let (all, none) = (ATTRIBUTES.iter().all(|name| given(name)), !ATTRIBUTES.iter().any(|name| given(name)));
            assert!(all || none, "{told:?}");
            answer
        };
        sent.headers.remove("content-type");
        for name in ATTRIBUTES {
            sent.headers.remove(format!("ce-{name}"));
        }
        let plain = street.ask(&street.anyone, &sent);
        let is_patient = plain.status != 504;
        assert!(!is_patient || plain.answered() == Some(told_data), "{plain:?} to {sent:?}");
        is_patient
    })
}

/// What readers did: `POST /outcomes`; and behind a question mark, `GET /recommend` with that query.
pub fn outcomes(case: &[u8]) -> bool {
    STREET.with(|street| {
        if case.first() == Some(&b'?') {
            let Ok(path) = std::str::from_utf8(case).map(|query| format!("/recommend{query}")) else { return false };
            if path.parse::<Uri>().is_err() {
                return false;
            }
            let told = street.ask(&street.anyone, &Sent { method: Method::GET, ..Sent::post(&path, "") });
            assert!(told.answered().is_none_or(|answer| answer["recommendations"].is_array()), "{told:?}");
            return told.status == 200;
        }
        let told = street.ask(&street.remembering, &Sent::post("/outcomes", case));
        let Some(answer) = told.answered() else { return false };
        let Ok(reported) = serde_json::from_slice::<Value>(case) else { return false };
        let n = reported.as_array().map_or(1, Vec::len) as u64;
        assert!(answer["accepted"] == n && answer["joined"].as_u64().unwrap() <= n, "{answer} to {reported}");
        let again = Sent::post("/outcomes", reported.to_string());
        told.is_said_again(&street.ask(&street.remembering, &again), &again)
    })
}
