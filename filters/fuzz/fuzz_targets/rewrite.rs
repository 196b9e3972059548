//! See `skep_filters::fuzz::rewrite`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::rewrite::run(data));
