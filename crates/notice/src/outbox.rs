//! The outbox: who is still to get which notice, in one SQLite file. Numbers only, no address and no text of a person.
//!
//! A row is queued, leased, accepted, bounced or suppressed. A lease belongs to the process that took it: what a crash
//! leaves leased is queued again when the outbox opens, since whether it was accepted is not known. Nothing is
//! accepted before a relay said so, so nothing is lost; what is sent twice has the same Message-ID.

use std::path::Path;
use std::str::FromStr;

use cofferdam_model::{limits, sabotage};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::Result;
use crate::code::{Recipient, RecipientKind, Tag};
use crate::smtp::Class;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS campaigns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL,
    version INTEGER NOT NULL,
    is_paused INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS wordings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    campaign INTEGER NOT NULL REFERENCES campaigns (id),
    entry INTEGER NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    html TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS notices (
    campaign INTEGER NOT NULL REFERENCES campaigns (id),
    kind INTEGER NOT NULL,
    project INTEGER NOT NULL,
    number INTEGER NOT NULL,
    wording INTEGER NOT NULL REFERENCES wordings (id),
    tag INTEGER NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    class INTEGER NOT NULL,
    PRIMARY KEY (campaign, kind, project, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notices_due ON notices (campaign, state, next_at, kind, project);
CREATE INDEX IF NOT EXISTS notices_by_tag ON notices (tag);
";

// States as they are stored: none changes its meaning.
const QUEUED: i64 = 0;
const LEASED: i64 = 1;
const ACCEPTED: i64 = 2;
const BOUNCED: i64 = 3;
const SUPPRESSED: i64 = 4;

/// A text that recipients of a campaign get.
pub struct Letter {
    /// The ledger's entry that has its hash.
    pub entry: u64,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// One recipient of a new campaign.
pub struct Addressee {
    pub recipient: Recipient,
    /// Which of the campaign's letters.
    pub letter: usize,
    pub tag: Tag,
}

/// What a lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Campaign {
    pub id: u32,
    pub incident: u32,
    pub version: u32,
    pub is_paused: bool,
}

/// Recipients of one kind and project whose mails are to be sent now.
pub struct Lease {
    pub campaign: Campaign,
    pub rows: Vec<Leased>,
}

#[derive(Clone, Copy, Debug)]
pub struct Leased {
    pub recipient: Recipient,
    pub wording: u32,
    pub attempts: u32,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// To be tried again at this time, in microseconds.
    Later(i64),
    Bounced(Class),
    Suppressed(Class),
    /// It was not tried.
    Untried,
}

/// How a campaign stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub queued: u64,
    /// In flight at this moment.
    pub leased: u64,
    pub accepted: u64,
    pub bounced: u64,
    pub suppressed: u64,
    /// Of the bounced and suppressed, why.
    pub classes: Vec<(Class, u64)>,
    /// Of the queued, those that were tried before.
    pub retrying: u64,
}

impl Progress {
    pub fn total(&self) -> u64 {
        self.queued + self.leased + self.accepted + self.bounced + self.suppressed
    }
}

/// What a code belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeFound {
    pub campaign: u32,
    pub version: u32,
    /// The ledger's entry of the text that its recipient got.
    pub entry: u64,
    /// Of that text, with the mark where the code stands.
    pub text: String,
    pub recipient: Recipient,
}

pub struct Outbox {
    pool: SqlitePool,
}

