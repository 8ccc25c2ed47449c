use std::io::{Cursor, Write as _};

use expect_test::{Expect, expect};

use super::*;
use crate::TimeAxis;

fn options() -> Options {
    Options { max_bad_share: 1.0, ..Options::at("2024-06-01T00:00:00Z".parse().unwrap()) }
}

#[expect(clippy::unnecessary_wraps, reason = "the reader takes files whose opening may have failed")]
fn input(name: &str, bytes: impl AsRef<[u8]>) -> Result<Input, Error> {
    Ok(Input::new(name, Cursor::new(bytes.as_ref().to_vec())))
}

fn read(name: &str, bytes: impl AsRef<[u8]>) -> Result<Interactions, Error> {
    read_interactions([input(name, bytes)], Vec::new(), &options())
}

/// The data set in words, then the bad rows.
fn described(read: &Interactions) -> String {
    let dataset = &read.dataset;
    let row = |row: &crate::Interaction| {
        let (reader, book) = (&dataset.readers()[row.reader as usize], dataset.catalogue().book(row.book).item_id());
        format!("{reader} {book} {} {}\n", row.at, row.weight)
    };
    let rows: String = dataset.interactions().iter().map(row).collect();
    let bad: String = read.bad.rows.iter().flat_map(|bad| [bad.to_string(), "\n".to_owned()]).collect();
    format!("{} duplicates={}\n{rows}{bad}", dataset.axis().name(), read.duplicates)
}

