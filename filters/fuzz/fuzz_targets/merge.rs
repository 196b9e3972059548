//! See `skep_filters::fuzz::merge`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::merge::run(data));
