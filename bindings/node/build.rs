//! Tells the linker that the process that loads this library has its symbols.

fn main() {
    napi_build::setup();
}
