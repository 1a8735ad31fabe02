//! Members of organisations, and everything by which they show who they are.
//!
//! A [`Caller`] is a member with the session they came by: what the server makes of a request before anything else
//! happens. An act that the policy wants shown again for takes a [`SteppedUp`], which is made for that very request
//! and used up by it.

mod caller;
mod passkey;
mod recovery;
mod roles;
mod session;
mod step_up;
pub(crate) mod webauthn;

pub use caller::{Caller, Factor, Session, Who};
pub use passkey::{NewPasskey, PasskeyAsked, PasskeyView};
pub use recovery::RecoveryCodes;
pub use roles::{Invitation, Invited, Join, JoinOffer, MemberView};
pub use session::{SessionView, SignInAsked, SignedIn};
pub use step_up::{Proof, RequestHash, StepUpChallenge, StepUpProof, SteppedUp};

pub(crate) use passkey::PasskeyRow;
pub(crate) use session::{Doorkeeper, SignIns};
pub(crate) use step_up::StepUps;
