//! What it allocates to register many services. Alone in its program, since whatever else runs would be counted, too.

use rachis::{App, MemoryService};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The bytes that were allocated while so many services were registered, one by one, and one of them was found.
fn registered(count: usize) -> usize {
    let region = Region::new(COUNTED);
    let app =
        (0..count).fold(App::new(), |app, number| app.register(&format!("services/{number}"), MemoryService::new()));
    assert!(app.descriptor(&format!("services/{}", count - 1)).is_some());
    region.change().bytes_allocated
}

#[test]
fn ten_times_as_many_services_cost_ten_times_as_much_to_register() {
    let few = registered(1_000);
    let many = registered(10_000);
    assert!(few > 1_000 * 100, "{few} bytes are too few for a thousand services");
    // Tables that double may have done so just before or just after.
    assert!(many < 20 * few, "{many} bytes for ten thousand services, {few} for a thousand");
}
