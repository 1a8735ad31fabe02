//! Members, sessions, passkeys, tokens, locks and projects: rows in one SQLite database. No personal value is in
//! clear: a member's name and address are sealed, found by a keyed fingerprint. No secret is there at all, only hashes
//! under a key.

use std::path::Path;
use std::str::FromStr;

use cofferdam_model::{OrgId, ProjectId};
use cofferdam_vault::wire::IdentityMode;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Result, Row};

mod gates;
mod people;

pub(crate) use gates::{TokenRow, WishRow};
pub(crate) use people::{
    Ended, InvitationRow, MemberRow, NewMember, NewPasskeyRow, NewSession, PasskeyRow, RecoveryCodes,
};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS organisations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS members (
    id INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (id),
    email_print BLOB NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    password_hash TEXT NOT NULL,
    totp_sealed BLOB NOT NULL,
    totp_step INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    roles INTEGER NOT NULL,
    -- When a list of recovery codes was last used.
    recovered_at INTEGER NOT NULL DEFAULT 0,
    removed_at INTEGER,
    -- When the password was exchanged; 0 for the first.
    password_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,
    identity_mode TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    is_test INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS project_numbers (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
CREATE TABLE IF NOT EXISTS cohorts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    members BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS cohorts_by_project ON cohorts (project);
";

/// A project as the console shows it.
#[derive(Clone, Debug)]
pub struct ProjectRecord {
    pub id: ProjectId,
    pub org: OrgId,
    pub name: String,
    pub time_zone: String,
    /// Public: it can only send events.
    pub token: String,
    pub mode: IdentityMode,
    /// Of nobody real: what is allowed in tests only is allowed here.
    pub is_test: bool,
    /// Microseconds since 1970-01-01 UTC.
    pub created_us: i64,
}

/// A cohort's row.
pub(crate) struct CohortRow {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// JSON.
    pub(crate) rule: String,
    /// Subject numbers of a static cohort, four bytes each, little endian.
    pub(crate) members: Vec<u8>,
    pub(crate) created_us: i64,
}

pub(crate) struct Meta {
    pool: SqlitePool,
}

impl Meta {
    pub(crate) async fn open(path: &Path) -> Result<Meta> {
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("secure_delete", "on");
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        migrate(&pool).await?;
        for schema in [SCHEMA, people::SCHEMA, gates::SCHEMA] {
            sqlx::raw_sql(schema).execute(&pool).await?;
        }
        Ok(Meta { pool })
    }

    /// For rows that another module keeps in this database.
    pub(crate) fn pool(&self) -> SqlitePool {
        self.pool.clone()
    }

    /// Writes a consistent copy into a new file (SQLite).
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<()> {
        sqlx::query("VACUUM INTO $1").bind(path.display().to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends what may have been ended since this copy was made: sessions, tokens, invitations, what waits.
    pub(crate) async fn delete_sessions(&self) -> Result<()> {
        let sql = "DELETE FROM sessions; DELETE FROM invitations; DELETE FROM wishes; DELETE FROM agreements;
             UPDATE tokens SET revoked_at = made_at WHERE revoked_at IS NULL;";
        sqlx::raw_sql(sql).execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn has_members(&self) -> Result<bool> {
        Ok(sqlx::query("SELECT 1 FROM members LIMIT 1").fetch_optional(&self.pool).await?.is_some())
    }

    pub(crate) async fn organisation_name(&self, org: OrgId) -> Result<String> {
        sqlx::query("SELECT name FROM organisations WHERE id = $1")
            .bind(i64::from(org.0))
            .fetch_one(&self.pool)
            .await?
            .try_get(0)
    }

    /// The first organisation and its first member, both or none; none when somebody was faster.
    pub(crate) async fn insert_first(&self, organisation: &str, member: &NewMember<'_>) -> Result<bool> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if sqlx::query("SELECT 1 FROM members LIMIT 1").fetch_optional(&mut *transaction).await?.is_some() {
            return Ok(false);
        }
        // An earlier set-up that was interrupted leaves nothing that this would collide with.
        sqlx::query("INSERT INTO organisations (id, name, created_at) VALUES (1, $1, $2)")
            .bind(organisation)
            .bind(member.now_us)
            .execute(&mut *transaction)
            .await?;
        people::insert_member(&mut transaction, OrgId(1), member).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Another organisation, with nobody in it.
    pub(crate) async fn insert_organisation(&self, name: &str, now_us: i64) -> Result<OrgId> {
        let done = sqlx::query("INSERT INTO organisations (name, created_at) VALUES ($1, $2)")
            .bind(name)
            .bind(now_us)
            .execute(&self.pool)
            .await?;
        Ok(OrgId(done.last_insert_rowid() as u32))
    }

    /// A number for a project that no project had before.
    pub(crate) async fn next_project(&self) -> Result<ProjectId> {
        let done = sqlx::query("INSERT INTO project_numbers DEFAULT VALUES").execute(&self.pool).await?;
        Ok(ProjectId(done.last_insert_rowid() as u32))
    }

    #[expect(clippy::too_many_arguments, reason = "one per column")]
    pub(crate) async fn insert_project(
        &self,
        id: ProjectId,
        org: OrgId,
        name: &str,
        time_zone: &str,
        token: &str,
        mode: IdentityMode,
        is_test: bool,
        created_us: i64,
    ) -> Result<ProjectRecord> {
        sqlx::query(
            "INSERT INTO projects (id, org, name, time_zone, token, identity_mode, created_at, is_test)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(i64::from(id.0))
        .bind(i64::from(org.0))
        .bind(name)
        .bind(time_zone)
        .bind(token)
        .bind(mode_word(mode))
        .bind(created_us)
        .bind(is_test)
        .execute(&self.pool)
        .await?;
        Ok(ProjectRecord {
            id,
            org,
            name: name.to_owned(),
            time_zone: time_zone.to_owned(),
            token: token.to_owned(),
            mode,
            is_test,
            created_us,
        })
    }

    /// The cohorts of a project, oldest first.
    pub(crate) async fn cohorts(&self, project: ProjectId) -> Result<Vec<CohortRow>> {
        sqlx::query("SELECT id, name, rule, members, created_at FROM cohorts WHERE project = $1 ORDER BY id")
            .bind(i64::from(project.0))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|row| {
                Ok(CohortRow {
                    id: row.try_get::<i64, _>(0)? as u32,
                    name: row.try_get(1)?,
                    rule: row.try_get(2)?,
                    members: row.try_get(3)?,
                    created_us: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Answers the new cohort's number, which no other cohort ever had.
    pub(crate) async fn insert_cohort(
        &self,
        project: ProjectId,
        name: &str,
        rule: &str,
        members: &[u8],
        created_us: i64,
    ) -> Result<u32> {
        let done =
            sqlx::query("INSERT INTO cohorts (project, name, rule, members, created_at) VALUES ($1, $2, $3, $4, $5)")
                .bind(i64::from(project.0))
                .bind(name)
                .bind(rule)
                .bind(members)
                .bind(created_us)
                .execute(&self.pool)
                .await?;
        Ok(done.last_insert_rowid() as u32)
    }

    pub(crate) async fn set_cohort_members(&self, id: u32, members: &[u8]) -> Result<()> {
        sqlx::query("UPDATE cohorts SET members = $1 WHERE id = $2")
            .bind(members)
            .bind(i64::from(id))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Answers whether there was such a cohort.
    pub(crate) async fn delete_cohort(&self, project: ProjectId, id: u32) -> Result<bool> {
        let done = sqlx::query("DELETE FROM cohorts WHERE project = $1 AND id = $2")
            .bind(i64::from(project.0))
            .bind(i64::from(id))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The projects of one organisation, or of all, oldest first.
    pub(crate) async fn projects(&self, org: Option<OrgId>) -> Result<Vec<ProjectRecord>> {
        let rows = sqlx::query(
            "SELECT id, org, name, time_zone, token, identity_mode, created_at, is_test FROM projects
             WHERE $1 IS NULL OR org = $1 ORDER BY id",
        )
        .bind(org.map(|org| i64::from(org.0)))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ProjectRecord {
                    id: ProjectId(row.try_get::<i64, _>(0)? as u32),
                    org: OrgId(row.try_get::<i64, _>(1)? as u32),
                    name: row.try_get(2)?,
                    time_zone: row.try_get(3)?,
                    token: row.try_get(4)?,
                    mode: if row.try_get::<&str, _>(5)? == mode_word(IdentityMode::Original) {
                        IdentityMode::Original
                    } else {
                        IdentityMode::Simplified
                    },
                    created_us: row.try_get(6)?,
                    is_test: row.try_get(7)?,
                })
            })
            .collect()
    }
}

/// Brings a database of an earlier version to this one's form: columns that came later, and sessions, which had no
/// numbers and end.
async fn migrate(pool: &SqlitePool) -> Result<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let has = async |transaction: &mut sqlx::SqliteConnection, table: &str, column: &str| {
        let columns = sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table).fetch_all(transaction).await?;
        let names: Vec<String> = columns.iter().map(|row| row.try_get(0)).collect::<Result<_>>()?;
        // A table that is not there is made in this version's form.
        Ok::<bool, sqlx::Error>(names.is_empty() || names.iter().any(|name| name == column))
    };
    if !has(&mut transaction, "members", "roles").await? {
        // There was one member, the first.
        let roles = cofferdam_model::Roles::FIRST_MEMBER.bits();
        let sql = format!(
            "ALTER TABLE members ADD COLUMN roles INTEGER NOT NULL DEFAULT {roles};
             ALTER TABLE members ADD COLUMN recovered_at INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE members ADD COLUMN removed_at INTEGER;"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    if !has(&mut transaction, "members", "password_at").await? {
        let sql = "ALTER TABLE members ADD COLUMN password_at INTEGER NOT NULL DEFAULT 0";
        sqlx::query(sql).execute(&mut *transaction).await?;
    }
    if !has(&mut transaction, "projects", "is_test").await? {
        let sql = "ALTER TABLE projects ADD COLUMN is_test INTEGER NOT NULL DEFAULT 0";
        sqlx::query(sql).execute(&mut *transaction).await?;
    }
    if !has(&mut transaction, "sessions", "number").await? {
        sqlx::query("DROP TABLE sessions").execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

fn mode_word(mode: IdentityMode) -> &'static str {
    match mode {
        IdentityMode::Simplified => "simplified",
        IdentityMode::Original => "original",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_of_before_there_were_roles_keeps_its_member_as_the_first_and_ends_sessions() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("meta.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE organisations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
             CREATE TABLE members (id INTEGER PRIMARY KEY, org INTEGER NOT NULL REFERENCES organisations (id),
                email_print BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL, password_hash TEXT NOT NULL,
                totp_sealed BLOB NOT NULL, totp_step INTEGER NOT NULL, created_at INTEGER NOT NULL) STRICT;
             CREATE TABLE sessions (print BLOB PRIMARY KEY, member INTEGER NOT NULL REFERENCES members (id),
                created_at INTEGER NOT NULL, seen_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE projects (id INTEGER PRIMARY KEY, org INTEGER NOT NULL REFERENCES organisations (id),
                name TEXT NOT NULL, time_zone TEXT NOT NULL, token TEXT NOT NULL UNIQUE, identity_mode TEXT NOT NULL,
                created_at INTEGER NOT NULL) STRICT;
             INSERT INTO organisations VALUES (1, 'Org', 5);
             INSERT INTO members VALUES (1, 1, x'01', x'02', 'hash', x'03', 7, 5);
             INSERT INTO sessions VALUES (x'04', 1, 5, 5);
             INSERT INTO projects VALUES (1, 1, 'Shop', 'UTC', 'token', 'simplified', 5);",
        )
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
        for _ in 0..2 {
            let meta = Meta::open(&path).await.unwrap();
            let member = meta.member(1).await.unwrap().unwrap();
            assert_eq!((member.org, member.roles), (OrgId(1), cofferdam_model::Roles::FIRST_MEMBER));
            assert!(meta.session(&[4]).await.unwrap().is_none());
            assert!(!meta.projects(None).await.unwrap()[0].is_test);
        }
    }
}
