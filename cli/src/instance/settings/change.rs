//! `tenantry instance settings set` and `unset`. Does I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::secret::Secret;

use super::decide::{Change, Given, change, known, reaches};
use super::store::{stored, taken};
use super::{hide, value};
use crate::args::{self, ConfirmAll, Targets};
use crate::confirm::every;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{self, address_of};
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// Which ones, and what: acme/crm `smtp_host=mx.acme.example`
    #[arg(value_name = "TENANT/INSTANCE|KEY=VALUE", add = crate::completion::settings())]
    pub words: Vec<String>,
    /// All with these labels, for example tier=gold,region!=north
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub sure: ConfirmAll,
    /// Value in a file, secret or not; can be repeated
    #[arg(long, value_name = "KEY=PATH", value_parser = value::path)]
    pub from_file: Vec<(String, PathBuf)>,
    /// Value on standard input; at a terminal it is asked for and not shown
    #[arg(long, value_name = "KEY")]
    pub from_stdin: Option<String>,
    /// Waits until the instance is ready with the change.
    #[command(flatten)]
    pub change: args::Change,
}

#[derive(Debug, clap::Args)]
pub struct UnsetArgs {
    /// Which ones, and which settings: acme/crm `smtp_host`
    #[arg(value_name = "TENANT/INSTANCE|KEY", required = true, add = crate::completion::settings())]
    pub words: Vec<String>,
    /// All with these labels, for example tier=gold,region!=north
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub sure: ConfirmAll,
    /// Waits until the instance is ready with the change.
    #[command(flatten)]
    pub change: args::Change,
}

/// Splits words into the names of instances and the rest.
fn apart(words: &[String], is_name: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
    words.iter().cloned().partition(|w| is_name(w))
}

pub async fn set(args: &SetArgs, session: &Session) -> Result<Exit, Problem> {
    let (names, pairs) = apart(&args.words, |w| !w.contains('='));
    let targets = chosen(names, args.selector.as_ref(), args.all)?;
    let mut keys: Vec<String> = pairs.iter().filter_map(|p| p.split_once('=').map(|(k, _)| k.to_owned())).collect();
    keys.extend(args.from_file.iter().map(|(k, _)| k.clone()));
    keys.extend(args.from_stdin.clone());
    if keys.is_empty() {
        return Err(Problem::usage("what should be set? KEY=VALUE, --from-file KEY=PATH or --from-stdin KEY"));
    }
    if let Some(twice) = keys.iter().enumerate().find(|(n, k)| keys[..*n].contains(k)).map(|(_, k)| k) {
        return Err(Problem::usage(format!("setting {twice} is given twice")));
    }
    let instances = target::instances(session, &targets, false).await?;
    let blueprints = super::blueprints(session, &instances).await?;
    // Check the keys before anything is asked for or written.
    for instance in &instances {
        let spec = blueprint_of(instance, &blueprints)?;
        keys.iter().try_for_each(|key| known(instance, spec, key).and_then(|()| reaches(instance, spec, key)))?;
    }
    let mut given = BTreeMap::new();
    for pair in &pairs {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        given.insert(key.to_owned(), Given::new(Secret::new(text), true));
    }
    for instance in &instances {
        change(instance, blueprint_of(instance, &blueprints)?, &given)?;
    }
    every(session, "change", &targets, args.change.dry, &instances, &args.sure).await?;
    for (key, path) in &args.from_file {
        given.insert(key.clone(), Given::new(value::from_file(path)?, false));
    }
    if let Some(key) = &args.from_stdin {
        given.insert(key.clone(), Given::new(value::from_stdin(session, key).await?, false));
    }
    let mut all = Vec::with_capacity(instances.len());
    for instance in instances {
        let change = change(&instance, blueprint_of(&instance, &blueprints)?, &given)?;
        all.push((instance, change));
    }
    apply(session, all, &blueprints, args.change).await
}

