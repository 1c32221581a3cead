//! `tenantry blueprint sweep`: takes away what tests of blueprints left, on purpose or because the program was killed.
//! Does I/O; deciding which things belong to a test is pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_core::id::Id;

use super::traces::{LABEL_TEST, Traces, kept};
use super::world::{PREFIX, name_of};
use crate::archive::keep::phase;
use crate::args::{Confirm, DryRun, time};
use crate::confirm;
use crate::error::{Exit, Problem};
use crate::output::text::{age, some};
use crate::progress::Progress;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of tests: bptest-...
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all", add = crate::completion::blueprints())]
    pub names: Vec<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub sure: Confirm,
    /// Longest time of each step, such as archiving
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time)]
    pub timeout: Duration,
    #[command(flatten)]
    pub dry: DryRun,
}

/// Something that may belong to a test.
struct Thing {
    word: &'static str,
    /// The thing's own name; for an archive, the name of the archived tenant.
    name: String,
    /// The test's id, from the thing's label or from the archive.
    id: String,
    made: Option<Timestamp>,
}

/// What a test left.
#[derive(Debug, PartialEq)]
struct Left {
    id: Id,
    things: Vec<&'static str>,
    newest: Option<Timestamp>,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let mut tests = tests(things(session).await?);
    if !args.all {
        for name in &args.names {
            if !tests.contains_key(name) {
                let there: Vec<String> = tests.keys().cloned().collect();
                let there = if there.is_empty() { "no test left anything".into() } else { some(&there, 10) };
                return Err(Problem::not_found(format!("no test named {name} left anything")).why(there));
            }
        }
        tests.retain(|name, _| args.names.contains(name));
    }
    let names: Vec<String> = tests.keys().cloned().collect();
    for (name, left) in &tests {
        session.out.note(&format!("  {}", line(name, left, session.now())));
    }
    if !args.dry.dry_run {
        confirm::names(&session.out, "sweep", &names, &args.sure).await?;
    }
    let mut ended: Vec<(String, Vec<String>)> = Vec::new();
    let mut progress = Progress::new(&session.out);
    for (name, left) in tests {
        let remains = if args.dry.dry_run {
            Vec::new()
        } else {
            let traces = Traces { session: session.clone(), id: left.id, name: name.clone(), longest: args.timeout };
            session.leave.goes_on("what was begun goes on in the cluster", "the rest", "blueprint sweep --all");
            traces.sweep(&mut progress).await
        };
        ended.push((name, remains));
    }
    progress.end();
    told(args, session, &ended)
}

fn told(args: &Args, session: &Session, ended: &[(String, Vec<String>)]) -> Result<Exit, Problem> {
    if session.out.is_document() {
        let tests: Vec<_> = ended.iter().map(|(name, remains)| json!({"name": name, "left": remains})).collect();
        session.out.document(&json!({"tests": tests, "dryRun": args.dry.dry_run}))?;
    } else if ended.is_empty() {
        session.out.line("no test of a blueprint left anything");
    }
    let word = if args.dry.dry_run { "would be taken away (dry run)" } else { "is taken away" };
    for (name, remains) in ended {
        if remains.is_empty() && !session.out.is_document() {
            session.out.line(&format!("{name} {word}"));
        }
        for thing in remains {
            session.out.note(&format!("left over of {name}: {thing}"));
        }
    }
    Ok(if ended.iter().all(|(_, remains)| remains.is_empty()) { Exit::DONE } else { Exit::FAILED })
}

fn line(name: &str, left: &Left, now: Timestamp) -> String {
    let made = left.newest.map(|then| format!("; the newest of it is {} old", age(then, now)));
    format!("{name}: {}{}, and is destroyed for ever", left.things.join(", "), made.unwrap_or_default())
}

/// Everything in the cluster that may belong to a test.
async fn things(session: &Session) -> Result<Vec<Thing>, Problem> {
    let cluster = &session.cluster;
    let mut all = Vec::new();
    let tenants = cluster.list(&cluster.tenants(), "tenants", Some(LABEL_TEST)).await?;
    all.extend(
        tenants
            .iter()
            .filter(|t| t.spec.id.as_deref() == t.labels().get(LABEL_TEST).map(String::as_str))
            .map(|t| labelled("tenant", t)),
    );
    let blueprints = cluster.list(&cluster.blueprints(), "blueprints", Some(LABEL_TEST)).await?;
    all.extend(blueprints.iter().map(|b| labelled("blueprint", b)));
    let plans = cluster.list(&cluster.plans(), "plans", Some(LABEL_TEST)).await?;
    all.extend(plans.iter().map(|p| labelled("plan", p)));
    let archives = cluster.list_whole(&cluster.archives(), "archives").await?;
    let there = |a: &&Archive| !matches!(phase(a), ArchivePhase::Purged | ArchivePhase::Adopted);
    all.extend(archives.iter().filter(there).map(|a| Thing {
        word: "archive",
        name: a.spec.tenant_name.clone(),
        id: a.spec.tenant_id.clone(),
        made: made(a),
    }));
    // Releases are left when a sweep was broken off near its end.
    let releases = kept(session).await?.into_iter();
    all.extend(releases.map(|r| Thing {
        word: "release",
        id: r.blueprint.strip_prefix(PREFIX).unwrap_or_default().to_owned(),
        name: r.blueprint,
        made: None,
    }));
    Ok(all)
}

fn labelled<K: Resource>(word: &'static str, object: &K) -> Thing {
    let id = object.labels().get(LABEL_TEST).cloned().unwrap_or_default();
    Thing { word, name: object.name_any(), id, made: made(object) }
}

fn made<K: Resource>(object: &K) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|t| t.0)
}

/// The tests, by name. A thing counts only when its name is the name of a test with this id.
fn tests(things: Vec<Thing>) -> BTreeMap<String, Left> {
    let mut found: BTreeMap<String, Left> = BTreeMap::new();
    for thing in things {
        let Ok(id) = Id::parse(&thing.id) else { continue };
        if thing.name != name_of(&id) {
            continue;
        }
        let left = found.entry(thing.name).or_insert(Left { id, things: Vec::new(), newest: None });
        if !left.things.contains(&thing.word) {
            left.things.push(thing.word);
        }
        left.newest = left.newest.max(thing.made);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(word: &'static str, name: &str, id: &str) -> Thing {
        Thing { word, name: name.into(), id: id.into(), made: None }
    }

    #[test]
    fn only_what_has_the_name_of_its_own_test_is_of_a_test() {
        let found = super::tests(vec![
            thing("tenant", "bptest-kabcdefghi", "kabcdefghi"),
            thing("archive", "bptest-kabcdefghi", "kabcdefghi"),
            thing("archive", "bptest-kabcdefghi", "kabcdefghi"),
            thing("tenant", "acme", "kabcdefghj"),
            thing("tenant", "bptest-kabcdefghi", "kabcdefghj"),
            thing("archive", "bptest-", ""),
            thing("plan", "bptest-Not-an-id", "Not-an-id"),
        ]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["bptest-kabcdefghi"]);
        assert_eq!(found["bptest-kabcdefghi"].things, ["tenant", "archive"]);
    }

    #[test]
    fn a_name_or_all_is_needed() {
        use clap::Parser;
        for (words, fits) in
            [(vec![], false), (vec!["bptest-x"], true), (vec!["--all"], true), (vec!["a", "--all"], false)]
        {
            let line = ["tenantry", "blueprint", "sweep"].into_iter().chain(words.iter().copied());
            assert_eq!(crate::command::Cli::try_parse_from(line).is_ok(), fits, "{words:?}");
        }
    }
}
