//! `cofferdam organisation`: further organisations on one server, for whoever runs it. Each has its own keys, members
//! and projects, and knows nothing of the others.

use std::process::ExitCode;

use clap::Subcommand;
use cofferdam_model::OrgId;

use crate::control::{Ask, ask};
use crate::say;
use crate::serve::Stopped;

#[derive(Subcommand)]
pub(crate) enum OrganisationCommand {
    /// Make an organisation, and print the code with which its first member joins
    Create {
        name: String,
        #[command(flatten)]
        place: Box<Stopped>,
    },
}

pub(crate) async fn run(command: OrganisationCommand) -> anyhow::Result<ExitCode> {
    let OrganisationCommand::Create { name, place } = command;
    let request = Ask::CreateOrganisation { name: name.clone() };
    if let Some(text) = ask(&place.home.data, &request)? {
        say(&text);
        return Ok(ExitCode::SUCCESS);
    }
    let engine = place.open().await?;
    let (org, code) = engine.create_organisation(&name).await?;
    say(&told(org, &code));
    Ok(ExitCode::SUCCESS)
}

/// For whoever asked. The code works once.
pub(crate) fn told(org: OrgId, code: &str) -> String {
    format!("organisation {org} is made; its first member joins at /join within three days with the code\n{code}")
}
