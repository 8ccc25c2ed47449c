//! The drift detector from outside: its promises over many seeds, and its parts put together.

#![expect(clippy::unwrap_used, reason = "what a test builds by hand is known to be valid")]

mod detector;
mod false_alarms;
mod laws;
mod size;
mod stream;
mod world;
