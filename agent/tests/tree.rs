//! Copies a real tree with the real agent. Does I/O.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use common::{AGENT, Folder};

fn copy(from: &Path, to: &Path) -> Output {
    Command::new(AGENT).args(["copy-tree", "--from"]).arg(from).arg("--to").arg(to).output().unwrap()
}

fn old(path: &Path) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(path).unwrap().set_modified(then).unwrap();
}

/// A tree with everything that a volume can hold.
fn tree(folder: &Folder) -> (std::path::PathBuf, std::path::PathBuf) {
    let (from, to) = (folder.path("from"), folder.path("to"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::create_dir_all(from.join("lost+found")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("a/b/file"), "content").unwrap();
    fs::write(from.join("lost+found/x"), "the file system's").unwrap();
    fs::set_permissions(from.join("a/b/file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("/etc/passwd", from.join("a/outside")).unwrap();
    symlink("b/file", from.join("a/inside")).unwrap();
    old(&from.join("a/b/file"));
    old(&from.join("a/b"));
    fs::set_permissions(from.join("a/b"), fs::Permissions::from_mode(0o750)).unwrap();
    (from, to)
}

#[test]
fn a_tree_is_copied_with_modes_times_and_links_as_they_are() {
    let folder = Folder::new();
    let (from, to) = tree(&folder);
    let _listens = UnixListener::bind(from.join("socket")).unwrap();
    let done = copy(&from, &to);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(said, "1 files (7 bytes), 2 folders, 2 links; 1 sockets or pipes left out\n");
    assert_eq!(fs::read_to_string(to.join("a/b/file")).unwrap(), "content");
    for path in ["a/b/file", "a/b"] {
        let (a, b) = (fs::metadata(from.join(path)).unwrap(), fs::metadata(to.join(path)).unwrap());
        assert_eq!((a.mode(), a.mtime(), a.mtime_nsec()), (b.mode(), b.mtime(), b.mtime_nsec()), "{path}");
    }
    assert_eq!(fs::read_link(to.join("a/outside")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_link(to.join("a/inside")).unwrap(), Path::new("b/file"));
    assert!(!to.join("lost+found").exists() && !to.join("socket").exists());
}

#[test]
fn what_an_earlier_try_left_is_gone_after_the_next() {
    let folder = Folder::new();
    let (from, to) = tree(&folder);
    fs::create_dir_all(to.join("a/half")).unwrap();
    fs::write(to.join("a/half/made"), "x").unwrap();
    // A link of the target is taken away, not what it leads to.
    fs::write(folder.path("kept"), "kept").unwrap();
    symlink(folder.path("kept"), to.join("link")).unwrap();
    for _ in 0..2 {
        let done = copy(&from, &to);
        assert!(done.status.success(), "{done:?}");
        assert!(!to.join("a/half").exists() && fs::symlink_metadata(to.join("link")).is_err());
        assert_eq!(fs::read_to_string(folder.path("kept")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(to.join("a/b/file")).unwrap(), "content");
    }
    assert_eq!(fs::read_to_string(from.join("a/b/file")).unwrap(), "content", "the original is only read");
}

#[test]
fn folders_that_nobody_may_write_are_copied_and_hold_up_no_later_try() {
    let folder = Folder::open();
    let (from, to) = tree(&folder);
    fs::set_permissions(from.join("a/b"), fs::Permissions::from_mode(0o555)).unwrap();
    let agent = folder.path("agent");
    fs::copy(AGENT, &agent).unwrap();
    for _ in 0..2 {
        let done = as_nobody(&folder, &agent, &from, &to);
        assert!(done.status.success(), "{done:?}");
        assert_eq!(fs::metadata(to.join("a/b")).unwrap().mode() & 0o777, 0o555);
    }
    for made in [&from, &to] {
        fs::set_permissions(made.join("a/b"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Copies as a user who may not do everything; as this one when it is not root.
fn as_nobody(folder: &Folder, agent: &Path, from: &Path, to: &Path) -> Output {
    let mut command = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let given = Command::new("chown").args(["-R", "65534:65534"]).arg(&folder.0).status().unwrap();
        assert!(given.success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(agent);
        command
    } else {
        Command::new(agent)
    };
    command.args(["copy-tree", "--from"]).arg(from).arg("--to").arg(to).output().unwrap()
}

#[test]
fn folders_that_lie_in_each_other_are_refused_and_nothing_is_done() {
    let folder = Folder::new();
    let (from, _) = tree(&folder);
    symlink(&from, folder.path("same")).unwrap();
    for (a, b) in [(from.clone(), from.join("a")), (from.join("a"), from.clone()), (from.clone(), folder.path("same"))]
    {
        let done = copy(&a, &b);
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        assert!(String::from_utf8(done.stderr).unwrap().contains("lie in each other"));
        assert!(from.join("a/b/file").exists());
    }
    let done = copy(&from, &folder.path("nowhere"));
    assert!(String::from_utf8(done.stderr).unwrap().contains("nowhere"), "the path is named");
}
