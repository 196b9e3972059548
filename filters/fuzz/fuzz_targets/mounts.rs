//! See `skep_filters::fuzz::mounts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skep_filters::fuzz::mounts::run(data));
