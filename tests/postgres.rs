//! A PostgreSQL server for the process that runs the tests: Debian's programs on a temporary folder, reached over a
//! socket in it, told to stop when the process ends. Each test takes a database of its own.
//!
//! A file rather than a crate: the tests of several crates include it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The address of a fresh database. Without PostgreSQL's programs it says so loudly, and counts it as a skip of
/// `what` where the caller of the tests asked for that.
pub(crate) fn database(what: &str) -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let Some(server) = SERVER.get_or_init(Server::start) else {
        use std::io::Write;
        let line = format!("SKIPPED: {what}: no PostgreSQL");
        eprintln!("{line}");
        if let Ok(path) = std::env::var("COFFERDAM_SKIPS").map(PathBuf::from)
            && !path.as_os_str().is_empty()
        {
            let mut file = std::fs::File::options().create(true).append(true).open(path).expect("the list of skips");
            writeln!(file, "{line}").expect("a line in the list of skips");
        }
        return None;
    };
    Some(server.new_database())
}

struct Server {
    bin: PathBuf,
    folder: PathBuf,
    /// Its standard input is never closed by us: it closes when the process ends.
    _shell: Child,
}

impl Server {
    fn start() -> Option<Server> {
        let bin = programs()?;
        let folder = tempfile::Builder::new().prefix("cofferdam-pg-").tempdir().expect("a temporary folder").keep();
        let data = folder.join("data");
        // The server refuses to run as root.
        let as_user: &[&str] = if is_root() {
            run(Command::new("chown").arg("nobody").arg(&folder));
            &["setpriv", "--reuid=nobody", "--clear-groups"]
        } else {
            &["env"]
        };
        let program = |name: &str| {
            let mut command = Command::new(as_user[0]);
            command.args(&as_user[1..]).arg(bin.join(name)).current_dir(&folder);
            command
        };
        run(program("initdb")
            .args(["--username=cofferdam", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(&data));
        // The shell's input ends when this process does, however it ends; then the server and its folder go.
        let script = "\"$@\" </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait $server; rm -rf \"$PWD\"";
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).args(as_user).arg(bin.join("postgres")).arg("-D").arg(&data);
        // What a power cut would lose is not what these tests are about.
        for setting in ["listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=50"] {
            shell.args(["-c", setting]);
        }
        shell.arg("-k").arg(&folder).current_dir(&folder).stdin(Stdio::piped());
        shell.stdout(log.try_clone().expect("a file")).stderr(log);
        let server = Server { bin, folder, _shell: shell.spawn().expect("a shell") };
        let end = Instant::now() + Duration::from_secs(60);
        while !server.client("pg_isready").output().is_ok_and(|output| output.status.success()) {
            assert!(Instant::now() < end, "PostgreSQL did not start: {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.arg("--host").arg(&self.folder).arg("--username=cofferdam");
        command
    }

    fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(self.client("createdb").arg(&name));
        format!("postgres://cofferdam@localhost/{name}?host={}", self.folder.display())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// Where `initdb` is: Debian keeps it off the path, one folder a version.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
