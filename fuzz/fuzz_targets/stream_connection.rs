//! `entry::stream_connection` for libFuzzer.
#![no_main]

#[path = "../entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|input: &[u8]| entry::stream_connection(input));
