//! See `skep_filters::fuzz::audience`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::audience::run(data));
