//! Rows of members, and of what they sign in with.

use cofferdam_model::{OrgId, Roles, limits};
use sqlx::sqlite::SqliteRow;
use sqlx::{Result, Row, SqliteConnection};

use super::Meta;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    print BLOB NOT NULL UNIQUE,
    member INTEGER NOT NULL REFERENCES members (id),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    factor INTEGER NOT NULL,
    device BLOB NOT NULL,
    place TEXT NOT NULL,
    browser TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_by_member ON sessions (member);
CREATE TABLE IF NOT EXISTS devices (
    print BLOB NOT NULL,
    member INTEGER NOT NULL REFERENCES members (id),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (print, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passkeys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    member INTEGER NOT NULL REFERENCES members (id),
    credential BLOB NOT NULL UNIQUE,
    algorithm INTEGER NOT NULL,
    key BLOB NOT NULL,
    count INTEGER NOT NULL,
    name BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS passkeys_by_member ON passkeys (member);
CREATE TABLE IF NOT EXISTS recovery_codes (
    member INTEGER NOT NULL REFERENCES members (id),
    print BLOB NOT NULL,
    PRIMARY KEY (member, print)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invitations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    org INTEGER NOT NULL REFERENCES organisations (id),
    print BLOB NOT NULL UNIQUE,
    roles INTEGER NOT NULL,
    invited_by INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
";

/// A member's row; what is personal is sealed.
pub(crate) struct MemberRow {
    pub(crate) id: u32,
    pub(crate) org: OrgId,
    pub(crate) sealed: Vec<u8>,
    pub(crate) password_hash: String,
    pub(crate) totp_sealed: Vec<u8>,
    pub(crate) roles: Roles,
    pub(crate) created_us: i64,
    /// When a recovery code was last used; 0 for never.
    pub(crate) recovered_us: i64,
    /// When the password was exchanged; 0 for the first.
    pub(crate) password_us: i64,
}

/// Somebody who becomes a member. `sealed` is made of the number they get.
pub(crate) struct NewMember<'a> {
    pub(crate) email_print: &'a [u8],
    pub(crate) seal: &'a (dyn Fn(u32) -> (Vec<u8>, Vec<u8>) + Sync),
    pub(crate) password_hash: &'a str,
    pub(crate) totp_step: i64,
    pub(crate) roles: Roles,
    pub(crate) now_us: i64,
}

pub(crate) struct SessionRow {
    pub(crate) number: u64,
    pub(crate) member: u32,
    pub(crate) created_us: i64,
    pub(crate) seen_us: i64,
    pub(crate) factor: i64,
    pub(crate) device: Vec<u8>,
    pub(crate) place: String,
    pub(crate) browser: String,
}

pub(crate) struct NewSession<'a> {
    pub(crate) print: &'a [u8],
    pub(crate) member: u32,
    pub(crate) factor: i64,
    pub(crate) device: &'a [u8],
    pub(crate) place: &'a str,
    pub(crate) browser: &'a str,
    pub(crate) now_us: i64,
}

pub(crate) struct PasskeyRow {
    pub(crate) id: u64,
    pub(crate) member: u32,
    pub(crate) credential: Vec<u8>,
    pub(crate) algorithm: i64,
    pub(crate) key: Vec<u8>,
    /// Sealed.
    pub(crate) name: Vec<u8>,
    pub(crate) created_us: i64,
    pub(crate) used_us: Option<i64>,
}

pub(crate) struct NewPasskeyRow<'a> {
    pub(crate) member: u32,
    pub(crate) credential: &'a [u8],
    pub(crate) algorithm: i64,
    pub(crate) key: &'a [u8],
    pub(crate) count: u32,
    pub(crate) name: &'a [u8],
    pub(crate) now_us: i64,
}

pub(crate) struct InvitationRow {
    pub(crate) id: u64,
    pub(crate) org: OrgId,
    pub(crate) roles: Roles,
    /// Nobody for the first member of an organisation.
    pub(crate) invited_by: Option<u32>,
    pub(crate) created_us: i64,
    pub(crate) expires_us: i64,
}

