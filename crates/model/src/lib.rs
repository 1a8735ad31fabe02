//! The words of Cofferdam: ids, data classes, the sealed event, the query contract, its result, outcomes, limits.
//!
//! Invariants:
//! - No I/O, no clock, no randomness: everything here is a value.
//! - Nothing here can hold plaintext identity: [`SealedEvent`] carries a dense subject number and
//!   properties that already passed the firewall. `lake` and `query` depend on this crate and not on
//!   `vault`, so they cannot name a plaintext type.
//! - Every bound of the product is in [`limits`], with its reason.

pub mod class;
pub mod cohort;
pub mod event;
pub mod id;
pub mod limits;
pub mod merges;
pub mod outcome;
pub mod personal;
pub mod plan;
pub mod policy;
pub mod query;
pub mod result;
pub mod sabotage;
pub mod subjects;
pub mod xaes;

pub use class::{Action, Class, Detector};
pub use event::{PropertyType, SealedEvent, Value};
pub use id::{OrgId, ProjectId, SubjectNo};
pub use merges::Merges;
pub use outcome::{Outcome, Reason};
pub use personal::{FieldGroup, FieldSet, PersonalField};
pub use plan::TrackingPlan;
pub use policy::{Control, Decision, Deed, Role, Roles};
pub use query::Query;
pub use result::{Answer, ResultTable};
pub use subjects::{SubjectSet, SubjectValues};