pub async fn unset(args: &UnsetArgs, session: &Session) -> Result<Exit, Problem> {
    let (names, keys) = apart(&args.words, |w| w.contains('/'));
    let targets = chosen(names, args.selector.as_ref(), args.all)?;
    if keys.is_empty() {
        return Err(Problem::usage("which setting? name at least one"));
    }
    let instances = target::instances(session, &targets, false).await?;
    let blueprints = super::blueprints(session, &instances).await?;
    let mut all = Vec::with_capacity(instances.len());
    for instance in instances {
        let spec = blueprints.get(&instance.spec.blueprint);
        for key in &keys {
            let is_set = instance.spec.settings.contains_key(key) || instance.spec.settings_from.contains_key(key);
            // A setting that the blueprint does not have can be removed all the same.
            if !is_set {
                known(&instance, blueprint_of(&instance, &blueprints)?, key)?;
            }
            if is_set && let Some(spec) = spec {
                reaches(&instance, spec, key)?;
            }
            if spec.and_then(|s| s.settings.get(key)).is_some_and(|s| s.default.is_none()) {
                return Err(Problem::refused(format!("setting {key} of {} must be given", address_of(&instance)))
                    .safe("nothing was changed")
                    .why("the blueprint has no default for it"));
            }
        }
        all.push((instance, Change { gone: keys.iter().cloned().collect(), ..Change::default() }));
    }
    let instances: Vec<CrmInstance> = all.iter().map(|(i, _)| i.clone()).collect();
    every(session, "change", &targets, args.change.dry, &instances, &args.sure).await?;
    apply(session, all, &blueprints, args.change).await
}

fn chosen(names: Vec<String>, selector: Option<&String>, all: bool) -> Result<Targets, Problem> {
    if !names.is_empty() && (selector.is_some() || all) {
        return Err(Problem::usage("name instances, or use -l SELECTOR or --all, but not both"));
    }
    Ok(Targets { names, selector: selector.cloned(), all })
}

fn blueprint_of<'a>(
    instance: &CrmInstance,
    all: &'a BTreeMap<String, BlueprintSpec>,
) -> Result<&'a BlueprintSpec, Problem> {
    let name = &instance.spec.blueprint;
    all.get(name).ok_or_else(|| {
        Problem::not_found(format!("blueprint {name} of {} does not exist", address_of(instance)))
            .safe("nothing was changed")
            .why("without it nobody knows which settings there are, and which are secret")
            .next("", "blueprint list")
    })
}

async fn apply(
    session: &Session,
    all: Vec<(CrmInstance, Change)>,
    blueprints: &BTreeMap<String, BlueprintSpec>,
    how: args::Change,
) -> Result<Exit, Problem> {
    let (until, dry_run) = (Until::after(how.wait.timeout), how.dry.dry_run);
    let revision = session.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let remark = if dry_run { " (dry run)" } else { "" };
    let (mut changed, mut text): (Vec<CrmInstance>, Vec<String>) = (Vec::new(), Vec::new());
    let keys: BTreeSet<String> = all.iter().flat_map(|(_, change)| change.keys()).cloned().collect();
    for (instance, change) in all {
        let done: Vec<String> = changed.iter().map(address_of).collect();
        let one = stored(session, &instance, &change, &revision, dry_run).await;
        let one =
            one.map_err(|p| if done.is_empty() { p } else { p.safe(format!("changed already: {}", done.join(", "))) })?;
        text.push(format!("{}{remark}", address_of(&one)));
        text.extend(lines(&one, &change).into_iter().map(|line| format!("  {line}")));
        changed.push(one);
    }
    if how.waits() {
        let mut progress = Progress::new(&session.out);
        for instance in &mut changed {
            *instance = taken(session, instance, &keys, until, &mut progress).await?;
        }
        progress.end();
    }
    for instance in &mut changed {
        let blueprint = blueprints.get(&instance.spec.blueprint);
        hide::strip(instance, blueprint);
    }
    listing::changed(&session.out, &changed, &text.join("\n"))
}

/// What was done, for people.
fn lines(instance: &CrmInstance, change: &Change) -> Vec<String> {
    let plain = change.plain.iter().map(|(key, value)| format!("{key} = {value}"));
    let held = |key: &String| instance.spec.settings_from.get(key).map(|s| s.secret.clone()).unwrap_or_default();
    let secret = change.secret.keys().map(|key| format!("{key} is in Secret {}", held(key)));
    let gone = change.gone.iter().map(|key| format!("{key} has the blueprint's default again"));
    plain.chain(secret).chain(gone).map(|line| crate::output::text::clean(&line)).collect()
}
