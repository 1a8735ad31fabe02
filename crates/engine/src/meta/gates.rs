//! Rows of tokens, of locks, and of what waits for a second person.

use cofferdam_model::{OrgId, ProjectId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Result, Row};

use super::{Ended, Meta};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tokens (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL REFERENCES organisations (id),
    project INTEGER NOT NULL REFERENCES projects (id),
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    print BLOB NOT NULL UNIQUE,
    old_print BLOB UNIQUE,
    old_until INTEGER NOT NULL DEFAULT 0,
    network TEXT,
    made_by INTEGER NOT NULL REFERENCES members (id),
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    is_approved INTEGER NOT NULL,
    revoked_at INTEGER,
    used_at INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS locks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL REFERENCES organisations (id),
    sealed BLOB NOT NULL,
    reason INTEGER NOT NULL,
    locked_by INTEGER,
    locked_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS wishes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL REFERENCES organisations (id),
    act TEXT NOT NULL,
    asked_by INTEGER NOT NULL REFERENCES members (id),
    about INTEGER,
    asked_at INTEGER NOT NULL,
    due_at INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS agreements (
    member INTEGER NOT NULL REFERENCES members (id),
    print BLOB NOT NULL,
    good_until INTEGER NOT NULL,
    PRIMARY KEY (member, print)
) STRICT, WITHOUT ROWID;
";

/// A token's row. The token itself is nowhere.
#[derive(Clone)]
pub(crate) struct TokenRow {
    pub(crate) number: u64,
    pub(crate) org: OrgId,
    pub(crate) project: ProjectId,
    pub(crate) kind: i64,
    pub(crate) name: String,
    pub(crate) print: Vec<u8>,
    /// The one before it was exchanged, and until when that is good.
    pub(crate) old_until_us: i64,
    pub(crate) network: Option<String>,
    pub(crate) made_by: u32,
    pub(crate) made_us: i64,
    pub(crate) expires_us: i64,
    pub(crate) is_approved: bool,
    pub(crate) revoked_us: Option<i64>,
    pub(crate) used_us: Option<i64>,
}

/// A lock's row; what is locked can be an address and is sealed.
pub(crate) struct LockRow {
    pub(crate) id: u64,
    pub(crate) org: OrgId,
    pub(crate) sealed: Vec<u8>,
    pub(crate) reason: i64,
    pub(crate) by: Option<u32>,
    pub(crate) locked_us: i64,
}

/// What somebody asked for that takes two.
pub(crate) struct WishRow {
    pub(crate) id: u64,
    /// JSON.
    pub(crate) act: String,
    pub(crate) asked_by: u32,
    /// Whom it is about: they are no second person.
    pub(crate) about: Option<u32>,
    pub(crate) asked_us: i64,
    /// When it may happen without a second person.
    pub(crate) due_us: Option<i64>,
}

const TOKEN: &str = "SELECT number, org, project, kind, name, print, old_until, network, made_by, made_at, expires_at,
     is_approved, revoked_at, used_at FROM tokens";
const LOCK: &str = "SELECT id, org, sealed, reason, locked_by, locked_at FROM locks";

fn token(row: &SqliteRow) -> Result<TokenRow> {
    Ok(TokenRow {
        number: row.try_get::<i64, _>(0)? as u64,
        org: OrgId(row.try_get::<i64, _>(1)? as u32),
        project: ProjectId(row.try_get::<i64, _>(2)? as u32),
        kind: row.try_get(3)?,
        name: row.try_get(4)?,
        print: row.try_get(5)?,
        old_until_us: row.try_get(6)?,
        network: row.try_get(7)?,
        made_by: row.try_get::<i64, _>(8)? as u32,
        made_us: row.try_get(9)?,
        expires_us: row.try_get(10)?,
        is_approved: row.try_get(11)?,
        revoked_us: row.try_get(12)?,
        used_us: row.try_get(13)?,
    })
}

impl Meta {
    // Tokens.

    /// Answers the token's number.
    pub(crate) async fn insert_token(&self, new: &TokenRow) -> Result<u64> {
        let done = sqlx::query(
            "INSERT INTO tokens (org, project, kind, name, print, network, made_by, made_at, expires_at, is_approved)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(i64::from(new.org.0))
        .bind(i64::from(new.project.0))
        .bind(new.kind)
        .bind(&new.name)
        .bind(&new.print)
        .bind(&new.network)
        .bind(i64::from(new.made_by))
        .bind(new.made_us)
        .bind(new.expires_us)
        .bind(new.is_approved)
        .execute(&self.pool)
        .await?;
        Ok(done.last_insert_rowid() as u64)
    }

    pub(crate) async fn token(&self, number: u64) -> Result<Option<TokenRow>> {
        let sql = [TOKEN, " WHERE number = $1"].concat();
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(number as i64).fetch_optional(&self.pool).await?;
        row.map(|row| token(&row)).transpose()
    }

    /// By the token's hash, or by that of the one before.
    pub(crate) async fn token_by_print(&self, print: &[u8]) -> Result<Option<TokenRow>> {
        let sql = [TOKEN, " WHERE print = $1 OR old_print = $1"].concat();
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(print).fetch_optional(&self.pool).await?;
        row.map(|row| token(&row)).transpose()
    }

    /// The tokens of a project, oldest first.
    pub(crate) async fn tokens(&self, project: ProjectId) -> Result<Vec<TokenRow>> {
        let sql = [TOKEN, " WHERE project = $1 ORDER BY number"].concat();
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(project.0)).fetch_all(&self.pool).await?;
        rows.iter().map(token).collect()
    }

    /// Exchanges a token; the old one is good for a moment more.
    pub(crate) async fn rotate_token(&self, number: u64, print: &[u8], old_until_us: i64) -> Result<()> {
        sqlx::query("UPDATE tokens SET old_print = print, old_until = $1, print = $2 WHERE number = $3")
            .bind(old_until_us)
            .bind(print)
            .bind(number as i64)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn approve_token(&self, number: u64) -> Result<()> {
        sqlx::query("UPDATE tokens SET is_approved = 1 WHERE number = $1")
            .bind(number as i64)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn revoke_token(&self, number: u64, now_us: i64) -> Result<Ended> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE number = $2 AND revoked_at IS NULL")
            .bind(now_us)
            .bind(number as i64)
            .execute(&self.pool)
            .await?;
        Ok(Ended { tokens: done.rows_affected(), ..Ended::default() })
    }

    pub(crate) async fn touch_token(&self, number: u64, now_us: i64) -> Result<()> {
        sqlx::query("UPDATE tokens SET used_at = $1 WHERE number = $2")
            .bind(now_us)
            .bind(number as i64)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    // Locks.

    /// A number that no lock ever had, nor any after it.
    pub(crate) async fn next_lock(&self) -> Result<u64> {
        let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'locks'")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }

    /// All or none, by numbers from `first` on.
    pub(crate) async fn insert_locks(
        &self,
        org: OrgId,
        by: Option<u32>,
        first: u64,
        sealed: &[Vec<u8>],
        reason: i64,
        now_us: i64,
    ) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (id, target) in (first..).zip(sealed) {
            sqlx::query(
                "INSERT INTO locks (id, org, sealed, reason, locked_by, locked_at) VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(id as i64)
            .bind(i64::from(org.0))
            .bind(target)
            .bind(reason)
            .bind(by.map(i64::from))
            .bind(now_us)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// The locks of one organisation, or of all, oldest first.
    pub(crate) async fn locks(&self, org: Option<OrgId>) -> Result<Vec<LockRow>> {
        let sql = [LOCK, " WHERE $1 IS NULL OR org = $1 ORDER BY id"].concat();
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(org.map(|org| i64::from(org.0))).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(LockRow {
                    id: row.try_get::<i64, _>(0)? as u64,
                    org: OrgId(row.try_get::<i64, _>(1)? as u32),
                    sealed: row.try_get(2)?,
                    reason: row.try_get(3)?,
                    by: row.try_get::<Option<i64>, _>(4)?.map(|id| id as u32),
                    locked_us: row.try_get(5)?,
                })
            })
            .collect()
    }

    pub(crate) async fn delete_lock(&self, id: u64) -> Result<()> {
        sqlx::query("DELETE FROM locks WHERE id = $1").bind(id as i64).execute(&self.pool).await?;
        Ok(())
    }

    // What waits for a second person.

    pub(crate) async fn insert_wish(&self, org: OrgId, wish: &WishRow) -> Result<u64> {
        let done = sqlx::query(
            "INSERT INTO wishes (org, act, asked_by, about, asked_at, due_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(i64::from(org.0))
        .bind(&wish.act)
        .bind(i64::from(wish.asked_by))
        .bind(wish.about.map(i64::from))
        .bind(wish.asked_us)
        .bind(wish.due_us)
        .execute(&self.pool)
        .await?;
        Ok(done.last_insert_rowid() as u64)
    }

    /// Oldest first.
    pub(crate) async fn wishes(&self, org: OrgId) -> Result<Vec<WishRow>> {
        let sql = "SELECT id, act, asked_by, about, asked_at, due_at FROM wishes WHERE org = $1 ORDER BY id";
        let rows = sqlx::query(sql).bind(i64::from(org.0)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(WishRow {
                    id: row.try_get::<i64, _>(0)? as u64,
                    act: row.try_get(1)?,
                    asked_by: row.try_get::<i64, _>(2)? as u32,
                    about: row.try_get::<Option<i64>, _>(3)?.map(|id| id as u32),
                    asked_us: row.try_get(4)?,
                    due_us: row.try_get(5)?,
                })
            })
            .collect()
    }

    /// That a second person agreed to something of a member's, until then. What is over goes.
    pub(crate) async fn insert_agreement(&self, member: u32, print: &[u8], now_us: i64, until_us: i64) -> Result<()> {
        sqlx::query("DELETE FROM agreements WHERE good_until <= $1").bind(now_us).execute(&self.pool).await?;
        sqlx::query("INSERT OR REPLACE INTO agreements (member, print, good_until) VALUES ($1, $2, $3)")
            .bind(i64::from(member))
            .bind(print)
            .bind(until_us)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn agreed_until(&self, member: u32, print: &[u8]) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT good_until FROM agreements WHERE member = $1 AND print = $2")
            .bind(i64::from(member))
            .bind(print)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// Takes a wish away. False when somebody else did.
    pub(crate) async fn take_wish(&self, id: u64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM wishes WHERE id = $1").bind(id as i64).execute(&self.pool).await?;
        Ok(done.rows_affected() == 1)
    }
}
