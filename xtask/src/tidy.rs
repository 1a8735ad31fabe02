//! What a machine can judge of the house: that arrows point down, that no marks of unfinished work are left, and
//! that the map names files that exist.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Which of our crates each may name. `lake` and `query` cannot name `vault`: what holds plaintext is not among
/// their dependencies, however indirect.
const MAY_NAME: [(&str, &[&str]); 14] = [
    ("cofferdam-model", &[]),
    ("cofferdam-ledger", &["cofferdam-model"]),
    ("cofferdam-exposure", &["cofferdam-model", "cofferdam-ledger"]),
    ("cofferdam-lake", &["cofferdam-model"]),
    ("cofferdam-query", &["cofferdam-model", "cofferdam-lake"]),
    ("cofferdam-vault", &["cofferdam-model", "cofferdam-ledger"]),
    ("cofferdam-notice", &["cofferdam-model"]),
    (
        "cofferdam-engine",
        &[
            "cofferdam-model",
            "cofferdam-ledger",
            "cofferdam-exposure",
            "cofferdam-lake",
            "cofferdam-query",
            "cofferdam-vault",
            "cofferdam-notice",
        ],
    ),
    ("cofferdam-sim", &["cofferdam-model", "cofferdam-lake", "cofferdam-query"]),
    ("cofferdam-drill", &[]),
    ("cofferdam", &["cofferdam-model", "cofferdam-ledger", "cofferdam-engine", "cofferdam-drill"]),
    (
        "cofferdam-attack",
        &[
            "cofferdam-model",
            "cofferdam-ledger",
            "cofferdam-exposure",
            "cofferdam-vault",
            "cofferdam-notice",
            "cofferdam-engine",
        ],
    ),
    (
        "cofferdam-bench",
        &[
            "cofferdam-model",
            "cofferdam-ledger",
            "cofferdam-exposure",
            "cofferdam-lake",
            "cofferdam-query",
            "cofferdam-vault",
            "cofferdam-engine",
        ],
    ),
    ("xtask", &[]),
];

pub(crate) fn run(root: &Path) -> Result<()> {
    println!("\n==> tidy");
    let mut wrong = edges(root)?;
    wrong.extend(marks(root)?);
    wrong.extend(map(root)?);
    if !wrong.is_empty() {
        bail!("tidy:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn edges(root: &Path) -> Result<Vec<String>> {
    let output =
        Command::new("cargo").args(["metadata", "--format-version=1", "--no-deps"]).current_dir(root).output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.into_iter().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the list of crates: say in xtask/src/tidy.rs what it may name"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let ours = other == "cofferdam" || other.starts_with("cofferdam-");
            if ours && dependency["kind"].is_null() && !allowed.contains(&other) {
                wrong.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    Ok(wrong)
}

/// Files of ours, as git knows them.
fn files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).filter(|file| root.join(file).is_file()).collect())
}

fn marks(root: &Path) -> Result<Vec<String>> {
    // Spelled so that this file does not find itself.
    let forbidden = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
        concat!("test.on", "ly("),
        concat!("test.sk", "ip("),
    ];
    let mut wrong = Vec::new();
    for file in files(root)? {
        let ours = file.ends_with(".rs") || file.ends_with(".ts") || file.ends_with(".tsx") || file.ends_with(".py");
        if !ours || file.contains(".gen.") {
            continue;
        }
        let text = std::fs::read_to_string(root.join(&file))?;
        for (number, line) in text.lines().enumerate() {
            if let Some(mark) = forbidden.iter().find(|mark| line.contains(**mark)) {
                wrong.push(format!("{file}:{}: {mark}", number + 1));
            }
        }
        if file.ends_with(".rs") && file.contains("/src/") && !text.starts_with("//!") {
            wrong.push(format!("{file}: begins without saying what it is for (`//!`)"));
        }
    }
    Ok(wrong)
}

/// Every path that docs/ARCHITECTURE.md names in backticks exists.
fn map(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).context("docs/ARCHITECTURE.md is missing")?;
    let mut wrong = Vec::new();
    for name in text.split('`').skip(1).step_by(2) {
        let path = name.split(':').next().unwrap_or(name);
        let looks_like_a_path = (path.starts_with("crates/")
            || path.starts_with("web/")
            || path.starts_with("docs/")
            || path.starts_with("xtask/"))
            && !path.contains([' ', '*', '{']);
        if looks_like_a_path && !root.join(path).exists() {
            wrong.push(format!("docs/ARCHITECTURE.md names {path}, which does not exist"));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        super::run(&super::super::root()).unwrap();
    }
}
