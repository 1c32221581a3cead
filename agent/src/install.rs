//! Copies the running program to a place where another container can run it. Does I/O.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The program itself, which is readable here even if its path is not.
const OWN: &str = "/proc/self/exe";
/// Name of the copy.
const NAME: &str = "tenantry-agent";

/// Why the program was not copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct InstallError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Copies the running program to `dir/tenantry-agent`, mode 0755. At any moment a reader sees either the old file or
/// the complete new one.
pub fn install_to(dir: &Path) -> Result<(), InstallError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError { what, path, source }
    };
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let part = dir.join(format!(".{NAME}.{}", std::process::id()));
    let done = write(&part).map_err(failed("write", &part)).and_then(|()| {
        let whole = dir.join(NAME);
        fs::rename(&part, &whole).map_err(failed("rename to", &whole))
    });
    if done.is_err() {
        // Best effort, because the error to report is the first one.
        let _ = fs::remove_file(&part);
    }
    done
}

fn write(part: &Path) -> io::Result<()> {
    let mut from = File::open(OWN)?;
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(part)?;
    io::copy(&mut from, &mut to)?;
    // The umask may have removed bits of the mode.
    to.set_permissions(fs::Permissions::from_mode(0o755))?;
    to.sync_all()
}
