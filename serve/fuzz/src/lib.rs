//! What the programs of this package drive: the promises of every parser, which the tests of the predictor keep too.
//!
//! Each program has the name of a parser and makes up inputs for it, guided by the branches they reach. With `cargo-fuzz`
//! (`cargo install cargo-fuzz`) and a C++ compiler, in the folder above this package:
//!
//! ```text
//! mkdir -p fuzz/corpus/v1
//! cargo fuzz run --sanitizer none v1 fuzz/corpus/v1 fuzz/kept/v1 -- -dict=fuzz/words/json.dict -max_total_time=600
//! ```
//!
//! No nightly compiler is needed. Inputs that reach new branches land in `fuzz/corpus`, those that break a promise in
//! `fuzz/artifacts`; neither is committed. What is worth keeping is copied to `fuzz/kept`, and every `cargo test` of the
//! predictor tries it again: an input that broke a promise, under a name that says which; and of the others some dozens a
//! parser, named by their hash, small ones that together reach most of what the corpus reaches. This leaves those that
//! reach anything the others do not, to choose from:
//!
//! ```text
//! cargo fuzz cmin --sanitizer none v1 fuzz/corpus/v1
//! ```

#![allow(clippy::unwrap_used, reason = "a broken promise should stop the program")]

#[path = "../../tests/it/doors/mod.rs"]
pub mod doors;
#[path = "../../tests/it/issuer.rs"]
#[expect(dead_code, reason = "written for tests, which use more of it")]
mod issuer;
#[path = "../../tests/it/world.rs"]
#[expect(dead_code, reason = "written for tests, which use more of it")]
mod world;
