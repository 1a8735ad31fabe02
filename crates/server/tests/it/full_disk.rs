//! A full disk under the log: what was acknowledged stays, what is refused is refused whole and said so, and with room
//! again the server goes on, and starts again, as if nothing had been.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{Server, now_ms, skip};

/// A small file system on a folder, as long as it is held.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(folder: &Path) -> Option<SmallDisk<'_>> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(SmallDisk(folder))
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.0).status();
        assert!(grown.expect("mount runs").success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the server may still have its files open when a test fails.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_whole_batches_and_loses_none() {
    let mut server = Server::start();
    server.stop();
    let log = server.data().join("lake/wal");
    let Some(disk) = SmallDisk::mount(&log) else {
        return skip("a full disk: mounting a small file system needs root");
    };
    server.start_again();

    let mut acknowledged = 0;
    let mut refused = 0;
    let mut send = |server: &Server| {
        let batch: Vec<Value> = (0..200)
            .map(|index| server.event("Filled", now_ms(), &format!("p{index}"), json!({"padding": "x".repeat(250)})))
            .collect();
        let reply = server
            .request("POST", "/import?strict=1")
            .basic(&server.project.token, "")
            .json(&Value::from(batch))
            .send();
        match reply.status {
            200 => acknowledged += 200,
            503 => {
                assert_eq!(reply.header("retry-after"), Some("1"));
                refused += 1;
            }
            other => panic!("{other}: {}", reply.text()),
        }
        (acknowledged, refused)
    };
    while send(&server).1 < 5 {}
    let (kept, _) = send(&server);
    assert!(kept > 0);
    assert_eq!(server.total("Filled"), kept, "acknowledged, no more and no less");
    server.balanced_outcomes();

    disk.grow();
    for _ in 0..3 {
        send(&server);
    }
    let (all, refusals) = send(&server);
    assert_eq!((all, refusals), (kept + 800, 6), "with room again it goes on");
    assert_eq!(server.total("Filled"), all);
    server.kill();
    server.start_again();
    assert_eq!(server.total("Filled"), all, "after kill -9");
    server.kill();
}
