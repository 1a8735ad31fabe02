//! Disclosures as rows: what was asked for (sealed), who approved, what it reserved of the limits, how it ended. The
//! limits are counted here and nowhere else, so that no restart forgets them.

use cofferdam_ledger::RoaringBitmap;
use cofferdam_model::{OrgId, ProjectId, limits};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Result, Row};

use super::request::set_of;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS disclosures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL,
    project INTEGER NOT NULL,
    member INTEGER NOT NULL,
    person BLOB NOT NULL,
    kind INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    hash BLOB NOT NULL,
    state INTEGER NOT NULL,
    approvals_needed INTEGER NOT NULL,
    self_approved_at INTEGER,
    held_until INTEGER,
    requested_entry INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    reserved_at INTEGER,
    is_shared INTEGER NOT NULL DEFAULT 0,
    subjects BLOB,
    ledger_from INTEGER,
    rows INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    hash_sent BLOB,
    first_intent INTEGER,
    last_intent INTEGER,
    end_entry INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS disclosures_by_org ON disclosures (org, reserved_at);
CREATE TABLE IF NOT EXISTS disclosure_approvals (
    disclosure INTEGER NOT NULL REFERENCES disclosures (id),
    member INTEGER NOT NULL,
    person BLOB NOT NULL,
    entry INTEGER NOT NULL,
    approved_at INTEGER NOT NULL,
    PRIMARY KEY (disclosure, person)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lookups (
    member INTEGER NOT NULL,
    looked_at INTEGER NOT NULL,
    is_miss INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS lookups_by_member ON lookups (member, looked_at);
CREATE TABLE IF NOT EXISTS trips (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    member INTEGER,
    by_member INTEGER NOT NULL,
    by_person BLOB NOT NULL,
    entry INTEGER NOT NULL,
    tripped_at INTEGER NOT NULL,
    closed_at INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS trip_closings (
    trip INTEGER NOT NULL REFERENCES trips (id),
    member INTEGER NOT NULL,
    person BLOB NOT NULL,
    PRIMARY KEY (trip, person)
) STRICT, WITHOUT ROWID;
";

/// What kind of disclosure a row is. Stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// One field of one person.
    Reveal = 1,
    /// Many.
    Export = 2,
    /// One person, to hand to them.
    Access = 3,
    /// A list of events or persons, with device and place.
    Rows = 4,
}

/// Where a disclosure stands. Stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Approved or not yet, broken off or never begun: it can still be run.
    Open = 1,
    Running = 2,
    Done = 3,
    Denied = 4,
    Withdrawn = 5,
    Expired = 6,
    /// Broken off, and not to be run again.
    Aborted = 7,
}

impl State {
    fn of_number(number: i64) -> State {
        use State::{Aborted, Denied, Done, Expired, Open, Running, Withdrawn};
        [Open, Running, Done, Denied, Withdrawn, Aborted]
            .into_iter()
            .find(|state| *state as i64 == number)
            .unwrap_or(Expired)
    }
}

pub(crate) struct DisclosureRow {
    pub(crate) id: u32,
    pub(crate) org: OrgId,
    pub(crate) project: ProjectId,
    pub(crate) member: u32,
    /// Whose account it is, however the address is spelled.
    pub(crate) person: Vec<u8>,
    pub(crate) is_export: bool,
    pub(crate) sealed: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) state: State,
    pub(crate) approvals_needed: u8,
    pub(crate) self_approved_us: Option<i64>,
    pub(crate) held_until_us: Option<i64>,
    pub(crate) requested_entry: Option<u64>,
    pub(crate) created_us: i64,
    pub(crate) expires_us: i64,
    pub(crate) ledger_from: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) hash_sent: Option<Vec<u8>>,
    pub(crate) first_intent: Option<u64>,
    pub(crate) last_intent: Option<u64>,
    pub(crate) end_entry: Option<u64>,
    pub(crate) ended_us: Option<i64>,
}

