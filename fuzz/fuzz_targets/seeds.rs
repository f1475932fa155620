//! No target, though it is built like one: writes inputs to begin with to `$SEEDS/TARGET/seed-NAME`.

#![no_main]

use std::{env, fs, path::PathBuf};

fn write() {
    let folder = env::var_os("SEEDS").map(PathBuf::from).expect("SEEDS names a folder");
    for (target, name, bytes) in rachis_fuzz::seeds() {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(folder.join(format!("seed-{name}")), bytes).expect("a seed can be written");
    }
}

libfuzzer_sys::fuzz_target!(init: write(), |_bytes: &[u8]| {});
