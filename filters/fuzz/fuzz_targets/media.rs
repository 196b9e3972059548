//! See `skep_filters::fuzz::media`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::media::run(data));
