#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis::fuzzing::filters(text));
