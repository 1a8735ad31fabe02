//! Disclosure over the API: asked for, approved, run as a download, proved; one field of one person; limits that
//! tripped. And `cofferdam export`: verifying a download and its proof without us.
//!
//! A factor is shown for the hash of exactly the request, in the same call. What leaves is never kept by a cache and is
//! never a file here.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{Context as Hash, SHA256};
use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use clap::{Args, Subcommand};
use cofferdam_engine::{
    Disclosure, DisclosurePlan, DisclosureRequest, Engine, Purpose, Revealed, Trip,
};
use cofferdam_ledger::export::ExportProof;
use cofferdam_ledger::note::VerifierKey;
use cofferdam_model::PersonalField;
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Of, Result};
use crate::say;

pub(crate) fn router() -> OpenApiRouter<Arc<Engine>> {
    OpenApiRouter::new()
        .routes(routes!(plan_disclosure))
        .routes(routes!(request_disclosure))
        .routes(routes!(list_disclosures))
        .routes(routes!(get_disclosure, withdraw_disclosure))
        .routes(routes!(approve_disclosure))
        .routes(routes!(deny_disclosure))
        .routes(routes!(run_disclosure))
        .routes(routes!(get_export_proof))
        .routes(routes!(reveal))
        .routes(routes!(list_trips))
        .routes(routes!(close_trip))
}