/// What was ended of how members and programs come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) sessions: u64,
    pub(crate) tokens: u64,
    pub(crate) recovery_codes: u64,
}

impl Ended {
    pub(crate) fn add(&mut self, more: Ended) {
        self.sessions += more.sessions;
        self.tokens += more.tokens;
        self.recovery_codes += more.recovery_codes;
    }
}

/// What becomes of a member's list of recovery codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecoveryCodes {
    Stay,
    Void,
}

const MEMBER: &str =
    "SELECT id, org, sealed, password_hash, totp_sealed, roles, created_at, recovered_at, password_at FROM members
     WHERE removed_at IS NULL";
const SESSION: &str = "SELECT number, member, created_at, seen_at, factor, device, place, browser FROM sessions";
const PASSKEY: &str = "SELECT id, member, credential, algorithm, key, name, created_at, used_at FROM passkeys";
const INVITATION: &str = "SELECT id, org, roles, invited_by, created_at, expires_at FROM invitations";

fn member(row: &SqliteRow) -> Result<MemberRow> {
    Ok(MemberRow {
        id: row.try_get::<i64, _>(0)? as u32,
        org: OrgId(row.try_get::<i64, _>(1)? as u32),
        sealed: row.try_get(2)?,
        password_hash: row.try_get(3)?,
        totp_sealed: row.try_get(4)?,
        roles: Roles::of_bits(row.try_get::<i64, _>(5)? as u32),
        created_us: row.try_get(6)?,
        recovered_us: row.try_get(7)?,
        password_us: row.try_get(8)?,
    })
}

fn session(row: &SqliteRow) -> Result<SessionRow> {
    Ok(SessionRow {
        number: row.try_get::<i64, _>(0)? as u64,
        member: row.try_get::<i64, _>(1)? as u32,
        created_us: row.try_get(2)?,
        seen_us: row.try_get(3)?,
        factor: row.try_get(4)?,
        device: row.try_get(5)?,
        place: row.try_get(6)?,
        browser: row.try_get(7)?,
    })
}

fn passkey(row: &SqliteRow) -> Result<PasskeyRow> {
    Ok(PasskeyRow {
        id: row.try_get::<i64, _>(0)? as u64,
        member: row.try_get::<i64, _>(1)? as u32,
        credential: row.try_get(2)?,
        algorithm: row.try_get(3)?,
        key: row.try_get(4)?,
        name: row.try_get(5)?,
        created_us: row.try_get(6)?,
        used_us: row.try_get(7)?,
    })
}

fn invitation(row: &SqliteRow) -> Result<InvitationRow> {
    Ok(InvitationRow {
        id: row.try_get::<i64, _>(0)? as u64,
        org: OrgId(row.try_get::<i64, _>(1)? as u32),
        roles: Roles::of_bits(row.try_get::<i64, _>(2)? as u32),
        invited_by: row.try_get::<Option<i64>, _>(3)?.map(|id| id as u32),
        created_us: row.try_get(4)?,
        expires_us: row.try_get(5)?,
    })
}