/// A disclosure that is about to be a row.
pub(crate) struct NewDisclosure {
    pub(crate) org: OrgId,
    pub(crate) project: ProjectId,
    pub(crate) member: u32,
    pub(crate) person: [u8; 32],
    pub(crate) kind: RowKind,
    pub(crate) hash: [u8; 32],
    pub(crate) approvals_needed: u8,
    pub(crate) self_approved_us: Option<i64>,
    pub(crate) held_until_us: Option<i64>,
    pub(crate) created_us: i64,
}

pub(crate) struct Approval {
    pub(crate) member: u32,
    pub(crate) entry: u64,
    pub(crate) approved_us: i64,
}

/// What was reserved within the last day.
pub(crate) struct Reserved {
    pub(crate) project: ProjectId,
    pub(crate) member: u32,
    pub(crate) at_us: i64,
    /// One person at a time.
    pub(crate) is_single: bool,
    /// Two others approved it.
    pub(crate) is_shared: bool,
    pub(crate) persons: RoaringBitmap,
}

pub(crate) struct TripRow {
    pub(crate) id: u32,
    pub(crate) org: OrgId,
    pub(crate) rule: i64,
    /// Whose way it bars; everybody's of the organisation when none.
    pub(crate) member: Option<u32>,
    /// Who made it trip.
    pub(crate) by_member: u32,
    pub(crate) by_person: Vec<u8>,
    pub(crate) entry: u64,
    pub(crate) tripped_us: i64,
    pub(crate) closed_us: Option<i64>,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) state: State,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) first_intent: Option<u64>,
    pub(crate) last_intent: Option<u64>,
    pub(crate) end_entry: Option<u64>,
    pub(crate) at_us: i64,
}

const COLUMNS: &str = "id, org, project, member, person, kind, sealed, hash, state, approvals_needed, self_approved_at, \
     held_until, requested_entry, created_at, expires_at, ledger_from, rows, bytes, hash_sent, first_intent, \
     last_intent, end_entry, ended_at";

fn number(value: Option<u64>) -> Option<i64> {
    value.map(u64::cast_signed)
}

fn disclosure(row: &SqliteRow) -> Result<DisclosureRow> {
    let some = |at: usize| -> Result<Option<u64>> { Ok(row.try_get::<Option<i64>, _>(at)?.map(i64::cast_unsigned)) };
    let word = |at: usize| -> Result<u32> { Ok(row.try_get::<i64, _>(at)? as u32) };
    Ok(DisclosureRow {
        id: word(0)?,
        org: OrgId(word(1)?),
        project: ProjectId(word(2)?),
        member: word(3)?,
        person: row.try_get(4)?,
        is_export: row.try_get::<i64, _>(5)? == RowKind::Export as i64,
        sealed: row.try_get(6)?,
        hash: row.try_get(7)?,
        state: State::of_number(row.try_get(8)?),
        approvals_needed: word(9)? as u8,
        self_approved_us: row.try_get(10)?,
        held_until_us: row.try_get(11)?,
        requested_entry: some(12)?,
        created_us: row.try_get(13)?,
        expires_us: row.try_get(14)?,
        ledger_from: some(15)?.unwrap_or_default(),
        rows: row.try_get::<i64, _>(16)?.cast_unsigned(),
        bytes: row.try_get::<i64, _>(17)?.cast_unsigned(),
        hash_sent: row.try_get(18)?,
        first_intent: some(19)?,
        last_intent: some(20)?,
        end_entry: some(21)?,
        ended_us: row.try_get(22)?,
    })
}

fn trip(row: &SqliteRow) -> Result<TripRow> {
    Ok(TripRow {
        id: row.try_get::<i64, _>(0)? as u32,
        org: OrgId(row.try_get::<i64, _>(1)? as u32),
        rule: row.try_get(2)?,
        member: row.try_get::<Option<i64>, _>(3)?.map(|member| member as u32),
        by_member: row.try_get::<i64, _>(4)? as u32,
        by_person: row.try_get(5)?,
        entry: row.try_get::<i64, _>(6)?.cast_unsigned(),
        tripped_us: row.try_get(7)?,
        closed_us: row.try_get(8)?,
    })
}

const TRIP_COLUMNS: &str = "id, org, rule, member, by_member, by_person, entry, tripped_at, closed_at";

/// The rows of disclosures, in the database of members.
pub(crate) struct Store {
    pool: SqlitePool,
}

