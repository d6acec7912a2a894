//! Every operation of the CPU backend against its definition.
//!
//! `harness.rs` says what is checked: values against a slow and obvious formula, gradients against finite differences
//! of that formula in double precision, single and half precision against double, and each client's results bit for bit
//! against a pass without the others. Sizes are odd on purpose: no dimension is a multiple of a register.

mod attention;
mod ends;
mod harness;
mod layers;
mod linear;
