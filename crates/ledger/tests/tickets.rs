//! A ticket cannot be made, copied or used twice outside the ledger: such programs do not compile.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs, with the one error that each must have. The one beside them has none.
const REFUSED: [(&str, &str); 4] =
    [("made", "E0451"), ("issued", "E0624"), ("copied", "E0277"), ("used_twice", "E0382")];

/// A crate's libraries beside this test, newest first: it can have been built in more than one way.
fn libraries(deps: &Path, name: &str) -> Vec<PathBuf> {
    let of_crate = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.strip_prefix(&format!("lib{name}-")).is_some_and(|rest| rest.ends_with(".rlib"))
    };
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path()).filter(of_crate).collect();
    found.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().modified().unwrap()));
    found
}

/// What the compiler has to say against a program that is linked with these libraries.
fn complaints(deps: &Path, [ledger, model]: [&Path; 2], program: &str) -> Option<String> {
    let out = tempfile::tempdir().unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR"));
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]).arg(out.path());
    rustc.arg("-L").arg(format!("dependency={}", deps.display()));
    rustc.arg("--extern").arg(format!("cofferdam_ledger={}", ledger.display()));
    rustc.arg("--extern").arg(format!("cofferdam_model={}", model.display()));
    let output = rustc.arg(format!("tests/tickets/{program}.rs")).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
}

/// The codes of the errors in what the compiler says.
fn codes(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| Some(line.strip_prefix("error[")?.split_once(']')?.0)).collect()
}

#[test]
fn nobody_else_can_make_or_reuse_a_ticket() {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let (ledgers, models) = (libraries(deps, "cofferdam_ledger"), libraries(deps, "cofferdam_model"));
    let mut pairs = ledgers.iter().flat_map(|ledger| models.iter().map(move |model| [ledger.as_path(), model]));
    // A library goes with the one that it was built with.
    let pair = pairs.find(|pair| complaints(deps, *pair, "used_once").is_none()).expect("the crates were built");
    for (program, error) in REFUSED {
        let text = complaints(deps, pair, program).unwrap_or_default();
        assert_eq!(codes(&text), [error], "{program}: {text}");
    }
}
