//! `entry::stream_frames` for libFuzzer.
#![no_main]

#[path = "../entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|input: &[u8]| entry::stream_frames(input));
