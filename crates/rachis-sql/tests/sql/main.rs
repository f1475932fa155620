//! Services over tables, on SQLite, PostgreSQL and MariaDB, beside the service that keeps its records in memory.

#![allow(clippy::unwrap_used)] // a test that fails says so

mod away;
mod columns;
mod faults;
mod injection;
mod likeness;
mod stores;
mod suite;
