//! The lake on a disk that fails, from one seed, against a naive model. Never shipped: nothing depends on it.
//!
//! - [`disk`] stands in for the machine's disk and loses what a real one may lose.
//! - [`model`] knows what has to be there, [`oracle`] what questions about it answer.
//! - [`driver`] runs a schedule of operations and faults and compares.
//!
//! What is simulated is the lake's synchronous core, `cofferdam_lake::Store`, whole: log, segments, hot columns,
//! manifest, compaction, erasure. The threads around it are not, nor are the vault's databases.

pub mod disk;
pub mod driver;
pub mod model;
pub mod oracle;
pub mod rng;
