//! See `skep_filters::fuzz::portainer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::portainer::run(data));
