//! Drives the parser of its name.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| {
    bookloop_serve_fuzz::doors::cloud_events(case);
});
