//! Values that must not stand on a command line: from a file, from standard input, or asked without an echo. Does I/O.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tenantry_core::secret::Secret;
use tenantry_plan::instance::VALUE_MAX;

use crate::error::Problem;
use crate::session::Session;

/// Most bytes that are read: a character has four at most, and one line's end is taken off.
const BYTES_MAX: u64 = VALUE_MAX as u64 * 4 + 2;

/// `KEY=PATH`.
pub fn path(text: &str) -> Result<(String, PathBuf), String> {
    let (key, path) = crate::args::pair(text).map_err(|_| format!("{text:?} is not KEY=PATH"))?;
    Ok((key, path.into()))
}

/// The value in a file.
pub fn from_file(path: &Path) -> Result<Secret, Problem> {
    let unreadable = |why: String| Problem::failed(format!("cannot read {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
    read(file).map_err(unreadable)
}

/// The value on standard input; a person at a terminal is asked, and does not see what they type.
pub async fn from_stdin(session: &Session, key: &str) -> Result<Secret, Problem> {
    let cannot = |why: String| Problem::failed(format!("cannot read {key}: {why}")).safe("nothing was changed");
    // The terminal is restored when this is dropped, also when the person leaves with Ctrl-C.
    let quiet = std::io::stdin().is_terminal().then(Quiet::begin).flatten();
    if quiet.is_some() {
        session.out.ask(&format!("{key} (is not shown): "));
    }
    let asks = quiet.is_some();
    let got = tokio::task::spawn_blocking(move || {
        if !asks {
            return read(std::io::stdin());
        }
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(|e| e.to_string())?;
        checked(line)
    });
    let got = got.await;
    if quiet.is_some() {
        session.out.note("");
    }
    got.map_err(|e| cannot(e.to_string()))?.map_err(cannot)
}

fn read(source: impl Read) -> Result<Secret, String> {
    let mut text = String::new();
    source.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    checked(text)
}

/// The text without the one line's end that editors and `echo` add.
fn checked(text: String) -> Result<Secret, String> {
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    match text.chars().count() {
        0 => Err("there is nothing; `unset` takes a setting back".into()),
        n if n > VALUE_MAX => Err(format!("it is longer than {VALUE_MAX} characters")),
        _ => Ok(Secret::new(text)),
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that went away needs no reset.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lines_end_is_taken_off_and_too_much_or_nothing_is_refused() {
        let value = |text: &str| read(text.as_bytes()).map(|s| s.reveal().to_owned());
        assert_eq!(value("hunter22\n"), Ok("hunter22".into()));
        assert_eq!(value("hunter22\r\n"), Ok("hunter22".into()));
        assert_eq!(value(" a\n\n"), Ok(" a\n".into()), "only one");
        assert_eq!(value(&"ă".repeat(1_000)), Ok("ă".repeat(1_000)));
        assert!(value("\n").is_err() && value("").is_err());
        assert!(value(&"a".repeat(1_001)).is_err() && value(&"😀".repeat(2_000)).is_err());
        assert!(read(&[0xff, 0xfe][..]).is_err(), "no text");
    }
}
