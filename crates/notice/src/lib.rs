//! Notices: what is told to those whose data left, how they can tell it from a forgery, and how it reaches them.
//!
//! A [`Wording`](text::Wording) is the text for one audience, language and set of fields, made from numbers and a few
//! names; it is logged before it is sent, and every recipient's mail is it and a code. The [`outbox`] says who is still
//! to get one. It has numbers and no addresses: whoever runs the [`deliver::Mailer`] opens them in chunks, at the moment
//! of sending.
//!
//! Invariants:
//! - A mail has no link, no image and no attachment, and nothing in it that somebody typed can become one.
//! - What the outbox lost in a crash is sent again under the same Message-ID; nothing that was not accepted counts as
//!   accepted.
//! - No address is stored, logged or shown by anything here.
//!
//! What it does not do: look addresses up, decide who is told, or keep a key. It is told the time.

pub mod code;
pub mod deliver;
pub mod dkim;
pub mod message;
pub mod names;
pub mod outbox;
pub mod preflight;
pub mod smtp;
pub mod text;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was configured cannot be used; the message says what to do.
    #[error("{0}")]
    Setting(String),
    #[error("a signing key for mail is not usable\nhint: make new ones with `cofferdam notices keys --new`")]
    Key,
    #[error("the notice's texts are damaged: {0}")]
    Text(String),
    #[error("the database of notices failed")]
    Outbox(#[from] sqlx::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
