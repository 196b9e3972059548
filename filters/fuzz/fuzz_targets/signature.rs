//! See `skep_filters::fuzz::signature`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::signature::run(data));
