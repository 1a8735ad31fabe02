//! The black-box tests: every one starts the real `cofferdam` binary on a directory of its own, speaks to
//! it over loopback as a client would, and looks only at what comes back or what lies on disk.
//!
//! - [`wire`]: the bodies, answers and headers that unmodified Mixpanel clients rely on.
//! - [`bad_input`]: every refusal has its documented answer and never takes a good record along.
//! - [`engage`], [`identity`], [`reports`]: profiles, who is one person, and what the numbers mean.
//! - [`canary`]: nothing that identifies anybody is readable in files, logs, metrics or answers.
//! - [`door`]: the tracking plan, the quarantine, places made of addresses, and looking back.
//! - [`person`]: one person's own data, and erasing them everywhere.
//! - [`access`]: roles, passkeys, sessions, tokens, locks, over every route and two organisations.
//! - [`exposure`]: what an account saw, whom it was about, and the ledger verified from the console.
//! - [`disclosure`]: personal values and exports, with everything that has to agree first.
//! - [`crash`], [`full_disk`]: what was acknowledged survives `kill -9` and a disk without room.
//! - [`postgres`]: all of it with the vault on a PostgreSQL server.
//! - [`ledger`]: verified and proved with its key alone, and watched by a witness.
//! - [`demo`]: the first ten minutes: a world, a sign-in that works, reports with the world in them.
//! - [`drill`]: an incident played through: what attackers took, what was found, who was told.
//! - [`sdk`], [`cdnow`]: the official clients, and a real data set against independent SQL.
//!
//! The tests deliberately share no types with the product: the wire is the contract.

mod access;
#[path = "../../../drill/src/passkey.rs"]
mod authenticator;
mod bad_input;
mod canary;
mod cdnow;
mod colleague;
mod crash;
mod demo;
mod disclosure;
mod door;
mod drill;
mod engage;
mod exposure;
mod full_disk;
mod http;
mod identity;
mod incident;
mod ledger;
mod person;
mod postgres;
mod reports;
mod sdk;
mod sealing;
mod search;
mod server;
mod sight;
mod wire;