/// Numbers of members are never used twice: rows of those who left stay, empty.
pub(super) async fn insert_member(
    connection: &mut SqliteConnection,
    org: OrgId,
    member: &NewMember<'_>,
) -> Result<u32> {
    let id: i64 =
        sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM members").fetch_one(&mut *connection).await?.try_get(0)?;
    let (sealed, totp_sealed) = (member.seal)(id as u32);
    sqlx::query(
        "INSERT INTO members (id, org, email_print, sealed, password_hash, totp_sealed, totp_step, created_at, roles)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(i64::from(org.0))
    .bind(member.email_print)
    .bind(sealed)
    .bind(member.password_hash)
    .bind(totp_sealed)
    .bind(member.totp_step)
    .bind(member.now_us)
    .bind(i64::from(member.roles.bits()))
    .execute(connection)
    .await?;
    Ok(id as u32)
}

impl Meta {
    // Members.

    pub(crate) async fn member_by_print(&self, email_print: &[u8]) -> Result<Option<MemberRow>> {
        let sql = joined(MEMBER, " AND email_print = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(email_print)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| member(&row))
            .transpose()
    }

    pub(crate) async fn member(&self, id: u32) -> Result<Option<MemberRow>> {
        let sql = joined(MEMBER, " AND id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(i64::from(id))
            .fetch_optional(&self.pool)
            .await?
            .map(|row| member(&row))
            .transpose()
    }

    /// The members of an organisation, or of all, oldest first.
    pub(crate) async fn members(&self, org: Option<OrgId>) -> Result<Vec<MemberRow>> {
        let sql = joined(MEMBER, " AND ($1 IS NULL OR org = $1) ORDER BY id");
        let org = org.map(|org| i64::from(org.0));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(org).fetch_all(&self.pool).await?;
        rows.iter().map(member).collect()
    }

    /// Uses up a TOTP step. False when it, or a later one, was used before.
    pub(crate) async fn use_totp_step(&self, member: u32, step: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE members SET totp_step = $1 WHERE id = $2 AND totp_step < $1")
            .bind(step)
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn set_password(&self, member: u32, hash: &str, now_us: i64) -> Result<()> {
        sqlx::query("UPDATE members SET password_hash = $1, password_at = $2 WHERE id = $3 AND removed_at IS NULL")
            .bind(hash)
            .bind(now_us)
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Another secret of codes, of which a step was used.
    pub(crate) async fn set_totp(&self, member: u32, sealed: &[u8], step: i64) -> Result<()> {
        sqlx::query("UPDATE members SET totp_sealed = $1, totp_step = $2 WHERE id = $3 AND removed_at IS NULL")
            .bind(sealed)
            .bind(step)
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn set_roles(&self, member: u32, roles: Roles) -> Result<()> {
        sqlx::query("UPDATE members SET roles = $1 WHERE id = $2")
            .bind(i64::from(roles.bits()))
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a membership: nothing by which they could come in again is left, nor their name.
    pub(crate) async fn remove_member(&self, id: u32, nobody: &[u8], now_us: i64) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for sql in [
            "DELETE FROM sessions WHERE member = $1",
            "DELETE FROM devices WHERE member = $1",
            "DELETE FROM passkeys WHERE member = $1",
            "DELETE FROM recovery_codes WHERE member = $1",
            "DELETE FROM invitations WHERE invited_by = $1",
            "DELETE FROM wishes WHERE asked_by = $1 OR about = $1",
            "DELETE FROM agreements WHERE member = $1",
        ] {
            sqlx::query(sql).bind(i64::from(id)).execute(&mut *transaction).await?;
        }
        sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE made_by = $2 AND revoked_at IS NULL")
            .bind(now_us)
            .bind(i64::from(id))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "UPDATE members SET removed_at = $1, email_print = $2, sealed = x'', password_hash = '', totp_sealed = x'',
             roles = 0 WHERE id = $3",
        )
        .bind(now_us)
        .bind(nobody)
        .bind(i64::from(id))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    // Sessions and the browsers they are of.

    /// Answers the session's number. The oldest beyond `limits::SESSIONS_MAX` end.
    pub(crate) async fn insert_session(&self, new: &NewSession<'_>) -> Result<u64> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query(
            "INSERT INTO sessions (print, member, created_at, seen_at, factor, device, place, browser)
             VALUES ($1, $2, $3, $3, $4, $5, $6, $7)",
        )
        .bind(new.print)
        .bind(i64::from(new.member))
        .bind(new.now_us)
        .bind(new.factor)
        .bind(new.device)
        .bind(new.place)
        .bind(new.browser)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM sessions WHERE member = $1 AND number NOT IN
             (SELECT number FROM sessions WHERE member = $1 ORDER BY number DESC LIMIT $2)",
        )
        .bind(i64::from(new.member))
        .bind(limits::SESSIONS_MAX)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO devices (print, member, created_at, seen_at) VALUES ($1, $2, $3, $3)
             ON CONFLICT (print, member) DO UPDATE SET seen_at = $3",
        )
        .bind(new.device)
        .bind(i64::from(new.member))
        .bind(new.now_us)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM devices WHERE member = $1 AND print NOT IN
             (SELECT print FROM devices WHERE member = $1 ORDER BY seen_at DESC LIMIT $2)",
        )
        .bind(i64::from(new.member))
        .bind(limits::DEVICES_MAX)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.last_insert_rowid() as u64)
    }

    pub(crate) async fn session(&self, print: &[u8]) -> Result<Option<SessionRow>> {
        let sql = joined(SESSION, " WHERE print = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(print)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| session(&row))
            .transpose()
    }

    /// The sessions of a member, newest first.
    pub(crate) async fn sessions(&self, member: u32) -> Result<Vec<SessionRow>> {
        let sql = joined(SESSION, " WHERE member = $1 ORDER BY number DESC");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(member)).fetch_all(&self.pool).await?;
        rows.iter().map(session).collect()
    }

    /// The organisation of whoever a session is of.
    pub(crate) async fn session_org(&self, number: u64) -> Result<Option<OrgId>> {
        let sql = "SELECT members.org FROM sessions JOIN members ON members.id = sessions.member WHERE number = $1";
        let row = sqlx::query(sql).bind(number as i64).fetch_optional(&self.pool).await?;
        row.map(|row| Ok(OrgId(row.try_get::<i64, _>(0)? as u32))).transpose()
    }

    pub(crate) async fn touch_session(&self, number: u64, now_us: i64) -> Result<()> {
        sqlx::query("UPDATE sessions SET seen_at = $1 WHERE number = $2")
            .bind(now_us)
            .bind(number as i64)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn delete_session(&self, number: u64) -> Result<Ended> {
        let sql = "DELETE FROM sessions WHERE number = $1";
        let done = sqlx::query(sql).bind(number as i64).execute(&self.pool).await?;
        Ok(Ended { sessions: done.rows_affected(), ..Ended::default() })
    }

    /// Ends the sessions of a member but one. Answers how many.
    pub(crate) async fn delete_sessions_of(&self, member: u32, but: Option<u64>) -> Result<u64> {
        let done = sqlx::query("DELETE FROM sessions WHERE member = $1 AND number IS NOT $2")
            .bind(i64::from(member))
            .bind(but.map(|number| number as i64))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Ends what everybody of an organisation came in by: sessions, tokens, lists of recovery codes, invitations; and
    /// what waits.
    pub(crate) async fn end_all(&self, org: OrgId, now_us: i64) -> Result<Ended> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let run = async |transaction: &mut SqliteConnection, sql: &'static str| {
            let done = sqlx::query(sql).bind(i64::from(org.0)).execute(transaction).await?;
            Ok::<u64, sqlx::Error>(done.rows_affected())
        };
        let sessions = "DELETE FROM sessions WHERE member IN (SELECT id FROM members WHERE org = $1)";
        let sessions = run(&mut transaction, sessions).await?;
        let codes = "DELETE FROM recovery_codes WHERE member IN (SELECT id FROM members WHERE org = $1)";
        let recovery_codes = run(&mut transaction, codes).await?;
        run(&mut transaction, "DELETE FROM invitations WHERE org = $1").await?;
        run(&mut transaction, "DELETE FROM wishes WHERE org = $1").await?;
        let agreements = "DELETE FROM agreements WHERE member IN (SELECT id FROM members WHERE org = $1)";
        run(&mut transaction, agreements).await?;
        let done = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE org = $2 AND revoked_at IS NULL")
            .bind(now_us)
            .bind(i64::from(org.0))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ended { sessions, tokens: done.rows_affected(), recovery_codes })
    }

    /// Ends what a member came in by, and what they left behind for others to come in by: sessions, tokens, invitations,
    /// what they asked for and waits; and their recovery codes where these are void.
    pub(crate) async fn end_member(&self, member: u32, codes: RecoveryCodes, now_us: i64) -> Result<Ended> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let run = async |transaction: &mut SqliteConnection, sql: &'static str| {
            let done = sqlx::query(sql).bind(i64::from(member)).execute(transaction).await?;
            Ok::<u64, sqlx::Error>(done.rows_affected())
        };
        let sessions = run(&mut transaction, "DELETE FROM sessions WHERE member = $1").await?;
        run(&mut transaction, "DELETE FROM invitations WHERE invited_by = $1").await?;
        run(&mut transaction, "DELETE FROM wishes WHERE asked_by = $1").await?;
        run(&mut transaction, "DELETE FROM agreements WHERE member = $1").await?;
        let recovery_codes = match codes {
            RecoveryCodes::Stay => 0,
            RecoveryCodes::Void => run(&mut transaction, "DELETE FROM recovery_codes WHERE member = $1").await?,
        };
        let done = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE made_by = $2 AND revoked_at IS NULL")
            .bind(now_us)
            .bind(i64::from(member))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ended { sessions, tokens: done.rows_affected(), recovery_codes })
    }

    /// The sessions of an organisation's members, oldest first: number and member.
    pub(crate) async fn sessions_of(&self, org: OrgId) -> Result<Vec<(u64, u32)>> {
        let sql = "SELECT number, member FROM sessions JOIN members ON members.id = sessions.member WHERE org = $1
                   ORDER BY number";
        let rows = sqlx::query(sql).bind(i64::from(org.0)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get::<i64, _>(0)? as u64, row.try_get::<i64, _>(1)? as u32))).collect()
    }

    /// Removes all passkeys of a member. Answers how many.
    pub(crate) async fn delete_passkeys(&self, member: u32) -> Result<u64> {
        let sql = "DELETE FROM passkeys WHERE member = $1";
        Ok(sqlx::query(sql).bind(i64::from(member)).execute(&self.pool).await?.rows_affected())
    }

    /// Since when a browser is known of a member.
    pub(crate) async fn device_since(&self, print: &[u8], member: u32) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT created_at FROM devices WHERE print = $1 AND member = $2")
            .bind(print)
            .bind(i64::from(member))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    // Passkeys and recovery codes.

    pub(crate) async fn passkeys(&self, member: u32) -> Result<Vec<PasskeyRow>> {
        let sql = joined(PASSKEY, " WHERE member = $1 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(member)).fetch_all(&self.pool).await?;
        rows.iter().map(passkey).collect()
    }

    pub(crate) async fn passkey_by_credential(&self, credential: &[u8]) -> Result<Option<PasskeyRow>> {
        let sql = joined(PASSKEY, " WHERE credential = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(credential)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| passkey(&row))
            .transpose()
    }

    /// Answers the passkey's number; none when there is one with this credential.
    pub(crate) async fn insert_passkey(&self, new: &NewPasskeyRow<'_>) -> Result<Option<u64>> {
        let done = sqlx::query(
            "INSERT INTO passkeys (member, credential, algorithm, key, count, name, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (credential) DO NOTHING",
        )
        .bind(i64::from(new.member))
        .bind(new.credential)
        .bind(new.algorithm)
        .bind(new.key)
        .bind(i64::from(new.count))
        .bind(new.name)
        .bind(new.now_us)
        .execute(&self.pool)
        .await?;
        Ok((done.rows_affected() == 1).then(|| done.last_insert_rowid() as u64))
    }

    /// Moves the counter of a passkey on. False when it does not go up: a copy of the key was used. Both zero is an
    /// authenticator that does not count.
    pub(crate) async fn use_passkey(&self, id: u64, count: u32, now_us: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE passkeys SET count = $1, used_at = $2 WHERE id = $3 AND (count < $1 OR ($1 = 0 AND count = 0))",
        )
        .bind(i64::from(count))
        .bind(now_us)
        .bind(id as i64)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn rename_passkey(&self, member: u32, id: u64, name: &[u8]) -> Result<bool> {
        let done = sqlx::query("UPDATE passkeys SET name = $1 WHERE id = $2 AND member = $3")
            .bind(name)
            .bind(id as i64)
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn delete_passkey(&self, member: u32, id: u64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM passkeys WHERE id = $1 AND member = $2")
            .bind(id as i64)
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Exchanges a member's recovery codes.
    pub(crate) async fn set_recovery_codes(&self, member: u32, prints: &[[u8; 32]]) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM recovery_codes WHERE member = $1")
            .bind(i64::from(member))
            .execute(&mut *transaction)
            .await?;
        for print in prints {
            sqlx::query("INSERT INTO recovery_codes (member, print) VALUES ($1, $2)")
                .bind(i64::from(member))
                .bind(&print[..])
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    pub(crate) async fn recovery_codes(&self, member: u32) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM recovery_codes WHERE member = $1")
            .bind(i64::from(member))
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }

    /// Uses a recovery code up. False when there is no such code.
    pub(crate) async fn use_recovery_code(&self, member: u32, print: &[u8], now_us: i64) -> Result<bool> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let sql = if cofferdam_model::sabotage::is_out(8) {
            "UPDATE recovery_codes SET member = member WHERE member = $1 AND print = $2"
        } else {
            "DELETE FROM recovery_codes WHERE member = $1 AND print = $2"
        };
        let done = sqlx::query(sql).bind(i64::from(member)).bind(print).execute(&mut *transaction).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE members SET recovered_at = $1 WHERE id = $2")
            .bind(now_us)
            .bind(i64::from(member))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    // Invitations.

    pub(crate) async fn insert_invitation(
        &self,
        org: OrgId,
        print: &[u8],
        roles: Roles,
        invited_by: Option<u32>,
        (now_us, expires_us): (i64, i64),
    ) -> Result<u64> {
        sqlx::query("DELETE FROM invitations WHERE expires_at <= $1").bind(now_us).execute(&self.pool).await?;
        let done = sqlx::query(
            "INSERT INTO invitations (org, print, roles, invited_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(i64::from(org.0))
        .bind(print)
        .bind(i64::from(roles.bits()))
        .bind(invited_by.map(i64::from))
        .bind(now_us)
        .bind(expires_us)
        .execute(&self.pool)
        .await?;
        Ok(done.last_insert_rowid() as u64)
    }

    pub(crate) async fn invitations(&self, org: OrgId, now_us: i64) -> Result<Vec<InvitationRow>> {
        let sql = joined(INVITATION, " WHERE org = $1 AND expires_at > $2 ORDER BY id");
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(org.0)).bind(now_us).fetch_all(&self.pool).await?;
        rows.iter().map(invitation).collect()
    }

    pub(crate) async fn invitation(&self, print: &[u8], now_us: i64) -> Result<Option<InvitationRow>> {
        let sql = joined(INVITATION, " WHERE print = $1 AND expires_at > $2");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(print)
            .bind(now_us)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| invitation(&row))
            .transpose()
    }

    pub(crate) async fn delete_invitation(&self, org: OrgId, id: u64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM invitations WHERE id = $1 AND org = $2")
            .bind(id as i64)
            .bind(i64::from(org.0))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Makes a member of an invitation, which is used up. `None` when the invitation is gone, or the address is a
    /// member's.
    pub(crate) async fn join(&self, invitation: u64, org: OrgId, new: &NewMember<'_>) -> Result<Option<u32>> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let used = sqlx::query("DELETE FROM invitations WHERE id = $1 AND expires_at > $2")
            .bind(invitation as i64)
            .bind(new.now_us)
            .execute(&mut *transaction)
            .await?;
        let taken = sqlx::query("SELECT 1 FROM members WHERE email_print = $1")
            .bind(new.email_print)
            .fetch_optional(&mut *transaction)
            .await?;
        if used.rows_affected() == 0 || taken.is_some() {
            return Ok(None);
        }
        let id = insert_member(&mut transaction, org, new).await?;
        transaction.commit().await?;
        Ok(Some(id))
    }
}

/// A statement of its parts, all of them ours.
fn joined(select: &str, rest: &str) -> String {
    [select, rest].concat()
}
