//! Rows that somebody moves who can write into the databases and has no key: into another organisation, another project,
//! another person, another column. What is moved is moved with every key that is wrapped above it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cofferdam_ledger::{Entry, Intent, Kind, Log, Options, SeenFile};
use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId, SubjectNo};
use cofferdam_vault::{Arrival, Site, Vault};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use crate::storage::{copy_folder, events_of, wait};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case { number: 78, title: "Ciphertexts are moved to where somebody else may open them", run: moved }]
}

/// The victim is of the first organisation and project; the attacker's own persons are of a project of the same
/// organisation, and of another organisation.
const PROJECTS: [(OrgId, ProjectId); 3] =
    [(OrgId(1), ProjectId(1)), (OrgId(1), ProjectId(2)), (OrgId(2), ProjectId(3))];
const VICTIM: &str = "victim@attacked.example";

fn email(at: usize) -> String {
    if at == 0 { VICTIM.to_owned() } else { format!("attacker{at}@attacked.example") }
}

/// A person of each project, and a second one of the first. Answers their numbers.
async fn seed(data: &Path) -> Result<[SubjectNo; 4]> {
    let vault = Vault::open(&Site::in_folder(data)).await?;
    for (org, project) in PROJECTS {
        vault.create_project(org, project).await?;
    }
    let mut subjects = Vec::new();
    for at in 0..4 {
        let project = PROJECTS[at % 3].1;
        let event =
            json!({"event": "e", "properties": {"distinct_id": format!("p{at}"), "email": email(at), "plan": "free"}});
        let body = json!([event]).to_string();
        vault.seal(project, events_of(body.as_bytes())?, Arrival::default(), 0).await?;
        let (found, _) = vault.known_persons(project, &[format!("p{at}")]).await?;
        subjects.push(found.iter().next().context("a person")?);
    }
    subjects.try_into().ok().context("four persons")
}

/// What is moved: statements over the keys, and over the records.
struct Move {
    what: &'static str,
    keys: Vec<String>,
    vault: Vec<String>,
    /// Where the attacker then looks.
    at: usize,
}

fn moves(subjects: [SubjectNo; 4]) -> Vec<Move> {
    let place = |at: usize| format!("project = {} AND subject = {}", PROJECTS[at % 3].1.0, subjects[at].0);
    let column = |table: &str, column: &str, from: &str, to: &str| {
        format!("UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {from}) WHERE {to}")
    };
    let record = |at: usize| ["open", "personal"].map(|name| column("records", name, &place(0), &place(at))).to_vec();
    let key = |at: usize| ["key_id", "wrapped"].map(|name| column("subjects", name, &place(0), &place(at))).to_vec();
    let mut whole = vec![
        column("organisations", "wrapped", "org = 1", "org = 2"),
        column("projects", "wrapped", "project = 1", "project = 3"),
    ];
    whole.extend(key(2));
    vec![
        Move { what: "a record into another organisation", keys: vec![], vault: record(2), at: 2 },
        Move { what: "a record and its key into another organisation", keys: key(2), vault: record(2), at: 2 },
        Move { what: "with the keys of project and organisation", keys: whole, vault: record(2), at: 2 },
        Move { what: "into another project", keys: key(1), vault: record(1), at: 1 },
        Move { what: "to another person", keys: key(3), vault: record(3), at: 3 },
        Move {
            what: "what is personal to where lists look",
            keys: vec![],
            vault: vec![format!("UPDATE records SET open = personal WHERE {}", place(0))],
            at: 0,
        },
    ]
}

async fn carry_out(data: &Path, one: &Move) -> Result<()> {
    for (file, statements) in [("keys.db", &one.keys), ("vault.db", &one.vault)] {
        if statements.is_empty() {
            continue;
        }
        let url = format!("sqlite://{}", data.join(file).display());
        let mut database = SqliteConnection::connect(&url).await?;
        for statement in statements {
            let changed = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(&mut database).await?;
            ensure!(changed.rows_affected() == 1, "{}: {} rows changed", one.what, changed.rows_affected());
        }
        database.close().await?;
    }
    Ok(())
}

/// Where the victim's address is read by whoever may read one person: in what lists show, and in a disclosure.
async fn reads_victim(data: &Path, ledger: &Path, at: usize, subject: SubjectNo) -> Result<(bool, bool)> {
    // What does not open at all gives nothing away.
    let Ok(vault) = Vault::open(&Site::in_folder(data)).await else { return Ok((false, false)) };
    let (org, project) = PROJECTS[at % 3];
    let views = vault.profiles(project, &[subject]).await;
    let is_listed = views.is_ok_and(|views| {
        let mut shown = views.values().flat_map(|view| &view.properties);
        shown.any(|(_, value)| value.to_string().contains(VICTIM))
    });
    std::fs::create_dir(ledger)?;
    let seen = Arc::new(SeenFile(ledger.join("seen")));
    let log = Log::open(Options::new(&ledger.join("ledger"), &[9; 32], Arc::new(|| 1_800_000_000_000_000), seen))?;
    let ticket = log.authorise(Intent {
        org,
        project,
        // Not their ids, which stay under the keys that they were under.
        fields: FieldSet::EMPTY.with(PersonalField::Email),
        subjects: [subject.0].into_iter().collect(),
        context: Entry::of(Kind::Intent),
    })?;
    let is_disclosed = vault.disclose(ticket).await.is_ok_and(|disclosed| {
        let mut values = disclosed.subjects().iter().flat_map(|subject| subject.values());
        values.any(|(_, _, json)| json.contains(VICTIM))
    });
    Ok((is_listed, is_disclosed))
}

fn moved(stage: &Stage) -> Result<Outcome> {
    let data = stage.folder.join("data");
    std::fs::create_dir(&data)?;
    wait(async {
        let subjects = seed(&data).await?;
        // Where it belongs a disclosure shows it, and lists do not.
        let at_home = reads_victim(&data, &stage.folder.join("log"), 0, subjects[0]).await?;
        ensure!(at_home == (false, true), "the victim's address is not read as it should be: {at_home:?}");
        let (mut opened, all) = (Vec::new(), moves(subjects));
        for (number, one) in all.iter().enumerate() {
            let (copy, ledger) =
                (stage.folder.join(format!("copy{number}")), stage.folder.join(format!("log{number}")));
            copy_folder(&data, &copy)?;
            carry_out(&copy, one).await?;
            let (is_listed, is_disclosed) = reads_victim(&copy, &ledger, one.at, subjects[one.at]).await?;
            if is_listed || (is_disclosed && one.at != 0) {
                opened.push(one.what);
            }
        }
        Ok(Outcome {
            is_through: !opened.is_empty(),
            figure: format!(
                "{} of {} moves opened{}{}",
                opened.len(),
                all.len(),
                if opened.is_empty() { "" } else { ": " },
                opened.join("; ")
            ),
        })
    })?
}
