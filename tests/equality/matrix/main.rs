//! The matrix of equality: which test compares which operation of which backend, by bits, in one table.
//!
//! `table` is that table, `coverage` holds it against the code (an operation, a kernel, a backend or a test that it does
//! not know fails), `page` writes it down as `docs/equality.md`, and `cpu` runs the cells that no other test has: each
//! operation of the CPU backend by itself, at every SIMD level.

mod coverage;
mod cpu;
mod page;
mod table;
