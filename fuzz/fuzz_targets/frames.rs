#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rachis_mesh::fuzzing::frames(bytes));
