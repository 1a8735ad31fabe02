//! What the reports mean: vectors worked out by hand, and random worlds against naive definitions.

mod naive;
mod notation;
mod print;
mod vectors;
mod world;
