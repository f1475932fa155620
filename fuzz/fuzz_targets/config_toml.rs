#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis_fuzz::configurations::config_toml(text));
