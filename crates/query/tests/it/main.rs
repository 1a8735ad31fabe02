//! What the reports mean: vectors worked out by hand, and random worlds against naive definitions.

mod door;
mod naive;
mod notation;
mod oracle;
mod print;
mod vectors;
mod world;
