#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(query) = rachis_gateway::fuzzing::query_string(text) {
        rachis_fuzz::queries::answer(&query);
    }
});