impl Outbox {
    /// Opens or makes an outbox, which nobody else has open. What a crash left in flight is queued again.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn open(path: &Path) -> Result<Outbox> {
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        sqlx::query("UPDATE notices SET state = 0 WHERE campaign IN (SELECT id FROM campaigns) AND state = 1")
            .execute(&pool)
            .await?;
        Ok(Outbox { pool })
    }

    /// Writes a consistent copy into a new file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn copy_to(&self, path: &Path) -> Result<()> {
        sqlx::query("VACUUM INTO $1").bind(path.display().to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// Queues a campaign, wholly or not at all. It begins paused when asked to.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn queue(
        &self,
        incident: u32,
        version: u32,
        letters: &[Letter],
        addressees: impl Iterator<Item = Addressee> + Send,
        now_us: i64,
    ) -> Result<Campaign> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let sql = "INSERT INTO campaigns (incident, version, is_paused, created_at) VALUES ($1, $2, 0, $3)";
        let done = sqlx::query(sql)
            .bind(i64::from(incident))
            .bind(i64::from(version))
            .bind(now_us)
            .execute(&mut *transaction)
            .await?;
        let campaign = done.last_insert_rowid();
        let mut wordings = Vec::with_capacity(letters.len());
        for letter in letters {
            let sql = "INSERT INTO wordings (campaign, entry, subject, text, html) VALUES ($1, $2, $3, $4, $5)";
            let done = sqlx::query(sql)
                .bind(campaign)
                .bind(letter.entry.cast_signed())
                .bind(&letter.subject)
                .bind(&letter.text)
                .bind(&letter.html)
                .execute(&mut *transaction)
                .await?;
            wordings.push(done.last_insert_rowid());
        }
        let mut addressees = addressees.peekable();
        while addressees.peek().is_some() {
            let rows: Vec<Addressee> = addressees.by_ref().take(ROWS_AT_ONCE).collect();
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO notices (campaign, kind, project, number, wording, tag, state, attempts, next_at, class) ",
            );
            insert.push_values(rows, |mut row, one| {
                let Recipient { kind, project, number } = one.recipient;
                row.push_bind(campaign)
                    .push_bind(kind as i64)
                    .push_bind(i64::from(project))
                    .push_bind(i64::from(number))
                    .push_bind(wordings[one.letter])
                    .push_bind(one.tag.0)
                    .push_bind(QUEUED)
                    .push_bind(0_i64)
                    .push_bind(0_i64)
                    .push_bind(0_i64);
            });
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Campaign { id: campaign as u32, incident, version, is_paused: false })
    }

    /// Takes rows that are due: of one campaign, kind and project, and at most [`limits::NOTICE_CHUNK`]. `None` when
    /// none is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lease(&self, now_us: i64) -> Result<Option<Lease>> {
        for campaign in self.campaigns(None).await?.into_iter().filter(|campaign| !campaign.is_paused) {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "SELECT kind, project FROM notices WHERE campaign = $1 AND state = $2 AND next_at <= $3
                       ORDER BY next_at LIMIT 1";
            let first = sqlx::query(sql)
                .bind(i64::from(campaign.id))
                .bind(QUEUED)
                .bind(now_us)
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(first) = first else { continue };
            let (kind, project): (i64, i64) = (first.try_get(0)?, first.try_get(1)?);
            let sql = "SELECT kind, project, number, wording, attempts FROM notices
                       WHERE campaign = $1 AND state = $2 AND next_at <= $3 AND kind = $4 AND project = $5
                       ORDER BY next_at LIMIT $6";
            let rows = sqlx::query(sql)
                .bind(i64::from(campaign.id))
                .bind(QUEUED)
                .bind(now_us)
                .bind(kind)
                .bind(project)
                .bind(limits::NOTICE_CHUNK as i64)
                .fetch_all(&mut *transaction)
                .await?;
            let rows: sqlx::Result<Vec<Leased>> = rows
                .iter()
                .map(|row| {
                    Ok(Leased {
                        recipient: recipient(row, 0)?,
                        wording: row.try_get::<i64, _>(3)? as u32,
                        attempts: row.try_get::<i64, _>(4)? as u32,
                    })
                })
                .collect();
            let rows = rows?;
            // Sabotaged, a row counts as accepted once somebody means to send it: what a crash cuts off is lost.
            let state = if sabotage::is_out(89) { ACCEPTED } else { LEASED };
            let numbers = rows.iter().map(|row| row.recipient.number);
            set_state(&mut transaction, campaign.id, (kind, project), numbers, state).await?;
            transaction.commit().await?;
            return Ok(Some(Lease { campaign, rows }));
        }
        Ok(None)
    }

    /// When the next row of a campaign that is not paused is due, in microseconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self) -> Result<Option<i64>> {
        let mut next: Option<i64> = None;
        for campaign in self.campaigns(None).await?.into_iter().filter(|campaign| !campaign.is_paused) {
            let sql = "SELECT min(next_at) FROM notices WHERE campaign = $1 AND state = $2";
            let row = sqlx::query(sql).bind(i64::from(campaign.id)).bind(QUEUED).fetch_one(&self.pool).await?;
            let own: Option<i64> = row.try_get(0)?;
            next = [next, own].into_iter().flatten().min();
        }
        Ok(next)
    }

    /// Writes down what became of leased rows; durable when this returns.
    ///
    /// # Errors
    /// When the database fails: they are sent again after the next start.
    pub async fn record(&self, campaign: u32, outcomes: &[(Recipient, Outcome)]) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (recipient, outcome) in outcomes {
            let (state, class, tried, next_us) = match outcome {
                Outcome::Accepted => (ACCEPTED, 0, 1, 0),
                Outcome::Later(next_us) => (QUEUED, 0, 1, *next_us),
                Outcome::Bounced(class) => (BOUNCED, *class as i64, 1, 0),
                Outcome::Suppressed(class) => (SUPPRESSED, *class as i64, 0, 0),
                Outcome::Untried => (QUEUED, 0, 0, 0),
            };
            let sql = "UPDATE notices SET state = $1, class = $2, attempts = attempts + $3, next_at = $4
                       WHERE campaign = $5 AND kind = $6 AND project = $7 AND number = $8 AND state = $9";
            sqlx::query(sql)
                .bind(state)
                .bind(class)
                .bind(tried)
                .bind(next_us)
                .bind(i64::from(campaign))
                .bind(recipient.kind as i64)
                .bind(i64::from(recipient.project))
                .bind(i64::from(recipient.number))
                .bind(LEASED)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// # Errors
    /// When the database fails.
    pub async fn pause(&self, campaign: u32, is_paused: bool) -> Result<()> {
        sqlx::query("UPDATE campaigns SET is_paused = $1 WHERE id = $2")
            .bind(i64::from(is_paused))
            .bind(i64::from(campaign))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Campaigns of an incident, or all, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn campaigns(&self, incident: Option<u32>) -> Result<Vec<Campaign>> {
        let sql =
            "SELECT id, incident, version, is_paused FROM campaigns WHERE $1 IS NULL OR incident = $1 ORDER BY id";
        let rows = sqlx::query(sql).bind(incident.map(i64::from)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(Campaign {
                    id: row.try_get::<i64, _>(0)? as u32,
                    incident: row.try_get::<i64, _>(1)? as u32,
                    version: row.try_get::<i64, _>(2)? as u32,
                    is_paused: row.try_get::<i64, _>(3)? != 0,
                })
            })
            .collect()
    }

    /// # Errors
    /// When the database fails.
    pub async fn progress(&self, campaign: u32) -> Result<Progress> {
        let sql =
            "SELECT state, class, count(*), sum(attempts > 0) FROM notices WHERE campaign = $1 GROUP BY state, class";
        let mut progress = Progress::default();
        for row in sqlx::query(sql).bind(i64::from(campaign)).fetch_all(&self.pool).await? {
            let (state, class): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let count = row.try_get::<i64, _>(2)?.cast_unsigned();
            match state {
                QUEUED => {
                    progress.queued += count;
                    progress.retrying += row.try_get::<i64, _>(3)?.cast_unsigned();
                }
                LEASED => progress.leased += count,
                ACCEPTED => progress.accepted += count,
                BOUNCED => progress.bounced += count,
                _ => progress.suppressed += count,
            }
            if let (BOUNCED | SUPPRESSED, Some(class)) = (state, Class::of_number(class)) {
                progress.classes.push((class, count));
            }
        }
        Ok(progress)
    }

    /// Recipients who did not and will not get their notice, and why: somebody has to reach them otherwise.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unreached(&self, campaign: u32) -> Result<Vec<(Recipient, Class)>> {
        let sql = "SELECT kind, project, number, class FROM notices WHERE campaign = $1 AND state >= $2 LIMIT $3";
        let rows = sqlx::query(sql)
            .bind(i64::from(campaign))
            .bind(BOUNCED)
            .bind(limits::NOTICE_UNREACHED_MAX as i64)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((recipient(row, 0)?, Class::of_number(row.try_get(3)?).unwrap_or(Class::Other))))
            .collect()
    }

    /// Subject, text and HTML of a wording.
    ///
    /// # Errors
    /// When there is none.
    pub async fn letter(&self, wording: u32) -> Result<Letter> {
        let sql = "SELECT entry, subject, text, html FROM wordings WHERE id = $1";
        let row = sqlx::query(sql).bind(i64::from(wording)).fetch_one(&self.pool).await?;
        Ok(Letter {
            entry: row.try_get::<i64, _>(0)?.cast_unsigned(),
            subject: row.try_get(1)?,
            text: row.try_get(2)?,
            html: row.try_get(3)?,
        })
    }

    /// The newest version of an incident's notices that a recipient gets, or got.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_version(&self, incident: u32, recipient: Recipient) -> Result<Option<u32>> {
        let sql = "SELECT max(c.version) FROM campaigns c JOIN notices n ON n.campaign = c.id
                   WHERE c.incident = $1 AND n.kind = $2 AND n.project = $3 AND n.number = $4";
        let row = sqlx::query(sql)
            .bind(i64::from(incident))
            .bind(recipient.kind as i64)
            .bind(i64::from(recipient.project))
            .bind(i64::from(recipient.number))
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(|version| version as u32))
    }

    /// What a code of an incident belongs to: one look-up, whether there is such a code or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, incident: u32, tag: Tag) -> Result<Option<CodeFound>> {
        let sql = "SELECT n.kind, n.project, n.number, n.campaign, c.version, w.entry, w.text FROM notices n
                   JOIN campaigns c ON c.id = n.campaign JOIN wordings w ON w.id = n.wording
                   WHERE n.tag = $1 AND c.incident = $2 LIMIT 1";
        let row = sqlx::query(sql).bind(tag.0).bind(i64::from(incident)).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(CodeFound {
            recipient: recipient(&row, 0)?,
            campaign: row.try_get::<i64, _>(3)? as u32,
            version: row.try_get::<i64, _>(4)? as u32,
            entry: row.try_get::<i64, _>(5)?.cast_unsigned(),
            text: row.try_get(6)?,
        }))
    }
}

