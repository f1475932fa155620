#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis_gateway::fuzzing::query_strings(text));
