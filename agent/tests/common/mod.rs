//! Runs the real agent with files in a folder of the test's own. Does I/O.
#![allow(dead_code)]

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

pub const AGENT: &str = env!("CARGO_BIN_EXE_tenantry-agent");

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        Self::below(env!("CARGO_TARGET_TMPDIR").into())
    }

    fn below(place: PathBuf) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = place.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One that every user reaches, wherever the build lies.
    pub fn open() -> Self {
        Self::below(std::env::temp_dir())
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn agent(folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    let log = folder.path("termination.log");
    command.args(args).arg("--termination-log").arg(log).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn reports(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// Messages of one step's output, or of one event.
pub fn messages(reports: &[Value], event: &str) -> Vec<String> {
    reports.iter().filter(|r| r["event"] == event).map(|r| r["message"].as_str().unwrap_or("").to_owned()).collect()
}

pub fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(done.success());
}

pub fn finish(mut child: Child) -> Output {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status: child.wait().unwrap(), stdout, stderr }
}

/// Waits until something holds; a minute is long enough for any machine.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never: {what}");
}

/// Whether a process runs; a zombie does not.
pub fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
