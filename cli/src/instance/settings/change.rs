//! `tenantry instance settings set` and `unset`. Does I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::condition::{find, holds};
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_plan::instance::{SETTINGS_PURPOSE, VALUE_MAX};

use super::{hide, value};
use crate::args::{DryRun, Targets, WaitArgs};
use crate::cluster::{patch, post};
use crate::error::{Exit, Problem, api, near};
use crate::listing;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::{self, address_of};
use crate::wait::{Until, follow};

/// Arguments of `set`.
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
    /// Value in a file, secret or not; can be repeated
    #[arg(long, value_name = "KEY=PATH", value_parser = value::path)]
    pub from_file: Vec<(String, PathBuf)>,
    /// Value on standard input; at a terminal it is asked for and not shown
    #[arg(long, value_name = "KEY")]
    pub from_stdin: Option<String>,
    /// Waiting: until the instance is ready with it.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Dry run.
    #[command(flatten)]
    pub dry: DryRun,
}

/// Arguments of `unset`.
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
    /// Waiting: until the instance is ready with it.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Dry run.
    #[command(flatten)]
    pub dry: DryRun,
}

/// A value and whether everybody could read it on the command line.
#[derive(Debug, Clone)]
pub struct Given {
    value: Secret,
    on_command_line: bool,
}

impl Given {
    /// A value, from a command line or not.
    pub fn new(value: impl Into<String>, on_command_line: bool) -> Self {
        Self { value: Secret::new(value), on_command_line }
    }
}

/// What is done to the settings of one instance: values in the spec, values in its Secret, settings taken back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Into the spec.
    pub plain: BTreeMap<String, String>,
    /// Into the Secret.
    pub secret: BTreeMap<String, Secret>,
    /// Taken back.
    pub gone: BTreeSet<String>,
}

/// The names of instances among some words, and the rest.
fn apart(words: &[String], is_name: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
    words.iter().cloned().partition(|w| is_name(w))
}

/// Runs `set`.
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
    // Before anything is asked for, and before anything is written.
    for instance in &instances {
        let spec = blueprint_of(instance, &blueprints)?;
        keys.iter().try_for_each(|key| known(instance, spec, key))?;
    }
    let mut given = BTreeMap::new();
    for pair in &pairs {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        given.insert(key.to_owned(), Given::new(text, true));
    }
    for instance in &instances {
        change(instance, blueprint_of(instance, &blueprints)?, &given)?;
    }
    for (key, path) in &args.from_file {
        given.insert(key.clone(), Given { value: value::from_file(path)?, on_command_line: false });
    }
    if let Some(key) = &args.from_stdin {
        given.insert(key.clone(), Given { value: value::from_stdin(session, key).await?, on_command_line: false });
    }
    let mut all = Vec::with_capacity(instances.len());
    for instance in instances {
        let change = change(&instance, blueprint_of(&instance, &blueprints)?, &given)?;
        all.push((instance, change));
    }
    apply(session, all, &blueprints, args.wait, args.dry.dry_run).await
}

/// Runs `unset`.
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
            // What the blueprint does not have can be taken away all the same.
            if !is_set {
                known(&instance, blueprint_of(&instance, &blueprints)?, key)?;
            }
            if spec.and_then(|s| s.settings.get(key)).is_some_and(|s| s.default.is_none()) {
                return Err(Problem::refused(format!("setting {key} of {} must be given", address_of(&instance)))
                    .safe("nothing was changed")
                    .why("the blueprint has no default for it"));
            }
        }
        all.push((instance, Change { gone: keys.iter().cloned().collect(), ..Change::default() }));
    }
    apply(session, all, &blueprints, args.wait, args.dry.dry_run).await
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

fn known(instance: &CrmInstance, blueprint: &BlueprintSpec, key: &str) -> Result<(), Problem> {
    if blueprint.settings.contains_key(key) {
        return Ok(());
    }
    let all = blueprint.settings.keys().cloned().collect();
    let word = format!("setting of {}", address_of(instance));
    Err(near::missing(&word, key, all, &format!("instance settings {}", address_of(instance))))
}

