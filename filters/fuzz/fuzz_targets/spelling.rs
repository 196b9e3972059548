//! See `skep_filters::fuzz::spelling`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::spelling::run(data));
