//! What the crate promises as a whole.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod learns;
mod real_data;
