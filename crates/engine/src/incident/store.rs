//! What is stored of incidents: one SQLite file. Numbers, times and texts of ours; no value of a person.

use std::path::Path;
use std::str::FromStr;

use cofferdam_ledger::RoaringBitmap;
use cofferdam_model::{FieldSet, OrgId, ProjectId, limits};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Result, Row};

use super::scope::{Asked, Group, Scope};
use super::{Incident, ScopeVersion, Told};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL,
    facts TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS scopes (
    incident INTEGER NOT NULL REFERENCES incidents (id),
    version INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    known_at INTEGER NOT NULL,
    PRIMARY KEY (incident, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scope_questions (
    incident INTEGER NOT NULL,
    version INTEGER NOT NULL,
    asked TEXT NOT NULL,
    PRIMARY KEY (incident, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scope_groups (
    incident INTEGER NOT NULL,
    version INTEGER NOT NULL,
    project INTEGER NOT NULL,
    fields INTEGER NOT NULL,
    persons BLOB NOT NULL,
    PRIMARY KEY (incident, version, project, fields)
) STRICT;
CREATE TABLE IF NOT EXISTS signatures (
    incident INTEGER NOT NULL REFERENCES incidents (id),
    version INTEGER NOT NULL,
    language TEXT NOT NULL,
    texts BLOB NOT NULL,
    member INTEGER NOT NULL,
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (incident, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
    incident INTEGER NOT NULL REFERENCES incidents (id),
    version INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    audience TEXT NOT NULL,
    language TEXT NOT NULL,
    project INTEGER NOT NULL,
    fields INTEGER NOT NULL,
    was_told INTEGER NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    html TEXT NOT NULL,
    PRIMARY KEY (incident, entry)
) STRICT, WITHOUT ROWID;
";

/// The first of two who sign.
pub(super) struct Signature {
    pub(super) language: String,
    /// SHA-256 of all texts.
    pub(super) texts: Vec<u8>,
    pub(super) member: u32,
    pub(super) signed_us: i64,
}

/// A text that is logged, and who of the scope gets it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) told: Told,
    /// Of persons; 0 for members.
    pub(super) project: u32,
    pub(super) fields: FieldSet,
    pub(super) was_told: bool,
    pub(super) html: String,
}

pub(super) struct Store {
    pool: SqlitePool,
}

impl Store {
    pub(super) async fn open(path: &Path) -> Result<Store> {
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Store { pool })
    }

    pub(super) async fn copy_to(&self, path: &Path) -> Result<()> {
        sqlx::query("VACUUM INTO $1").bind(path.display().to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// Answers the number of the new incident.
    pub(super) async fn insert(&self, org: OrgId, incident: &Incident) -> Result<u32> {
        let done = sqlx::query("INSERT INTO incidents (org, facts) VALUES ($1, $2)")
            .bind(i64::from(org.0))
            .bind(encoded(incident)?)
            .execute(&self.pool)
            .await?;
        Ok(done.last_insert_rowid() as u32)
    }

    pub(super) async fn save(&self, incident: &Incident) -> Result<()> {
        sqlx::query("UPDATE incidents SET facts = $1 WHERE id = $2")
            .bind(encoded(incident)?)
            .bind(i64::from(incident.id))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// One incident with its organisation.
    pub(super) async fn incident(&self, id: u32) -> Result<Option<(OrgId, Incident)>> {
        let row = sqlx::query("SELECT org, facts FROM incidents WHERE id = $1")
            .bind(i64::from(id))
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut incident: Incident = decoded(row.try_get(1)?)?;
        incident.id = id;
        incident.scopes = self.scopes(id).await?;
        Ok(Some((OrgId(row.try_get::<i64, _>(0)? as u32), incident)))
    }

    /// Newest first.
    pub(super) async fn incidents(&self, org: Option<OrgId>) -> Result<Vec<u32>> {
        let rows = sqlx::query("SELECT id FROM incidents WHERE $1 IS NULL OR org = $1 ORDER BY id DESC LIMIT 1000")
            .bind(org.map(|org| i64::from(org.0)))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get::<i64, _>(0)? as u32)).collect()
    }

    pub(super) async fn insert_scope(
        &self,
        incident: u32,
        version: u32,
        (entry, known_us): (u64, i64),
        scope: &Scope,
        asked: Option<&Asked>,
    ) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO scopes (incident, version, entry, known_at) VALUES ($1, $2, $3, $4)")
            .bind(i64::from(incident))
            .bind(i64::from(version))
            .bind(entry.cast_signed())
            .bind(known_us)
            .execute(&mut *transaction)
            .await?;
        if let Some(asked) = asked {
            let asked = serde_json::to_string(asked).map_err(|error| sqlx::Error::Encode(error.into()))?;
            sqlx::query("INSERT INTO scope_questions (incident, version, asked) VALUES ($1, $2, $3)")
                .bind(i64::from(incident))
                .bind(i64::from(version))
                .bind(asked)
                .execute(&mut *transaction)
                .await?;
        }
        for group in &scope.groups {
            let mut persons = Vec::new();
            group.persons.serialize_into(&mut persons).expect("writing to memory does not fail");
            let sql =
                "INSERT INTO scope_groups (incident, version, project, fields, persons) VALUES ($1, $2, $3, $4, $5)";
            sqlx::query(sql)
                .bind(i64::from(incident))
                .bind(i64::from(version))
                .bind(i64::from(group.project.0))
                .bind(group.fields.0.cast_signed())
                .bind(persons)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// What the versions of a scope were asked by, oldest first; nothing for those of a list.
    pub(super) async fn asked(&self, incident: u32) -> Result<Vec<Asked>> {
        let sql = "SELECT asked FROM scope_questions WHERE incident = $1 ORDER BY version";
        let rows = sqlx::query(sql).bind(i64::from(incident)).fetch_all(&self.pool).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            serde_json::from_str(row.try_get(0)?).map_err(|error| sqlx::Error::Decode(error.into()))
        };
        rows.iter().map(read).collect()
    }

    /// The incident that a tripped limit opened.
    pub(super) async fn of_trip(&self, trip: u32) -> Result<Option<u32>> {
        let sql = "SELECT id FROM incidents WHERE json_extract(facts, '$.trip.trip') = $1";
        let row = sqlx::query(sql).bind(i64::from(trip)).fetch_optional(&self.pool).await?;
        row.map(|row| Ok(row.try_get::<i64, _>(0)? as u32)).transpose()
    }

    /// Incidents of an organisation that a limit opened and nobody closed, newest first, without their scopes.
    pub(super) async fn tripped(&self, org: OrgId) -> Result<Vec<Incident>> {
        let sql = "SELECT id, facts FROM incidents WHERE org = $1 AND json_extract(facts, '$.trip.trip') IS NOT NULL
                   AND json_extract(facts, '$.stage') <> 'closed' ORDER BY id DESC LIMIT $2";
        let limit = limits::ALARMS_MAX as i64;
        let rows = sqlx::query(sql).bind(i64::from(org.0)).bind(limit).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| Ok(Incident { id: row.try_get::<i64, _>(0)? as u32, ..decoded(row.try_get(1)?)? }))
            .collect()
    }

    async fn scopes(&self, incident: u32) -> Result<Vec<ScopeVersion>> {
        let sql = "SELECT version, entry, known_at FROM scopes WHERE incident = $1 ORDER BY version";
        let rows = sqlx::query(sql).bind(i64::from(incident)).fetch_all(&self.pool).await?;
        let mut versions = Vec::with_capacity(rows.len());
        for row in rows {
            let version = row.try_get::<i64, _>(0)? as u32;
            let entry = row.try_get::<i64, _>(1)?.cast_unsigned();
            versions.push(ScopeVersion::of(version, entry, row.try_get(2)?, &self.scope(incident, version).await?));
        }
        Ok(versions)
    }

    pub(super) async fn scope(&self, incident: u32, version: u32) -> Result<Scope> {
        let sql = "SELECT project, fields, persons FROM scope_groups WHERE incident = $1 AND version = $2
                   ORDER BY project, fields";
        let rows = sqlx::query(sql).bind(i64::from(incident)).bind(i64::from(version)).fetch_all(&self.pool).await?;
        let groups: Result<Vec<Group>> = rows
            .iter()
            .map(|row| {
                let persons = RoaringBitmap::deserialize_from(row.try_get::<&[u8], _>(2)?);
                Ok(Group {
                    project: ProjectId(row.try_get::<i64, _>(0)? as u32),
                    fields: FieldSet(row.try_get::<i64, _>(1)?.cast_unsigned()),
                    persons: persons.map_err(|error| sqlx::Error::Decode(error.into()))?,
                })
            })
            .collect();
        Ok(Scope { groups: groups? })
    }

    pub(super) async fn signature(&self, incident: u32, version: u32) -> Result<Option<Signature>> {
        let sql = "SELECT language, texts, member, signed_at FROM signatures WHERE incident = $1 AND version = $2";
        let row =
            sqlx::query(sql).bind(i64::from(incident)).bind(i64::from(version)).fetch_optional(&self.pool).await?;
        row.map(|row| {
            Ok(Signature {
                language: row.try_get(0)?,
                texts: row.try_get(1)?,
                member: row.try_get::<i64, _>(2)? as u32,
                signed_us: row.try_get(3)?,
            })
        })
        .transpose()
    }

    pub(super) async fn put_signature(&self, incident: u32, version: u32, signature: &Signature) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO signatures (incident, version, language, texts, member, signed_at)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(i64::from(incident))
            .bind(i64::from(version))
            .bind(&signature.language)
            .bind(&signature.texts)
            .bind(i64::from(signature.member))
            .bind(signature.signed_us)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Publishes a version: all its texts, or none.
    pub(super) async fn publish(&self, incident: u32, texts: &[Text]) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for Text { told, project, fields, was_told, html } in texts {
            sqlx::query(
                "INSERT INTO texts (incident, version, entry, audience, language, project, fields, was_told, subject,
                 text, html) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(i64::from(incident))
            .bind(i64::from(told.version))
            .bind(told.entry.cast_signed())
            .bind(&told.audience)
            .bind(&told.language)
            .bind(i64::from(*project))
            .bind(fields.0.cast_signed())
            .bind(i64::from(*was_told))
            .bind(&told.subject)
            .bind(&told.text)
            .bind(html)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// The published texts of an incident, oldest first.
    pub(super) async fn texts(&self, incident: u32) -> Result<Vec<Text>> {
        let sql = "SELECT version, entry, audience, language, project, fields, was_told, subject, text, html FROM texts
                   WHERE incident = $1 ORDER BY entry";
        let rows = sqlx::query(sql).bind(i64::from(incident)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(Text {
                    told: Told {
                        version: row.try_get::<i64, _>(0)? as u32,
                        entry: row.try_get::<i64, _>(1)?.cast_unsigned(),
                        audience: row.try_get(2)?,
                        language: row.try_get(3)?,
                        subject: row.try_get(7)?,
                        text: row.try_get(8)?,
                    },
                    project: row.try_get::<i64, _>(4)? as u32,
                    fields: FieldSet(row.try_get::<i64, _>(5)?.cast_unsigned()),
                    was_told: row.try_get::<i64, _>(6)? != 0,
                    html: row.try_get(9)?,
                })
            })
            .collect()
    }
}

fn encoded(incident: &Incident) -> Result<String> {
    // Scopes have rows of their own.
    let bare = Incident { scopes: Vec::new(), ..incident.clone() };
    serde_json::to_string(&bare).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn decoded(text: &str) -> Result<Incident> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
