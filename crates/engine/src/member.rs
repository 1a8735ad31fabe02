//! Members of organisations, and everything by which they show who they are.
//!
//! A [`Caller`] is a member with the session they came by: what the server makes of a request before anything else
//! happens. An act that the policy wants shown again for takes a [`SteppedUp`], which is made for that very request
//! and used up by it.

mod caller;
mod credentials;
mod passkey;
mod recovery;
mod roles;
mod session;
mod step_up;
#[cfg(test)]
mod tests;
pub(crate) mod webauthn;

pub use caller::{Caller, Factor, Session, Who};
pub use passkey::{PasskeyAsked, PasskeyView};
pub use roles::{Invitation, Invited, Join, MemberView, RolesSet};
pub use session::{Credentials, PasskeySignIn, SessionView, SignedIn, Visitor};
pub use step_up::{RequestHash, StepUpChallenge, StepUpProof, SteppedUp};
pub use webauthn::{Assertion, Attestation};

pub(crate) use credentials::Offered;
pub(crate) use passkey::Ceremonies;
pub(crate) use recovery::is_recovery_code;
pub(crate) use roles::Joining;
pub(crate) use step_up::StepUps;
