//! Copies a folder with everything below it from one volume to another. Does I/O: files only.
//!
//! Modes and times are kept, links are copied as links, and no link is followed. The source may change meanwhile: an
//! entry that has disappeared when its turn comes was removed by its owner, and is skipped. The content of the target
//! is removed first, so that an interrupted copy can simply be repeated.

use std::fs::{self, DirEntry, File, Metadata, OpenOptions, ReadDir};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, utimensat};

/// Folder that a file system keeps for itself at the root of a volume.
const LOST: &str = "lost+found";
/// Maximum nesting of folders, because one folder is kept open for each level.
const DEPTH_MAX: usize = 512;

/// Why a tree was not copied.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// One of the two folders is inside the other.
    #[error("{from} and {to} lie in each other; nothing was done")]
    Nested {
        /// The source folder.
        from: String,
        /// The target folder.
        to: String,
    },
    /// Folders are nested too deeply.
    #[error("{0}: folders are nested more than {DEPTH_MAX} deep")]
    TooDeep(String),
    /// Something could not be read or written.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The operation that failed.
        what: &'static str,
        /// The path that it was for.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> TreeError + 'a {
    move |source| TreeError::Io { what, path: path.display().to_string(), source }
}

/// Numbers of what was copied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Folders, without the source folder itself.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes in files.
    pub bytes: u64,
    /// Sockets and pipes, which are not copied because they lead to a process, not to content.
    pub left_out: u64,
}

/// Copies everything below `from` into `to`, which must exist.
///
/// # Errors
/// [`TreeError`] naming the first path that could not be read or written.
pub fn copy_tree(from: &Path, to: &Path) -> Result<Copied, TreeError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(failed("find", path));
    let (real_from, real_to) = (real(from)?, real(to)?);
    if real_from.starts_with(&real_to) || real_to.starts_with(&real_from) {
        return Err(TreeError::Nested { from: from.display().to_string(), to: to.display().to_string() });
    }
    empty(to)?;
    let mut copied = Copied::default();
    let mut open = vec![Folder::open(from.to_owned(), to.to_owned())?];
    while let Some(folder) = open.last_mut() {
        let Some(entry) = folder.entries.next() else {
            // Finished last, because every write into a folder changes the folder's time.
            let done = open.pop();
            done.map_or(Ok(()), |folder| folder.finish())?;
            continue;
        };
        let entry = entry.map_err(failed("read", &folder.from))?;
        if open.len() == 1 && entry.file_name() == LOST {
            continue;
        }
        let target = match open.last() {
            Some(folder) => folder.to.join(entry.file_name()),
            None => continue,
        };
        if let Some(folder) = one(&entry, target, &mut copied)? {
            if open.len() >= DEPTH_MAX {
                return Err(TreeError::TooDeep(folder.from.display().to_string()));
            }
            open.push(folder);
        }
    }
    Ok(copied)
}

/// Reports on stdout what was copied.
pub fn say(copied: &Copied) {
    let Copied { files, folders, links, bytes, left_out } = copied;
    let mut text = format!("{files} files ({bytes} bytes), {folders} folders, {links} links");
    if *left_out > 0 {
        text.push_str(&format!("; {left_out} sockets or pipes left out"));
    }
    // If nobody reads stdout any more, the exit code still shows how it ended.
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// A folder whose entries are being copied.
struct Folder {
    from: PathBuf,
    to: PathBuf,
    meta: Metadata,
    entries: ReadDir,
}

impl Folder {
    fn open(from: PathBuf, to: PathBuf) -> Result<Self, TreeError> {
        let meta = fs::symlink_metadata(&from).map_err(failed("look at", &from))?;
        let entries = fs::read_dir(&from).map_err(failed("read", &from))?;
        Ok(Self { from, to, meta, entries })
    }

    fn finish(self) -> Result<(), TreeError> {
        // The root of a volume may belong to another user. Its mode is then up to the storage.
        match keep(&self.to, &self.meta) {
            Err(TreeError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(()),
            other => other,
        }
    }
}

/// Copies one entry. A folder is created and returned, so that the caller goes through it.
fn one(entry: &DirEntry, target: PathBuf, copied: &mut Copied) -> Result<Option<Folder>, TreeError> {
    let path = entry.path();
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("look at", &path)(e)),
    };
    let kind = meta.file_type();
    if kind.is_dir() {
        let folder = match Folder::open(path, target) {
            Err(TreeError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        fs::create_dir(&folder.to).map_err(failed("make", &folder.to))?;
        copied.folders += 1;
        return Ok(Some(folder));
    }
    if kind.is_symlink() {
        let leads_to = match fs::read_link(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("read the link", &path))?,
        };
        symlink(leads_to, &target).map_err(failed("make the link", &target))?;
        own(&target, &meta)?;
        times(&target, &meta)?;
        copied.links += 1;
    } else if kind.is_file() {
        copied.bytes += match file(&path, &target) {
            Err(TreeError::Io { what: "open", source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        copied.files += 1;
    } else {
        copied.left_out += 1;
    }
    Ok(None)
}

/// Copies one file and returns its size in bytes. The content comes from the file that was opened, even if its name
/// means another file by then.
fn file(path: &Path, target: &Path) -> Result<u64, TreeError> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let mut from = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed("open", path))?;
    let meta = from.metadata().map_err(failed("look at", path))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let mut to = made.map_err(failed("make", target))?;
    let bytes = io::copy(&mut from, &mut to).map_err(failed("copy to", target))?;
    if is_root() {
        fchown(&to, Some(meta.uid()), Some(meta.gid())).map_err(failed("give away", target))?;
    }
    mode(&to, &meta).map_err(failed("set the mode of", target))?;
    drop(to);
    times(target, &meta)?;
    Ok(bytes)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(of: &File, meta: &Metadata) -> io::Result<()> {
    of.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))
}

/// Only root can give files to another owner. For all other users, a copy belongs to whoever makes it.
fn own(path: &Path, meta: &Metadata) -> Result<(), TreeError> {
    if !is_root() {
        return Ok(());
    }
    lchown(path, Some(meta.uid()), Some(meta.gid())).map_err(failed("give away", path))
}

fn keep(path: &Path, meta: &Metadata) -> Result<(), TreeError> {
    own(path, meta)?;
    let permissions = fs::Permissions::from_mode(meta.mode() & 0o7777);
    fs::set_permissions(path, permissions).map_err(failed("set the mode of", path))?;
    times(path, meta)
}

fn times(path: &Path, meta: &Metadata) -> Result<(), TreeError> {
    let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: at(meta.atime(), meta.atime_nsec()),
        last_modification: at(meta.mtime(), meta.mtime_nsec()),
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed("set the time of", path)(e.into()))
}

/// Removes everything below a folder, so that nothing of an earlier attempt is left.
fn empty(folder: &Path) -> Result<(), TreeError> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let entry = entry.map_err(failed("read", folder))?;
        let path = entry.path();
        if entry.file_name() == LOST {
            continue;
        }
        let kind = entry.file_type().map_err(failed("look at", &path))?;
        let removed = if kind.is_dir() { remove_folder(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed("remove", &path))?;
    }
    Ok(())
}

/// Removes a folder with everything in it. Folders that nobody may write were copied with the original's rights, and
/// would block anyone but root for ever, so they are made writable first. Links are removed, never followed.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder)
}
