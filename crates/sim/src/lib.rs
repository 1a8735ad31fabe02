//! The lake on a disk that fails, from one seed.
//!
//! Never shipped: nothing depends on it.

pub mod disk;
pub mod rng;
