//! See `skep_filters::fuzz::request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::request::run(data));
