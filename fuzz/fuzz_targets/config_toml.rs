#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis::fuzzing::config_toml(text));
