#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis::fuzzing::query_strings(text));