/// What values do to an instance: secret ones go into its Secret, and are refused on a command line.
pub fn change(
    instance: &CrmInstance,
    blueprint: &BlueprintSpec,
    given: &BTreeMap<String, Given>,
) -> Result<Change, Problem> {
    let (mut change, address) = (Change::default(), address_of(instance));
    for (key, Given { value, on_command_line }) in given {
        known(instance, blueprint, key)?;
        let Some(setting) = blueprint.settings.get(key) else { continue };
        if setting.secret && *on_command_line {
            return Err(on_a_command_line(key)
                .next("ask for it", format!("instance settings set {address} --from-stdin {key}"))
                .next("or from a file", format!("instance settings set {address} --from-file {key}=PATH")));
        }
        if value.reveal().chars().count() > VALUE_MAX {
            return Err(Problem::usage(format!("{key} is longer than {VALUE_MAX} characters")));
        }
        let fits = setting.pattern.as_ref().map(|p| (p, tenantry_core::pattern::matches_whole(p, value.reveal())));
        if let Some((pattern, Ok(false))) = fits {
            return Err(Problem::usage(format!("the value of {key} does not match {pattern}"))
                .safe("nothing was changed")
                .why(setting.description.clone().unwrap_or_default())
                .next("", format!("instance settings {address}")));
        }
        if setting.secret {
            change.secret.insert(key.clone(), value.clone());
        } else {
            change.plain.insert(key.clone(), value.reveal().to_owned());
        }
    }
    Ok(change)
}

/// The refusal of a secret that stands on a command line, where others see it and shells keep it.
pub fn on_a_command_line(key: &str) -> Problem {
    Problem::refused(format!("setting {key} is a secret and may not stand on a command line"))
        .safe("nothing was changed; but whoever may look at your processes or your shell's history may have seen it")
}

async fn apply(
    session: &Session,
    all: Vec<(CrmInstance, Change)>,
    blueprints: &BTreeMap<String, BlueprintSpec>,
    wait: WaitArgs,
    dry_run: bool,
) -> Result<Exit, Problem> {
    let until = Until::after(wait.timeout);
    let revision = session.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let remark = if dry_run { " (dry run)" } else { "" };
    let (mut changed, mut text): (Vec<CrmInstance>, Vec<String>) = (Vec::new(), Vec::new());
    for (instance, change) in all {
        let done: Vec<String> = changed.iter().map(address_of).collect();
        let one = stored(session, &instance, &change, &revision, dry_run).await;
        let one =
            one.map_err(|p| if done.is_empty() { p } else { p.safe(format!("changed already: {}", done.join(", "))) })?;
        text.push(format!("{}{remark}", address_of(&one)));
        text.extend(lines(&one, &change).into_iter().map(|line| format!("  {line}")));
        changed.push(one);
    }
    if wait.wait && !dry_run {
        let mut progress = Progress::new(&session.out);
        for instance in &mut changed {
            *instance = taken(session, instance, until, &mut progress).await?;
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

/// Writes the Secret first, so that the instance never refers to what is not there.
async fn stored(
    session: &Session,
    instance: &CrmInstance,
    change: &Change,
    revision: &str,
    dry_run: bool,
) -> Result<CrmInstance, Problem> {
    let address = address_of(instance);
    let id = instance.spec.id.as_deref().and_then(|id| Id::parse(id).ok());
    let id = id.ok_or_else(|| {
        Problem::failed(format!("{address} has no id yet"))
            .why("the operator mints one as soon as it sees the instance")
            .next("is it running?", "doctor")
    })?;
    let name = names::settings_secret(&id);
    let secrets: Api<KubeSecret> =
        Api::namespaced(session.cluster.client.clone(), &instance.namespace().unwrap_or_default());
    if !change.secret.is_empty() {
        write_secret(&secrets, instance, &name, &change.secret, dry_run).await?;
    }
    let body = json!({ "spec": patch_of(instance, change, &name, revision) });
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let doing = format!("change the settings of {address}");
    let stored = api.patch(&instance.name_any(), &patch(dry_run), &Patch::Merge(&body)).await;
    let stored = stored.map_err(|e| api::problem(&doing, &e))?;
    let ours = |key: &&String| instance.spec.settings_from.get(*key).is_some_and(|s| s.secret == name);
    let leaving: Map<String, Value> = change
        .gone
        .iter()
        .chain(change.plain.keys())
        .filter(ours)
        .filter_map(|key| instance.spec.settings_from.get(key))
        .map(|source| (source.key.clone(), Value::Null))
        .collect();
    if !leaving.is_empty() {
        // Nothing refers to it any more. One that is gone is what was wanted.
        match secrets.patch(&name, &patch(dry_run), &Patch::Merge(&json!({ "data": leaving }))).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_not_found() => {}
            Err(e) => return Err(api::problem(&format!("take old values out of Secret {name}"), &e)),
        }
    }
    Ok(stored)
}

/// The change of the spec as a merge patch.
pub fn patch_of(instance: &CrmInstance, change: &Change, secret: &str, revision: &str) -> Value {
    let (mut plain, mut from) = (Map::new(), Map::new());
    for (key, value) in &change.plain {
        plain.insert(key.clone(), value.clone().into());
    }
    for key in change.secret.keys() {
        from.insert(key.clone(), json!({ "secret": secret, "key": key, "revision": revision }));
    }
    // A null takes away; where there is nothing it would only leave an empty map.
    for key in change.gone.iter().chain(change.secret.keys()).filter(|k| instance.spec.settings.contains_key(*k)) {
        plain.insert(key.clone(), Value::Null);
    }
    for key in change.gone.iter().chain(change.plain.keys()).filter(|k| instance.spec.settings_from.contains_key(*k)) {
        from.insert(key.clone(), Value::Null);
    }
    let mut spec = Map::new();
    for (field, map) in [("settings", plain), ("settingsFrom", from)] {
        if !map.is_empty() {
            spec.insert(field.to_owned(), Value::Object(map));
        }
    }
    Value::Object(spec)
}

/// Puts values into the instance's Secret beside those that are there. They need not be read for it, as they would
/// for an apply, which takes away what it does not name.
async fn write_secret(
    secrets: &Api<KubeSecret>,
    instance: &CrmInstance,
    name: &str,
    values: &BTreeMap<String, Secret>,
    dry_run: bool,
) -> Result<(), Problem> {
    let body = secret_object(instance, name, values);
    let doing = format!("write Secret {name}");
    let told = |e: &kube::Error| api::problem(&doing, e).safe("the settings are as they were");
    for _ in 0..2 {
        match secrets.patch(name, &patch(dry_run), &Patch::Merge(&body)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(s)) if s.is_not_found() => {}
            Err(e) => return Err(told(&e)),
        }
        let new: KubeSecret = serde_json::from_value(body.clone())
            .map_err(|_| Problem::failed(format!("cannot {doing}: it does not fit")))?;
        match secrets.create(&post(dry_run), &new).await {
            Ok(_) => return Ok(()),
            // Somebody was faster: theirs is changed.
            Err(kube::Error::Api(s)) if s.is_already_exists() => {}
            Err(e) => return Err(told(&e)),
        }
    }
    Err(Problem::failed(format!("cannot {doing}: it comes and goes")).safe("the same command can be run again"))
}

/// The Secret, with labels by which it goes when the instance's data is purged.
pub fn secret_object(instance: &CrmInstance, name: &str, values: &BTreeMap<String, Secret>) -> Value {
    let data: Map<String, Value> =
        values.iter().map(|(key, v)| (key.clone(), STANDARD.encode(v.reveal()).into())).collect();
    let mut labels = json!({
        names::LABEL_INSTANCE_ID: instance.spec.id,
        names::LABEL_INSTANCE: instance.name_any(),
        names::LABEL_TENANT: instance.spec.tenant,
        names::LABEL_PURPOSE: SETTINGS_PURPOSE,
    });
    if let Some(tenant) = instance.labels().get(names::LABEL_TENANT_ID) {
        labels[names::LABEL_TENANT_ID] = tenant.clone().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "labels": labels },
        "data": data,
    })
}

