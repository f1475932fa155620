#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rachis_mesh::fuzzing::config_toml(text));
