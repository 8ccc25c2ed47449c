use models::BookId;

use super::*;

fn refused(body: &str) -> String {
    decode(body.as_bytes()).unwrap_err().to_string()
}

/// A body with `user_id` of two readers and whatever else.
fn body(more_inputs: &str, more: &str) -> String {
    format!(
        r#"{{"inputs":[{{"name":"user_id","shape":[2],"datatype":"BYTES","data":["ann","bob"]}}{more_inputs}]{more}}}"#
    )
}

#[test]
fn one_k_is_everyones_and_two_are_each_their_own() {
    let k = |shape: &str, data: &str| format!(r#",{{"name":"k","shape":{shape},"datatype":"int32","data":{data}}}"#);
    let of = |body: &str| decode(body.as_bytes()).unwrap().asks.iter().map(|ask| ask.k).collect::<Vec<_>>();
    assert_eq!(of(&body("", "")), [10, 10]);
    assert_eq!(of(&body(&k("[1]", "[3]"), "")), [3, 3]);
    assert_eq!(of(&body(&k("[2]", "[3,4]"), "")), [3, 4]);
    assert_eq!(refused(&body(&k("[3]", "[3,4,5]"), "")), "input \"k\": expected 2 elements, found 3");
    assert_eq!(refused(&body(&k("[1]", "[0]"), "")), "k: expected an integer from 1 to 1000, found 0");
    assert_eq!(refused(&body(&k("[1]", "[10000000]"), "")), "k: expected an integer from 1 to 1000, found 10000000");
    assert_eq!(refused(&body(&k("[1]", "[3000000000]"), "")), "input \"k\": element 0 is not a int32");
    assert_eq!(refused(&body(&k("[1]", "[1.5]"), "")), "input \"k\": element 0 is not a int32");
}

#[test]
fn histories_are_lists_inside_text() {
    let input = r#",{"name":"history","shape":[2],"datatype":"BYTES","data":["[\"a\",7]",""]}"#;
    let asks = decode(body(input, "").as_bytes()).unwrap().asks;
    let ids: Vec<&str> = asks[0].history.iter().map(BookId::as_str).collect();
    assert_eq!((ids.as_slice(), asks[1].history.len()), (["a", "7"].as_slice(), 0));
    let broken = r#",{"name":"history","shape":[2],"datatype":"BYTES","data":["a,b",""]}"#;
    assert!(refused(&body(broken, "")).starts_with("input \"history\": element 0: JSON:"));
}

#[test]
fn a_list_may_be_for_a_book_or_a_basket_as_well() {
    let one =
        |name: &str, value: &str| format!(r#"{{"name":"{name}","shape":[1],"datatype":"BYTES","data":["{value}"]}}"#);
    let of = |inputs: &[String], more: &str| {
        let body = format!(r#"{{"inputs":[{}]{more}}}"#, inputs.join(","));
        decode(body.as_bytes()).unwrap().asks.remove(0)
    };
    let id = |text: &str| text.parse::<BookId>().unwrap();
    let similar = of(&[one("book_id", "b1")], "");
    assert_eq!((similar.reader, similar.book, similar.include_seen), (None, Some(id("b1")), false));
    let basket =
        of(&[one("history", r#"[\"b1\"]"#), one("exclude", r#"[\"b2\"]"#)], r#","parameters":{"include_seen":true}"#);
    assert_eq!((basket.reader, basket.history, basket.exclude), (None, vec![id("b1")], vec![id("b2")]));
    assert!(basket.include_seen);
    let nobody = of(&[one("user_id", ""), one("book_id", ""), one("history", "")], "");
    assert_eq!((nobody.reader, nobody.book, nobody.history), (None, None, vec![]));
    let switch = format!(r#"{{"inputs":[{}],"parameters":{{"include_seen":1}}}}"#, one("user_id", "ann"));
    assert_eq!(refused(&switch), "parameter include_seen: expected true or false");
}

#[test]
fn features_are_rows() {
    let input = r#",{"name":"features","shape":[2,2],"datatype":"FP32","data":[[1,2.5],[3,4]]}"#;
    let asks = decode(body(input, "").as_bytes()).unwrap().asks;
    assert_eq!(
        (asks[0].features.as_slice(), asks[1].features.as_slice()),
        ([1.0, 2.5].as_slice(), [3.0, 4.0].as_slice())
    );
    let three = r#",{"name":"features","shape":[3,1],"datatype":"FP32","data":[1,2,3]}"#;
    assert_eq!(refused(&body(three, "")), "input \"features\": expected 2 elements, found 3");
}

#[test]
fn unknown_missing_and_repeated_tensors_are_refused() {
    let all = r#"["user_id", "book_id", "history", "exclude", "k", "features"]"#;
    let one = |name: &str| format!(r#"{{"inputs":[{{"name":"{name}","shape":[1],"datatype":"BYTES","data":["x"]}}]}}"#);
    assert_eq!(refused(&one("item")), format!("unknown input \"item\"; this model takes {all}"));
    assert_eq!(
        refused(&one("exclude")),
        format!(r#"expected an input of ["user_id", "book_id", "history"]; this model takes {all}, found ["exclude"]"#)
    );
    let twice = r#",{"name":"user_id","shape":[1],"datatype":"BYTES","data":["x"]}"#;
    assert_eq!(refused(&body(twice, "")), "input \"user_id\" given twice");
    assert_eq!(
        refused(&body("", r#","outputs":[{"name":"scores"},{"name":"scores"}]"#)),
        "output \"scores\" asked for twice"
    );
    assert!(refused(&body("", r#","outputs":[{"name":"x"}]"#)).starts_with("unknown output \"x\""));
}

#[test]
fn wrong_types_and_shapes_are_refused_by_name() {
    let user = |shape: &str, datatype: &str, rest: &str| {
        format!(r#"{{"inputs":[{{"name":"user_id","shape":{shape},"datatype":"{datatype}"{rest}}}]}}"#)
    };
    assert_eq!(
        refused(&user("[3]", "BYTES", r#","data":["a"]"#)),
        "input \"user_id\": expected shape [3], 3 elements; found data of shape [1]"
    );
    assert_eq!(
        refused(&user("[1]", "INT32", r#","data":[1]"#)),
        "input \"user_id\": expected datatype BYTES, found INT32"
    );
    assert_eq!(refused(&user("[1]", "BYTES", r#","data":[1]"#)), "input \"user_id\": element 0 is not a BYTES");
    assert_eq!(refused(&user("[1]", "BYTES", "")), "input \"user_id\": expected \"data\" or binary_data_size");
    assert!(refused(&user("[1.5]", "BYTES", r#","data":["a"]"#)).starts_with("JSON: invalid type: floating point"));
    let binary = r#","parameters":{"binary_data_size":5}"#;
    assert!(refused(&user("[1]", "BYTES", binary)).contains("needs the header Inference-Header-Content-Length"));
    let both = r#","data":["a"],"parameters":{"binary_data_size":5}"#;
    assert!(refused(&user("[1]", "BYTES", both)).ends_with("found both"));
    let text = r#","parameters":{"binary_data_size":"5"}"#;
    assert!(refused(&user("[1]", "BYTES", text)).ends_with("binary_data_size: expected a number of bytes"));
    assert_eq!(
        refused(&body("", r#","parameters":{"binary_data_output":1}"#)),
        "parameter binary_data_output: expected true or false"
    );
    assert_eq!(refused("{}"), "expected \"inputs\"");
}

#[test]
fn absent_optional_members_may_be_null() {
    let infer = decode(body("", r#","id":null,"parameters":null,"outputs":null"#).as_bytes()).unwrap();
    assert_eq!((infer.id, infer.timeout, infer.outputs.len()), (None, None, 5));
    let patient = decode(body("", r#","id":"","parameters":{"timeout":2500,"priority":1}"#).as_bytes()).unwrap();
    assert_eq!((patient.id.as_deref(), patient.timeout), (Some(""), Some(Duration::from_micros(2500))));
    assert!(decode(body("", r#","parameters":{"a":[1]}"#).as_bytes()).is_err());
}

#[test]
fn a_tensor_may_be_empty_or_a_scalar() {
    let of = |shape: &str, data: &str| {
        let body = format!(r#"{{"inputs":[{{"name":"user_id","shape":{shape},"datatype":"BYTES","data":{data}}}]}}"#);
        decode(body.as_bytes()).unwrap().asks.len()
    };
    assert_eq!((of("[0]", "[]"), of("[]", "[\"a\"]"), of("[2,1]", "[[\"a\"],[\"b\"]]")), (0, 1, 2));
}
