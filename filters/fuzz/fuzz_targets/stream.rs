//! See `skep_filters::fuzz::stream`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::stream::run(data));
