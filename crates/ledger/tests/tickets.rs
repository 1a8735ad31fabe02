//! A ticket cannot be made, copied or used twice outside the ledger: such programs do not compile.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs, with the one error that each must have, or none.
const PROGRAMS: [(&str, Option<&str>); 5] = [
    ("made", Some("E0451")),
    ("issued", Some("E0624")),
    ("copied", Some("E0277")),
    ("used_twice", Some("E0382")),
    ("used_once", None),
];

/// The newest of a crate's libraries beside this test, which was built with them.
fn library(deps: &Path, name: &str) -> PathBuf {
    let of_crate = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.strip_prefix(&format!("lib{name}-")).is_some_and(|rest| rest.ends_with(".rlib"))
    };
    let found = std::fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path()).filter(of_crate);
    found.max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap()).expect("the crate was built")
}

/// The codes of the errors that a program has.
fn errors(name: &str) -> Vec<String> {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR"));
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]).arg(out.path());
    rustc.arg("-L").arg(format!("dependency={}", deps.display()));
    for name in ["cofferdam_ledger", "cofferdam_model"] {
        rustc.arg("--extern").arg(format!("{name}={}", library(deps, name).display()));
    }
    let output = rustc.arg(format!("tests/tickets/{name}.rs")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let codes = text.lines().filter_map(|line| line.strip_prefix("error[")?.split_once(']'));
    let codes: Vec<String> = codes.map(|(code, _)| code.to_owned()).collect();
    assert_eq!(output.status.success(), codes.is_empty(), "{text}");
    codes
}

#[test]
fn nobody_else_can_make_or_reuse_a_ticket() {
    for (name, error) in PROGRAMS {
        assert_eq!(errors(name), Vec::from_iter(error), "{name}");
    }
}