/// Waits until the operator has taken the settings over and the instance is ready with them.
async fn taken(
    session: &Session,
    instance: &CrmInstance,
    until: Until,
    progress: &mut Progress,
) -> Result<CrmInstance, Problem> {
    let (address, name, begun) = (address_of(instance), instance.name_any(), tokio::time::Instant::now());
    let look = format!("instance show {address} --wait");
    session.leave.goes_on("the settings are stored and the operator goes on", "come back", &look);
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let end = follow(api, &name, until, |seen| {
        let Some(seen) = seen else { return ControlFlow::Break(Err("it was deleted meanwhile".to_owned())) };
        let status = seen.status.clone().unwrap_or_default();
        if status.observed_generation < instance.metadata.generation {
            return ControlFlow::Continue(());
        }
        let invalid = find(&status.conditions, "SpecValid").filter(|c| c.status == "False");
        match (holds(&status.conditions, "Ready"), status.phase, invalid) {
            (true, _, _) | (_, InstancePhase::Suspended, _) => ControlFlow::Break(Ok(seen.clone())),
            (_, _, Some(c)) => ControlFlow::Break(Err(said(c))),
            _ => {
                let ready = find(&status.conditions, "Ready").map(said).unwrap_or_default();
                progress.now(&address, &ready);
                ControlFlow::Continue(())
            }
        }
    });
    match end.await? {
        Some(Ok(seen)) => {
            progress.done(&address, "ready with these settings", begun.elapsed());
            Ok(seen)
        }
        Some(Err(why)) => {
            progress.end();
            Err(Problem::failed(format!("{address} does not take these settings"))
                .safe("what runs goes on as it was")
                .why(why)
                .next("look", format!("instance settings {address}")))
        }
        None => Err(Problem::timed_out(format!("{address} is not ready with these settings; the operator goes on"))
            .next("watch", look)),
    }
}