impl Store {
    pub(crate) async fn open(pool: SqlitePool) -> Result<Store> {
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Store { pool })
    }

    /// Makes a row; `seal` seals the request under its number.
    pub(crate) async fn insert(&self, new: &NewDisclosure, seal: impl FnOnce(u32) -> Vec<u8>) -> Result<u32> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let sql = "INSERT INTO disclosures (org, project, member, person, kind, sealed, hash, state, approvals_needed,
                   self_approved_at, held_until, created_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, x'', $6, $7, $8, $9, $10, $11, $12)";
        let done = sqlx::query(sql)
            .bind(i64::from(new.org.0))
            .bind(i64::from(new.project.0))
            .bind(i64::from(new.member))
            .bind(&new.person[..])
            .bind(new.kind as i64)
            .bind(&new.hash[..])
            .bind(State::Open as i64)
            .bind(i64::from(new.approvals_needed))
            .bind(new.self_approved_us)
            .bind(new.held_until_us)
            .bind(new.created_us)
            .bind(new.created_us + limits::DISCLOSURE_SECONDS * 1_000_000)
            .execute(&mut *transaction)
            .await?;
        let id = done.last_insert_rowid() as u32;
        sqlx::query("UPDATE disclosures SET sealed = $1 WHERE id = $2")
            .bind(seal(id))
            .bind(i64::from(id))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(id)
    }

    pub(crate) async fn set_requested(&self, id: u32, entry: u64) -> Result<()> {
        sqlx::query("UPDATE disclosures SET requested_entry = $1 WHERE id = $2")
            .bind(entry.cast_signed())
            .bind(i64::from(id))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn disclosure(&self, org: OrgId, id: u32) -> Result<Option<DisclosureRow>> {
        let sql = format!("SELECT {COLUMNS} FROM disclosures WHERE id = $1 AND org = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(id)).bind(i64::from(org.0));
        query.fetch_optional(&self.pool).await?.map(|row| disclosure(&row)).transpose()
    }

    /// Newest first.
    pub(crate) async fn disclosures(&self, org: OrgId) -> Result<Vec<DisclosureRow>> {
        let sql = format!("SELECT {COLUMNS} FROM disclosures WHERE org = $1 ORDER BY id DESC LIMIT $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(org.0)).bind(limits::DISCLOSURES_LISTED);
        query.fetch_all(&self.pool).await?.iter().map(disclosure).collect()
    }

    /// Those that a process left running when it ended.
    pub(crate) async fn abandoned(&self) -> Result<Vec<DisclosureRow>> {
        let sql = format!("SELECT {COLUMNS} FROM disclosures WHERE state = $1");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(State::Running as i64);
        query.fetch_all(&self.pool).await?.iter().map(disclosure).collect()
    }

    pub(crate) async fn waiting(&self, org: OrgId) -> Result<u32> {
        let sql = "SELECT COUNT(*) FROM disclosures WHERE org = $1 AND state = $2 AND kind = $3";
        let query = sqlx::query(sql).bind(i64::from(org.0)).bind(State::Open as i64).bind(RowKind::Export as i64);
        Ok(query.fetch_one(&self.pool).await?.try_get::<i64, _>(0)? as u32)
    }

    pub(crate) async fn has_exported(&self, member: u32) -> Result<bool> {
        let sql = "SELECT 1 FROM disclosures WHERE member = $1 AND kind = $2 AND state = $3 LIMIT 1";
        let query = sqlx::query(sql).bind(i64::from(member)).bind(RowKind::Export as i64).bind(State::Done as i64);
        Ok(query.fetch_optional(&self.pool).await?.is_some())
    }

    /// False when it was not in that state any more.
    pub(crate) async fn change(&self, id: u32, from: State, to: State) -> Result<bool> {
        let done = sqlx::query("UPDATE disclosures SET state = $1 WHERE id = $2 AND state = $3")
            .bind(to as i64)
            .bind(i64::from(id))
            .bind(from as i64)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Those of an organisation whose time is over.
    pub(crate) async fn overdue(&self, org: OrgId, now_us: i64) -> Result<Vec<u32>> {
        let sql = "SELECT id FROM disclosures WHERE org = $1 AND state = $2 AND expires_at <= $3";
        let query = sqlx::query(sql).bind(i64::from(org.0)).bind(State::Open as i64).bind(now_us);
        query.fetch_all(&self.pool).await?.iter().map(|row| Ok(row.try_get::<i64, _>(0)? as u32)).collect()
    }

    /// False when this person approved before.
    pub(crate) async fn approve(&self, id: u32, member: u32, person: &[u8], entry: u64, now_us: i64) -> Result<bool> {
        let sql = "INSERT INTO disclosure_approvals (disclosure, member, person, entry, approved_at)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(i64::from(id))
            .bind(i64::from(member))
            .bind(person)
            .bind(entry.cast_signed())
            .bind(now_us)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn has_approved(&self, id: u32, person: &[u8]) -> Result<bool> {
        let sql = "SELECT 1 FROM disclosure_approvals WHERE disclosure = $1 AND person = $2";
        let query = sqlx::query(sql).bind(i64::from(id)).bind(person);
        Ok(query.fetch_optional(&self.pool).await?.is_some())
    }

    pub(crate) async fn organisation_created(&self, org: OrgId) -> Result<i64> {
        let query = sqlx::query("SELECT created_at FROM organisations WHERE id = $1").bind(i64::from(org.0));
        query.fetch_one(&self.pool).await?.try_get(0)
    }

    pub(crate) async fn approvals(&self, id: u32) -> Result<Vec<Approval>> {
        let sql = "SELECT member, entry, approved_at FROM disclosure_approvals WHERE disclosure = $1 ORDER BY entry";
        let rows = sqlx::query(sql).bind(i64::from(id)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(Approval {
                    member: row.try_get::<i64, _>(0)? as u32,
                    entry: row.try_get::<i64, _>(1)?.cast_unsigned(),
                    approved_us: row.try_get(2)?,
                })
            })
            .collect()
    }

    /// Begins a run: what it reserves is judged and kept in one transaction, so that no two pass together where one
    /// may. `judge` sees what the organisation reserved within the last day.
    pub(crate) async fn begin<E: From<sqlx::Error>>(
        &self,
        row: &DisclosureRow,
        persons: &[u8],
        is_shared: bool,
        ledger_from: u64,
        now_us: i64,
        judge: impl FnOnce(&[Reserved]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let day_us = 86_400_000_000;
        sqlx::query(
            "UPDATE disclosures SET subjects = NULL WHERE org = $1 AND reserved_at <= $2 AND subjects NOT NULL",
        )
        .bind(i64::from(row.org.0))
        .bind(now_us - day_us)
        .execute(&mut *transaction)
        .await?;
        let sql = "SELECT project, member, reserved_at, kind, is_shared, subjects FROM disclosures
                   WHERE org = $1 AND reserved_at > $2 AND subjects NOT NULL ORDER BY reserved_at, id";
        let found =
            sqlx::query(sql).bind(i64::from(row.org.0)).bind(now_us - day_us).fetch_all(&mut *transaction).await?;
        let reserved = |row: &SqliteRow| -> Result<Reserved> {
            Ok(Reserved {
                project: ProjectId(row.try_get::<i64, _>(0)? as u32),
                member: row.try_get::<i64, _>(1)? as u32,
                at_us: row.try_get(2)?,
                is_single: row.try_get::<i64, _>(3)? != RowKind::Export as i64,
                is_shared: row.try_get::<i64, _>(4)? != 0,
                persons: set_of(row.try_get(5)?).map_err(|_| sqlx::Error::RowNotFound)?,
            })
        };
        let found = found.iter().map(reserved).collect::<Result<Vec<Reserved>>>()?;
        judge(&found)?;
        let sql =
            "UPDATE disclosures SET state = $1, reserved_at = $2, is_shared = $3, subjects = $4, ledger_from = $5,
                   rows = 0, bytes = 0, hash_sent = NULL, first_intent = NULL, last_intent = NULL, end_entry = NULL,
                   ended_at = NULL WHERE id = $6 AND state = $7";
        let done = sqlx::query(sql)
            .bind(State::Running as i64)
            .bind(now_us)
            .bind(i64::from(is_shared))
            .bind(persons)
            .bind(ledger_from.cast_signed())
            .bind(i64::from(row.id))
            .bind(State::Open as i64)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn end(&self, id: u32, ended: &Ended) -> Result<()> {
        // What was denied or taken back while it ran stays so.
        let sql = "UPDATE disclosures SET state = CASE state WHEN $10 THEN $1 ELSE state END, rows = $2, bytes = $3,
                   hash_sent = $4, first_intent = $5, last_intent = $6, end_entry = $7, ended_at = $8 WHERE id = $9";
        sqlx::query(sql)
            .bind(ended.state as i64)
            .bind(ended.rows.cast_signed())
            .bind(ended.bytes.cast_signed())
            .bind(&ended.hash[..])
            .bind(number(ended.first_intent))
            .bind(number(ended.last_intent))
            .bind(number(ended.end_entry))
            .bind(ended.at_us)
            .bind(i64::from(id))
            .bind(State::Running as i64)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Look-ups of a member after an instant, and how many of them found nobody.
    pub(crate) async fn lookups(&self, member: u32, after_us: i64) -> Result<(usize, usize)> {
        let sql = "SELECT COUNT(*), COALESCE(SUM(is_miss), 0) FROM lookups WHERE member = $1 AND looked_at > $2";
        let row = sqlx::query(sql).bind(i64::from(member)).bind(after_us).fetch_one(&self.pool).await?;
        Ok((row.try_get::<i64, _>(0)? as usize, row.try_get::<i64, _>(1)? as usize))
    }

    pub(crate) async fn looked_up(&self, member: u32, is_miss: bool, now_us: i64) -> Result<()> {
        let sql = "INSERT INTO lookups (member, looked_at, is_miss) VALUES ($1, $2, $3)";
        sqlx::query(sql).bind(i64::from(member)).bind(now_us).bind(is_miss).execute(&self.pool).await?;
        sqlx::query("DELETE FROM lookups WHERE looked_at <= $1")
            .bind(now_us - 3_600_000_000)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn insert_trip(&self, trip: &TripRow) -> Result<u32> {
        let sql = "INSERT INTO trips (org, rule, member, by_member, by_person, entry, tripped_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let done = sqlx::query(sql)
            .bind(i64::from(trip.org.0))
            .bind(trip.rule)
            .bind(trip.member.map(i64::from))
            .bind(i64::from(trip.by_member))
            .bind(&trip.by_person[..])
            .bind(trip.entry.cast_signed())
            .bind(trip.tripped_us)
            .execute(&self.pool)
            .await?;
        Ok(done.last_insert_rowid() as u32)
    }

    /// Newest first; those of one organisation, or the open ones of all.
    pub(crate) async fn trips(&self, org: Option<OrgId>) -> Result<Vec<TripRow>> {
        let sql = format!(
            "SELECT {TRIP_COLUMNS} FROM trips WHERE org = $1 OR ($1 IS NULL AND closed_at IS NULL)
             ORDER BY id DESC LIMIT $2"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(org.map(|org| i64::from(org.0)));
        query.bind(limits::DISCLOSURES_LISTED).fetch_all(&self.pool).await?.iter().map(trip).collect()
    }

    /// Notes that somebody would close a trip. Answers how many different persons would.
    pub(crate) async fn would_close(&self, trip: u32, member: u32, person: &[u8]) -> Result<usize> {
        let sql = "INSERT INTO trip_closings (trip, member, person) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(i64::from(trip)).bind(i64::from(member)).bind(person).execute(&self.pool).await?;
        self.closings(trip).await
    }

    pub(crate) async fn closings(&self, trip: u32) -> Result<usize> {
        let query = sqlx::query("SELECT COUNT(*) FROM trip_closings WHERE trip = $1").bind(i64::from(trip));
        Ok(query.fetch_one(&self.pool).await?.try_get::<i64, _>(0)? as usize)
    }

    pub(crate) async fn close_trip(&self, trip: u32, now_us: i64) -> Result<()> {
        let sql = "UPDATE trips SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL";
        sqlx::query(sql).bind(now_us).bind(i64::from(trip)).execute(&self.pool).await?;
        Ok(())
    }
}
