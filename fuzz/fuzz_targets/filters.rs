#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis_fuzz::queries::filters(text));
