//! Asks for the name before something that cannot be taken back lightly. Does I/O.

use crate::args::Confirm;
use crate::error::{Exit, Problem};
use crate::output::Out;

/// Makes sure that every name was written once more. `act` is what will happen, for example `archive`.
pub async fn names(out: &Out, act: &str, names: &[String], given: &Confirm) -> Result<(), Problem> {
    let open = open(act, names, &given.confirm)?;
    if open.is_empty() {
        return Ok(());
    }
    if !out.asks {
        let wanted: Vec<String> = open.iter().map(|n| format!("--confirm {n}")).collect();
        return Err(Problem::usage(format!("to {act} needs the name once more, and nobody can be asked here"))
            .safe("nothing was changed")
            .why(format!("add {}", wanted.join(" "))));
    }
    for name in open {
        out.ask(&format!("To {act} {name}, type its name: "));
        let typed = read_line().await?;
        if typed.trim() != name {
            return Err(Problem {
                exit: Exit::FAILED,
                ..Problem::failed(format!("{:?} is not {name:?}", typed.trim())).safe("nothing was changed")
            });
        }
    }
    Ok(())
}

/// The names that were not confirmed yet. A confirmation for something else is refused.
fn open<'a>(act: &str, names: &'a [String], confirmed: &[String]) -> Result<Vec<&'a String>, Problem> {
    if let Some(other) = confirmed.iter().find(|c| !names.contains(c)) {
        return Err(Problem::usage(format!(
            "--confirm {other} names something else: to {act} is {}",
            names.join(", ")
        ))
        .safe("nothing was changed"));
    }
    Ok(names.iter().filter(|n| !confirmed.contains(n)).collect())
}

/// One line of what a person types; empty at the end of the input.
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
    fn every_name_must_be_confirmed_and_no_other() {
        let names = vec!["acme".to_owned(), "beta".to_owned()];
        let open = |c: &[&str]| {
            let c: Vec<String> = c.iter().map(|c| (*c).to_owned()).collect();
            super::open("archive", &names, &c).map(|o| o.len())
        };
        assert_eq!(open(&[]), Ok(2));
        assert_eq!(open(&["acme"]), Ok(1));
        assert_eq!(open(&["acme", "beta"]), Ok(0));
        assert_eq!(open(&["gamma"]).unwrap_err().exit, Exit::USAGE);
    }
}
