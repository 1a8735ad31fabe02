//! Exports that a program runs with a token: one definition, which two people agreed to when the token was made.
//!
//! The program sends the definition along, and runs it only where that is the one: a changed column or filter is another
//! export, for which nobody agreed. Limits, locks, seal and intents hold as for everybody; the limits of the member who
//! made the token are counted, and their lock stops it. Nothing is approved again: what cannot happen is more than was
//! agreed to, from elsewhere, later, or more often than [`limits::EXPORT_TOKEN_RUNS_DAY_MAX`] times a day.

use std::sync::Arc;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{limits, sabotage};

use super::store::{RowKind, State};
use super::stream::Pieces;
use super::{DisclosureRequest, RunBy};
use crate::{Engine, Error, Project, Result, TokenCaller, Who, refused};

impl Engine {
    /// Runs the export that a token is for: a stream of pieces, and what the file is called. Run it on a task of its own:
    /// given up half way, its end is written down at the next start.
    ///
    /// # Errors
    /// When the token is for another export, for none, or runs already; and when a limit or lock is in the way.
    pub async fn run_export(
        self: &Arc<Engine>,
        token: &TokenCaller,
        project: &Arc<Project>,
        asked: DisclosureRequest,
    ) -> Result<(Pieces, String)> {
        let agreed = self.export_of(token.number).await?;
        let asked = asked.checked()?;
        if asked != agreed && !sabotage::is_out(30) {
            self.ledger.append_async(token.entry(self, Kind::TokenRefused)).await?;
            return refused(
                "another_definition",
                "this token runs one export, and this is another",
                Some("send the definition that was agreed to, unchanged"),
            );
        }
        asked.check_bound(token.roles)?;
        let by = self.token_runs(token).await?;
        if self.is_running(token.number) {
            return refused("runs_already", "the export of this token is running", Some("wait until it has ended"));
        }
        let now_us = self.now_us();
        if !self.meta.count_export_run(token.number, now_us, limits::EXPORT_TOKEN_RUNS_DAY_MAX).await? {
            self.ledger.append_async(token.entry(self, Kind::TokenRefused)).await?;
            return refused(
                "limit_reached",
                format!("a token runs its export at most {} times a day", limits::EXPORT_TOKEN_RUNS_DAY_MAX),
                Some("run it less often"),
            );
        }
        let hash = asked.hash(project, by.member);
        let row = self.single(&by, project, hash, RowKind::Export, &asked.json()).await?;
        let run = self.new_run(&by, row.id, project, &asked).once();
        let begun = self.begin(&by, &row, run, asked, false).await;
        if begun.is_err() {
            self.disclosures.store.change(row.id, State::Open, State::Aborted).await?;
        }
        begun
    }

    fn is_running(&self, token: u64) -> bool {
        let running = self.disclosures.running.lock().expect("never left half changed");
        running.values().any(|run| run.who.token == Some(token))
    }

    async fn token_runs(&self, token: &TokenCaller) -> Result<RunBy> {
        let made_by = self.meta.token(token.number).await?.ok_or(Error::NotSignedIn)?.made_by;
        let person = self.person_of(made_by).await?.ok_or(Error::NotSignedIn)?;
        let entry = Entry { object: 0, ..token.entry(self, Kind::Intent) };
        Ok(RunBy { member: made_by, person, who: Who { member: Some(made_by), ..token.who() }, entry })
    }
}
