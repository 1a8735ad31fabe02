//! The ledger from outside: its commands on a real folder, and a witness over HTTP.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{Server, binary};

fn run(arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = binary().args(arguments).current_dir(folder).output().expect("the program runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text.trim().to_owned())
}

fn told(arguments: &[&str], folder: &Path) -> String {
    let (is_right, text) = run(arguments, folder);
    assert!(is_right, "{arguments:?}: {text}");
    text
}

#[test]
fn what_the_ledger_has_is_verified_and_proved_with_its_key_alone() {
    let mut server = Server::start();
    server.create_project("Second", "simplified");
    server.stop();
    let scratch = server.scratch("");
    let key = told(&["ledger", "key", "--data", "data"], &scratch);
    let key = key.as_str();
    std::fs::copy(scratch.join("data/ledger/checkpoint"), scratch.join("old")).expect("a checkpoint");
    server.start_again();
    server.create_project("Third", "simplified");
    server.stop();
    // A copy of the ledger and nothing else.
    let copied = Command::new("cp").args(["-a", "data/ledger", "copy"]).current_dir(&scratch).status();
    assert!(copied.expect("cp runs").success());
    let whole = ["ledger", "verify", "--folder", "copy", "--key", key];
    assert!(told(&whole, &scratch).contains(" entries under the signed checkpoint, 0 after it"));
    told(&["ledger", "prove", "1", "--folder", "copy", "--key", key, "--out", "proof"], &scratch);
    let proof = ["ledger", "verify", "--key", key, "--proof", "proof", "--entry", "1"];
    assert!(told(&proof, &scratch).starts_with("entry 1 of "));
    assert!(!run(&["ledger", "verify", "--key", key, "--proof", "proof", "--entry", "2"], &scratch).0);
    let newer = ["ledger", "verify", "--folder", "copy", "--key", key, "--consistency", "old", "copy/checkpoint"];
    told(&newer, &scratch);
    assert!(!run(&["ledger", "verify", "--folder", "copy", "--key", key, "--entry", "99"], &scratch).0);
    // Changed, it is named; and another key proves nothing.
    let bundle = std::fs::read_dir(scratch.join("copy/tile/entries/000.p")).expect("a partial bundle");
    for file in bundle {
        let path = file.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("a bundle");
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(path, bytes).expect("written");
    }
    let (is_right, text) = run(&whole, &scratch);
    assert!(!is_right && text.contains("is not the one that was signed"), "{text}");
    server.start_again();
}

/// A witness that runs as long as it is held.
struct Witness(Child);

impl Witness {
    /// With its address and key.
    fn start(folder: &Path, log_key: &str) -> (Witness, String, String) {
        let mut child = binary()
            .args([
                "witness",
                "--listen",
                "127.0.0.1:0",
                "--key",
                "witness.key",
                "--folder",
                "witness",
                "--log",
                log_key,
            ])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the witness starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut line = || lines.next().expect("a line").expect("text");
        let url = line().split_once("listening on ").expect("an address").1.to_owned();
        let key = line().split_once("key ").expect("a key").1.to_owned();
        (Witness(child), url, key)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_witness_over_http_signs_checkpoints_and_stops_a_folder_that_was_rolled_back_whole() {
    let mut server = Server::start();
    server.stop();
    let scratch = server.scratch("");
    let key = told(&["ledger", "key", "--data", "data"], &scratch);
    let (_witness, url, witness_key) = Witness::start(&scratch, &key);
    server.with_more(&["--witness", &format!("{url} {witness_key}")]);
    let copied = Command::new("cp").args(["-a", "data", "yesterday"]).current_dir(&scratch).status();
    assert!(copied.expect("cp runs").success());
    server.start_again();
    server.create_project("Seen", "simplified");
    let started = Instant::now();
    let checkpoint =
        |data: &str| std::fs::read_to_string(scratch.join(data).join("ledger/checkpoint")).expect("a checkpoint");
    let size = |note: &str| note.lines().nth(1).and_then(|size| size.parse::<u64>().ok()).expect("a size");
    let before = size(&checkpoint("yesterday"));
    // Signed by the witness, and with the project in it.
    while !checkpoint("data").contains("cofferdam.local/witness ") || size(&checkpoint("data")) == before {
        assert!(started.elapsed() < Duration::from_secs(30), "{}", checkpoint("data"));
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
    std::fs::rename(scratch.join("data"), scratch.join("today")).expect("renamed");
    std::fs::rename(scratch.join("yesterday"), scratch.join("data")).expect("renamed");
    let witness = format!("{url} {witness_key}");
    let serve = ["serve", "--data", "data", "--listen", "127.0.0.1:0", "--witness", &witness];
    let program = binary();
    let mut command = Command::new("timeout");
    command.arg("60").arg(program.get_program()).args(serve).current_dir(&scratch);
    let output = command.env("COFFERDAM_SETUP_CODE", "not-asked-for").output().expect("timeout runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("rolled back"), "{text}");
    std::fs::rename(scratch.join("data"), scratch.join("yesterday")).expect("renamed");
    std::fs::rename(scratch.join("today"), scratch.join("data")).expect("renamed");
    server.start_again();
}