fn check(name: &str, text: impl AsRef<[u8]>, want: &Expect) {
    want.assert_eq(&described(&read(name, text).unwrap()));
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

const CSV: &str = "user_id,item_id,timestamp,shelf\nann,dune,86400,x\nbob,dune,1593536687000,y\n";

#[test]
fn csv_is_read_by_column_name() {
    check(
        "a.csv",
        CSV,
        &expect![[r#"
        clock duplicates=0
        ann dune 86400000 1
        bob dune 1593536687000 1
    "#]],
    );
}

#[test]
fn packed_files_read_as_their_contents() {
    let plain = described(&read("a.csv", CSV).unwrap());
    assert_eq!(described(&read("a.csv.gz", gzip(CSV)).unwrap()), plain);
    assert_eq!(
        described(
            &read(
                "a.CSV.GZ",
                [gzip("user_id,item_id,timestamp,shelf\nann,dune,86400,x\n"), gzip("bob,dune,1593536687000,y\n")]
                    .concat()
            )
            .unwrap()
        ),
        plain,
        "gzip files may be joined end to end"
    );
    assert_eq!(described(&read("a.csv.zst", zstd::encode_all(CSV.as_bytes(), 3).unwrap()).unwrap()), plain);
}

#[test]
fn sessions_are_readers_where_there_are_no_users() {
    check(
        "a.csv",
        "session_id,item_id,order\ns1,dune,4\ns1,emma,2\n",
        &expect![[r#"
        order duplicates=0
        s1 emma 2 1
        s1 dune 4 1
    "#]],
    );
}

#[test]
fn json_numbers_become_text_ids() {
    let text = r#"{"user_id": 7, "item_id": "007", "timestamp": "1970-01-02T00:00:00Z", "weight": 0.5}
{"user_id": "7", "item_id": 7, "timestamp": 86400}
"#;
    check(
        "a.ndjson",
        text,
        &expect![[r#"
        clock duplicates=0
        7 007 86400000 0.5
        7 7 86400000 1
    "#]],
    );
}

#[test]
fn every_kind_of_bad_row_is_set_aside_with_its_reason() {
    let rows = [
        "user_id,item_id,timestamp,weight,rating",
        "ann,dune,86400,1,5",
        "ann,dune,86400,1",
        ",dune,86400,1,5",
        "ann,dune,tomorrow,1,5",
        "ann,dune,4102444800,1,5",
        "ann,dune,86400,NaN,5",
        "ann,dune,86400,inf,5",
        "ann,dune,86400,1e300,5",
        "ann,dune,86400,-1,5",
        "ann,dune,86400,1,NaN",
        "ann,dune,86400,1,great",
        "ann,dune,,1,5",
    ];
    let mut bytes = rows.join("\n").into_bytes();
    bytes.extend_from_slice(b"\nann,\xff\xfe,86400,1,5\n");
    check(
        "a.csv",
        bytes,
        &expect![[r#"
        clock duplicates=0
        ann dune 86400000 1
        a.csv:3 row: expected 5 fields, found "4 fields"
        a.csv:4 user_id: expected an identifier, found "nothing"
        a.csv:5 timestamp: expected unix seconds, unix milliseconds or an RFC 3339 time, found "tomorrow"
        a.csv:6 timestamp: expected at most a day after the run, found "4102444800"
        a.csv:7 weight: expected a finite number above 0, found "NaN"
        a.csv:8 weight: expected a finite number above 0, found "inf"
        a.csv:9 weight: expected a finite number above 0, found "1e300"
        a.csv:10 weight: expected a finite number above 0, found "-1"
        a.csv:11 rating: expected a finite number, found "NaN"
        a.csv:12 rating: expected a finite number, found "great"
        a.csv:13 timestamp: expected unix seconds, unix milliseconds or an RFC 3339 time, found "nothing"
        a.csv:14 item_id: expected UTF-8 text, found "��"
    "#]],
    );
}

#[test]
fn json_of_the_wrong_shape_is_set_aside() {
    let text = r#"{"user_id": "ann", "item_id": "dune"}
{"user_id": "ann", "item_id": ["dune"]}
{"user_id": true, "item_id": "dune"}
{"user_id": "ann"}
{"user_id": "ann", "item_id": "dune"
[1, 2]
"#;
    check(
        "a.jsonl",
        text,
        &expect![[r#"
        none duplicates=0
        ann dune 0 1
        a.jsonl:2 item_id: expected text, found "[\"dune\"]"
        a.jsonl:3 user_id: expected text, found "true"
        a.jsonl:4 item_id: expected an identifier, found "nothing"
        a.jsonl:5 row: expected one JSON object, found "{\"user_id\": \"ann\", \"item_id\": \"dune\""
        a.jsonl:6 row: expected one JSON object, found "[1, 2]"
    "#]],
    );
}

#[test]
fn repeats_are_counted_and_low_ratings_left_out() {
    let text = "user_id,item_id,order,rating\nann,dune,1,5\nann,dune,1,5\nann,dune,2,5\nann,emma,3,2\nann,ulysses,4,\n";
    let with_least = Options { min_rating: Some(4.0), ..options() };
    let got = read_interactions([input("a.csv", text)], Vec::new(), &with_least).unwrap();
    assert_eq!((got.rows, got.duplicates, got.below_rating, got.bad.total), (5, 1, 1, 0));
    assert_eq!(got.dataset.interactions().len(), 3);
}

#[test]
fn too_many_bad_rows_stop_the_run_with_examples() {
    let strict = Options { max_bad_share: 0.01, ..options() };
    let text = "user_id,item_id\nann,dune\n,dune\n";
    let error = read_interactions([input("a.csv", text)], Vec::new(), &strict).unwrap_err();
    expect![[r#"too many bad rows. bad=1 rows=2 allowed_share=0.01; a.csv:3 user_id: expected an identifier, found "nothing""#]].assert_eq(&error.to_string());
}

#[test]
fn a_share_of_bad_rows_is_borne() {
    let mut text = "user_id,item_id\n,dune\n".to_owned();
    text.extend((0..99).map(|i| format!("ann,b{i}\n")));
    let strict = Options { max_bad_share: 0.01, ..options() };
    let got = read_interactions([input("a.csv", &text)], Vec::new(), &strict).unwrap();
    assert_eq!((got.rows, got.bad.total), (100, 1));
    expect![[r#"
        {"file":"a.csv","line":2,"field":"user_id","expected":"an identifier","found":"nothing"}
    "#]]
    .assert_eq(&got.bad.to_ndjson());
}

#[test]
fn files_that_cannot_be_rows_are_refused_by_name() {
    let refused = |name: &str, bytes: &[u8]| read(name, bytes).unwrap_err().to_string();
    let packed = gzip(&CSV.repeat(50));
    let zstd_packed = zstd::encode_all(CSV.repeat(50).as_bytes(), 3).unwrap();
    let all = [
        refused("empty.csv", b""),
        refused("header.csv", b"user_id,item_id\n"),
        refused("empty.ndjson", b"\n\n"),
        refused("empty.parquet", b""),
        refused("reader.csv", b"item_id,when\ndune,1\n"),
        refused("book.csv", b"user_id,book\nann,dune\n"),
        refused("book.ndjson", b"{\"user_id\": 1, \"isbn\": 2}\n"),
        refused("cut.csv.gz", &packed[..packed.len() / 2]),
        refused("not.csv.gz", CSV.as_bytes()),
        refused("cut.csv.zst", &zstd_packed[..zstd_packed.len() / 2]),
        refused("not.parquet", CSV.as_bytes()),
        refused("a.xlsx", b""),
    ];
    expect![[r#"
        empty.csv has no rows
        header.csv has no rows
        empty.ndjson has no rows
        empty.parquet has no rows
        reader.csv: missing column. expected=user_id or session_id found=item_id, when
        book.csv: missing column. expected=item_id found=user_id, book
        book.ndjson: missing column. expected=item_id found=isbn, user_id
        cut.csv.gz is damaged: it ends too early (incomplete deflate stream)
        not.csv.gz is damaged: invalid gzip header
        cut.csv.zst is damaged: it ends too early (incomplete frame)
        not.parquet is damaged: Parquet error: Invalid Parquet file. Corrupt footer
        a.xlsx: unknown format. expected=.csv, .ndjson, .jsonl (each also .gz, .zst) or .parquet
    "#]]
    .assert_eq(&(all.join("\n") + "\n"));
}

#[test]
fn files_with_different_times_are_not_mixed() {
    let files = [input("a.csv", "user_id,item_id,order\nann,dune,1\n"), input("b.csv", "user_id,item_id\nann,emma\n")];
    let error = read_interactions(files, Vec::new(), &options()).unwrap_err();
    expect!["b.csv: another time axis than the files before it. expected=order found=none"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_folder_is_read_in_order_and_in_full() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("date=2024-05-02/part.csv", "user_id,item_id,timestamp\nann,emma,172800\n"),
        ("date=2024-05-01/part.ndjson", "{\"user_id\": \"ann\", \"item_id\": \"dune\", \"timestamp\": 86400}\n"),
        ("_SUCCESS", ""),
        ("README.md", "not data"),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let names: Vec<String> = local(folder.path()).unwrap().map(|input| input.unwrap().name).collect();
    assert!(names[0].ends_with("part.ndjson") && names.len() == 2, "{names:?}");
    let got = read_interactions(local(folder.path()).unwrap(), Vec::new(), &options()).unwrap();
    assert_eq!(got.dataset.interactions().len(), 2);
    assert!(matches!(local(&folder.path().join("none")), Err(Error::Unreadable { .. })));
}

#[test]
fn parquet_reads_like_csv() {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};

    let columns: [(&str, ArrayRef); 4] = [
        ("user_id", Arc::new(Int64Array::from(vec![Some(7), Some(8), None]))),
        ("item_id", Arc::new(arrow_array::StringArray::from(vec!["dune", "emma", "emma"]))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![86_400_000_000, -1_500_000, 0]))),
        ("weight", Arc::new(Float64Array::from(vec![2.5, 1.0, f64::NAN]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    check(
        "a.parquet",
        writer.into_inner().unwrap(),
        &expect![[r#"
        clock duplicates=0
        8 emma -1500 1
        7 dune 86400000 2.5
        a.parquet:3 user_id: expected an identifier, found "nothing"
    "#]],
    );
}

fn items(name: &str, text: &str) -> Items {
    read_items([input(name, text)], &options()).unwrap()
}

#[test]
fn books_are_read_with_what_is_known_of_them() {
    let csv = items(
        "items.csv",
        "item_id,title,authors,year,language,available,subjects\n\
         1,Hogfather,\"Terry Pratchett, Someone\",1996.0,eng,0,humour|fantasy\n2,,,,,,\n2,Emma,,x,,,\n",
    );
    let json = items(
        "items.ndjson",
        r#"{"item_id": 1, "title": "Hogfather", "authors": ["Terry Pratchett", "Someone"], "year": 1996, "language": "eng", "available": false, "subjects": ["humour", "fantasy"]}
{"item_id": "2"}
"#,
    );
    assert_eq!(csv.books, json.books);
    expect![[r#"
        Book {
            item_id: BookId(
                "1",
            ),
            title: Some(
                "Hogfather",
            ),
            authors: [
                "Terry Pratchett",
                "Someone",
            ],
            subjects: [
                "humour",
                "fantasy",
            ],
            language: Some(
                "eng",
            ),
            year: Some(
                1996,
            ),
            price: None,
            available: false,
        }"#]]
    .assert_eq(&format!("{:#?}", csv.books[0]));
    assert_eq!((csv.rows, csv.bad.total), (3, 1));
    assert_eq!(csv.bad.rows[0].to_string(), r#"items.csv:4 year: expected a whole number, found "x""#);
}

#[test]
fn of_two_rows_with_one_id_the_last_wins() {
    let got = items("items.csv", "item_id,title\n1,Old\n1,New\n");
    assert_eq!((got.books.len(), got.duplicates, got.books[0].title.as_deref()), (1, 1, Some("New")));
}

#[test]
fn a_book_without_readers_and_a_reader_without_a_listed_book_are_both_kept() {
    let books = items("items.csv", "item_id,title\nunread,Unread\n").books;
    let got = read_interactions([input("a.csv", "user_id,item_id\nann,unlisted\n")], books, &options()).unwrap();
    let ids: Vec<&str> = got.dataset.catalogue().books().map(models::BookRef::item_id).collect();
    assert_eq!((ids, got.dataset.axis()), (vec!["unlisted", "unread"], TimeAxis::None));
}
