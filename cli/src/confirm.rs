//! Asks for the name before something that cannot be taken back lightly. Does I/O.

use crate::archive::living::Living;
use crate::args::{Confirm, ConfirmAll, DryRun, Targets};
use crate::error::{Exit, Problem};
use crate::output::Out;
use crate::output::text::{count, some};
use crate::session::Session;

/// How many names a question lists.
const NAMED: usize = 12;

/// Makes sure that the person wrote every name once more. `act` is what will happen, for example `archive`.
pub async fn names(out: &Out, act: &str, names: &[String], given: &Confirm) -> Result<(), Problem> {
    let words: Vec<Vec<String>> = names.iter().map(|n| vec![n.clone()]).collect();
    self::words(out, act, &words, given).await
}

/// As [`names`], for things with several names: any of them is accepted, and the first is asked for.
pub async fn words(out: &Out, act: &str, all: &[Vec<String>], given: &Confirm) -> Result<(), Problem> {
    let open = open(act, all, &given.confirm)?;
    if open.is_empty() {
        return Ok(());
    }
    if !out.asks {
        let wanted: Vec<String> = open.iter().map(|w| format!("--confirm {}", first(w))).collect();
        return Err(Problem::usage(format!("to {act} needs the name once more, and nobody can be asked here"))
            .safe("nothing was changed")
            .why(format!("add {}", wanted.join(" "))));
    }
    for words in open {
        let name = first(words);
        out.ask(&format!("To {act} {name}, type its name: "));
        let typed = read_line().await?;
        if !words.iter().any(|w| w == typed.trim()) {
            return Err(Problem {
                exit: Exit::FAILED,
                ..Problem::failed(format!("{:?} is not {name:?}", typed.trim())).safe("nothing was changed")
            });
        }
    }
    Ok(())
}

/// The things that are not confirmed yet. A confirmation for something else is refused.
fn open<'a>(act: &str, all: &'a [Vec<String>], confirmed: &[String]) -> Result<Vec<&'a Vec<String>>, Problem> {
    if let Some(other) = confirmed.iter().find(|c| !all.iter().any(|w| w.contains(c))) {
        let names: Vec<&str> = all.iter().map(|w| first(w)).collect();
        return Err(Problem::usage(format!(
            "--confirm {other} names something else: to {act} is {}",
            names.join(", ")
        ))
        .safe("nothing was changed"));
    }
    Ok(all.iter().filter(|w| !w.iter().any(|n| confirmed.contains(n))).collect())
}

fn first(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

/// Makes sure that `--all` is meant, before a command changes everything that exists. A dry run changes nothing, so it
/// does not ask. `act` is what will happen, for example `suspend`.
pub async fn every<K: Living>(
    session: &Session,
    act: &str,
    targets: &Targets,
    dry: DryRun,
    all: &[K],
    given: &ConfirmAll,
) -> Result<(), Problem> {
    if !is_asked(targets, dry, given) {
        return Ok(());
    }
    let names: Vec<String> = all.iter().map(K::address).collect();
    let what = format!("all {}: {}", count(all.len(), K::WORD), some(&names, NAMED));
    if !session.out.asks {
        return Err(Problem::usage(format!(
            "to {act} {what}, the word is needed once more, and nobody can be asked here"
        ))
        .safe("nothing was changed")
        .why("add --confirm all, or --dry-run to look"));
    }
    session.out.ask(&format!("To {act} {what}, type all: "));
    let typed = read_line().await?;
    if typed.trim() == "all" {
        return Ok(());
    }
    Err(Problem::failed(format!("{:?} is not \"all\"", typed.trim())).safe("nothing was changed"))
}

/// Whether the word must still be given.
fn is_asked(targets: &Targets, dry: DryRun, given: &ConfirmAll) -> bool {
    targets.all && !dry.dry_run && given.confirm.is_none()
}

/// One line that a person types; empty at the end of the input.
pub async fn read_line() -> Result<String, Problem> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    match read.await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(e)) => Err(Problem::failed(format!("cannot read the answer: {e}")).safe("nothing was changed")),
        Err(e) => Err(Problem::failed(format!("cannot read the answer: {e}")).safe("nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_asked_for_once_more_and_only_where_something_changes() {
        let asked = |all, dry_run, confirm: Option<&str>| {
            let targets = Targets { all, ..Targets::default() };
            is_asked(&targets, DryRun { dry_run }, &ConfirmAll { confirm: confirm.map(str::to_owned) })
        };
        assert!(asked(true, false, None));
        assert!(!asked(true, true, None) && !asked(false, false, None) && !asked(true, false, Some("all")));
    }

    #[test]
    fn every_name_must_be_confirmed_and_no_other() {
        let names = [vec!["acme".to_owned()], vec!["beta".to_owned(), "kbbbbbbbbb-1".to_owned()]];
        let open = |c: &[&str]| {
            let c: Vec<String> = c.iter().map(|c| (*c).to_owned()).collect();
            super::open("archive", &names, &c).map(|o| o.len())
        };
        assert_eq!(open(&["kbbbbbbbbb-1"]), Ok(1));
        assert_eq!(open(&["acme", "kbbbbbbbbb-1"]), Ok(0));
        assert_eq!(open(&[]), Ok(2));
        assert_eq!(open(&["acme"]), Ok(1));
        assert_eq!(open(&["acme", "beta"]), Ok(0));
        assert_eq!(open(&["gamma"]).unwrap_err().exit, Exit::USAGE);
    }
}
