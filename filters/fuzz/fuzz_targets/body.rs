//! See `skep_filters::fuzz::body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::body::run(data));
