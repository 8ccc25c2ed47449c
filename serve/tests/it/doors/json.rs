//! V1 and V2 as JSON: read as a tree and written again, with its members in another order, a body asks the same.

use serde_json::Value;

use super::{STREET, Sent, V1, V2, binary::tensors};

/// A body of V1.
pub fn v1(case: &[u8]) -> bool {
    STREET.with(|street| {
        let told = street.ask(&street.anyone, &Sent::post(V1, case));
        let Some(answer) = told.answered() else { return false };
        // What stands in members that nobody reads need not be JSON's text or numbers to the last letter.
        let Ok(question) = serde_json::from_slice::<Value>(case) else { return false };
        let list = question.get("instances").filter(|list| !list.is_null()).unwrap_or(&question["inputs"]);
        assert_eq!(answer["predictions"].as_array().unwrap().len(), list.as_array().unwrap().len());
        let again = Sent::post(V1, question.to_string());
        told.is_said_again(&street.ask(&street.anyone, &again), &again)
    })
}

/// A body of V2 without bytes behind it. Its answer as bytes holds the same.
pub fn v2(case: &[u8]) -> bool {
    STREET.with(|street| {
        let told = street.ask(&street.anyone, &Sent::post(V2, case));
        if told.status != 200 {
            return false;
        }
        let found = tensors(&told);
        let Ok(mut question) = serde_json::from_slice::<Value>(case) else { return false };
        let again = Sent::post(V2, question.to_string());
        told.is_said_again(&street.ask(&street.anyone, &again), &again);
        question["parameters"]["binary_data_output"] = true.into();
        for output in question.get_mut("outputs").and_then(Value::as_array_mut).into_iter().flatten() {
            output.as_object_mut().unwrap().remove("parameters");
        }
        let again = Sent::post(V2, question.to_string());
        let told = street.ask(&street.anyone, &again);
        let is_patient = told.status != 504;
        if is_patient {
            assert_eq!((told.status, tensors(&told)), (200, found), "to {again:?}");
            assert!(told.header("inference-header-content-length").is_some(), "{told:?}");
        }
        is_patient
    })
}