/// Rows of one statement: SQLite binds 32,766 values.
const ROWS_AT_ONCE: usize = 1_000;

fn recipient(row: &SqliteRow, at: usize) -> sqlx::Result<Recipient> {
    let kind = RecipientKind::of_number(row.try_get(at)?);
    Ok(Recipient {
        kind: kind.ok_or_else(|| sqlx::Error::Decode("a recipient of no kind".into()))?,
        project: row.try_get::<i64, _>(at + 1)? as u32,
        number: row.try_get::<i64, _>(at + 2)? as u32,
    })
}

/// Sets the state of rows of one kind and project.
async fn set_state(
    transaction: &mut sqlx::SqliteConnection,
    campaign: u32,
    (kind, project): (i64, i64),
    numbers: impl Iterator<Item = u32>,
    state: i64,
) -> Result<()> {
    let mut update = QueryBuilder::<Sqlite>::new("UPDATE notices SET state = ");
    update.push_bind(state).push(" WHERE campaign = ").push_bind(i64::from(campaign));
    update.push(" AND kind = ").push_bind(kind).push(" AND project = ").push_bind(project);
    update.push(" AND number IN (");
    let mut list = update.separated(", ");
    for number in numbers {
        list.push_bind(i64::from(number));
    }
    update.push(")");
    update.build().execute(transaction).await?;
    Ok(())
}
