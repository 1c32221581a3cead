//! `tenantry blueprint test`: tries every promise of a blueprint on the current cluster, and clears up. Does I/O.
//!
//! [`points`], [`judge`], [`secrets`] and [`seats`] decide and do no I/O; the other modules only look and act.

mod ask;
mod checks;
mod harmless;
mod judge;
mod points;
mod seats;
mod secrets;
mod sql;
pub mod sweep;
mod traces;
mod watch;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use tenantry_api::blueprint::{Blueprint, BlueprintSpec};
use tokio::time::Instant;

use super::{render, validate};
use crate::args::{pair, time};
use crate::diff::children;
use crate::error::{Exit, Problem};
use crate::instance::make;
use crate::progress::Progress;
use crate::session::Session;
use judge::Made;
use points::{Point, Report, Verdict};
use traces::Traces;
use world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with a blueprint as YAML or JSON; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which blueprint, when the file holds several
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Release; the newest of the stable channel when not given
    #[arg(long, value_name = "VERSION")]
    pub release: Option<String>,
    /// Setting of the instances; can be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// Server for the databases; the least loaded that fits when not given
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Plan of the tenant; a small one of the test's own when not given
    #[arg(long, value_name = "NAME", add = crate::completion::plans())]
    pub plan: Option<String>,
    /// Leaves everything as it is when a point fails or the test is left, to look at it
    #[arg(long)]
    pub keep: bool,
    /// Longest time of each step, such as an install
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time)]
    pub timeout: Duration,
}

/// The report so far, and the progress that shows it.
struct Desk {
    report: Report,
    progress: Progress,
}

impl Desk {
    fn add(&mut self, point: Point, verdict: Verdict, begun: Instant) {
        match &verdict {
            Verdict::Passed(why) => self.progress.done(point.word(), why, begun.elapsed()),
            Verdict::Failed(why) => self.progress.failed(point.word(), why, begun.elapsed()),
            Verdict::NotStated(_) | Verdict::NotTested(_) => {}
        }
        let took =
            if matches!(verdict, Verdict::Passed(_) | Verdict::Failed(_)) { begun.elapsed() } else { Duration::ZERO };
        self.report.add(point, verdict, took);
    }
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let mut desk = Desk { report: Report::default(), progress: Progress::new(&session.out) };
    let begun = Instant::now();
    let blueprint = match render::chosen(crate::diff::read(&args.file)?, args.name.as_deref()) {
        Ok(blueprint) => blueprint,
        // An object without the form of a blueprint gives a verdict. A file without a blueprint is wrong usage.
        Err(problem) if problem.exit == Exit::REFUSED => {
            desk.add(Point::Valid, Verdict::Failed(problem.why.unwrap_or(problem.what)), begun);
            return told(args, session, &mut desk, None, &[]);
        }
        Err(problem) => return Err(problem),
    };
    let problems = validate::problems(&blueprint);
    if !problems.is_empty() {
        desk.add(Point::Valid, Verdict::Failed(problems.join("; ")), begun);
        return told(args, session, &mut desk, None, &[]);
    }
    let mut world = world(args, session, &blueprint).await?;
    session.leave.hold();
    let ended = tokio::select! {
        ended = road(&mut world, &blueprint, &mut desk) => ended,
        _ = tokio::signal::ctrl_c() => Err(Problem::left("left with Ctrl-C")),
    };
    desk.progress.end();
    session.leave.set(by_hand(Problem::left("left while the test cleared up"), &world));
    let stays = args.keep && (ended.is_err() || !desk.report.is_well());
    let left = if stays { Vec::new() } else { world.traces.sweep(&mut desk.progress).await };
    desk.progress.end();
    let problem = ended.err();
    if stays {
        let kept = Problem::left(format!("everything of the test is kept, as tenant {}", world.traces.name));
        session.out.note(&by_hand(kept, &world).render(session.out.paint_error));
    }
    match (told(args, session, &mut desk, problem.as_ref(), &left)?, problem) {
        (_, Some(problem)) => Err(problem),
        (exit, None) => Ok(exit),
    }
}

/// Adds the commands that take everything away by hand.
fn by_hand(problem: Problem, world: &World) -> Problem {
    let name = &world.traces.name;
    problem
        .safe("no other tenant is touched")
        .next("look", format!("tenant show {name}"))
        .next("take it away", format!("blueprint sweep {name} --confirm {name}"))
}

async fn world(args: &Args, session: &Session, blueprint: &Blueprint) -> Result<World, Problem> {
    let (id, name) = world::named()?;
    let product = make::Product {
        blueprint: name.clone(),
        release: args.release.clone(),
        host: format!("{id}.bptest.example"),
        choices: make::Choices {
            settings: args.settings.clone(),
            database_server: args.server.clone(),
            ..make::Choices::default()
        },
    };
    make::fits(&blueprint.name_any(), &blueprint.spec, &product)?;
    let settings = children::settings(session).await?.ok_or_else(|| {
        Problem::not_found("this cluster has no Site: Tenantry is not installed here").next("install it", "install")
    })?;
    let (session, plan, longest) = (session.clone(), args.plan.clone(), args.timeout);
    let traces = Traces { session: session.clone(), id, name, longest };
    Ok(World { session, settings, traces, plan, product, keep: args.keep, tenant: None })
}

/// Tries all points. Ends early when nothing is left on which later points could be tried.
async fn road(world: &mut World, blueprint: &Blueprint, desk: &mut Desk) -> Result<(), Problem> {
    let spec = &blueprint.spec;
    let begun = Instant::now();
    desk.progress.now("valid", "the operator looks at it");
    let verdict = world.publish(blueprint).await?;
    desk.add(Point::Valid, verdict, begun);
    if !desk.report.is_well() {
        return Ok(());
    }
    world.tenant(&mut desk.progress).await?;
    let Some(first) = first(world, spec, desk).await? else {
        return last(world, spec, desk, &[]).await;
    };
    let second = second(world, spec, desk, &first).await?;
    if let Some(second) = &second {
        let begun = Instant::now();
        let verdict = checks::secrets(world, spec, &first, second).await?;
        desk.add(Point::Secrets, verdict, begun);
    }
    let begun = Instant::now();
    let verdict = judged(checks::restart(world, &first, &mut desk.progress).await)?;
    desk.add(Point::Restarts, verdict, begun);
    let begun = Instant::now();
    let (seats, read_only) = checks::tables(world, spec, &first).await?;
    desk.add(Point::Seats, seats, begun);
    desk.add(Point::ReadOnly, read_only, begun);
    let begun = Instant::now();
    let verdict = judged(checks::schedules(world, spec, &first, &mut desk.progress).await)?;
    desk.add(Point::Schedules, verdict, begun);
    let begun = Instant::now();
    let (stages, neutralises) = checks::stage(world, spec, &first, &mut desk.progress).await?;
    desk.add(Point::Stages, stages, begun);
    desk.add(Point::Neutralises, neutralises, begun);
    let begun = Instant::now();
    let verdict = judged(checks::suspend(world, &first, &mut desk.progress).await)?;
    desk.add(Point::Suspends, verdict, begun);
    let begun = Instant::now();
    let verdict = judged(checks::resume(world, &first, &mut desk.progress).await)?;
    desk.add(Point::Resumes, verdict, begun);
    let made: Vec<&Made> = std::iter::once(&first).chain(&second).collect();
    last(world, spec, desk, &made).await
}

/// A step that ran out of time or was refused gives a verdict; a cluster that cannot be reached stays an error.
fn judged(tried: Result<Verdict, Problem>) -> Result<Verdict, Problem> {
    match tried {
        Err(problem) if [Exit::TIMED_OUT, Exit::REFUSED, Exit::NOT_FOUND].contains(&problem.exit) => {
            Ok(Verdict::Failed(problem.render_plain()))
        }
        other => other,
    }
}

/// The first instance, which builds the template.
async fn first(world: &World, spec: &BlueprintSpec, desk: &mut Desk) -> Result<Option<Made>, Problem> {
    let begun = Instant::now();
    let made = instance(world, spec, desk, "one", None).await?;
    match made {
        Ok(made) => {
            desk.add(Point::Installs, judge::installed(spec, &made), begun);
            desk.add(Point::Verified, judge::verified(spec), begun);
            Ok(Some(made))
        }
        Err(stopped) => {
            if stopped.at == Point::Verified {
                desk.add(Point::Installs, Verdict::Passed("its processes run".into()), begun);
            }
            desk.add(stopped.at, Verdict::Failed(stopped.why), begun);
            Ok(None)
        }
    }
}

/// The second instance, which must be a copy of the template.
async fn second(world: &World, spec: &BlueprintSpec, desk: &mut Desk, first: &Made) -> Result<Option<Made>, Problem> {
    let begun = Instant::now();
    let before = world.traces.template_jobs().await?;
    let server = first.instance.status.as_ref().and_then(|s| s.database.as_ref()).map(|d| d.server.clone());
    match instance(world, spec, desk, "two", server.as_deref()).await? {
        Ok(made) => {
            let after = world.traces.template_jobs().await?;
            desk.add(Point::Copies, judge::copied(spec, first, &made, (&before, &after)), begun);
            Ok(Some(made))
        }
        Err(stopped) => {
            desk.add(Point::Copies, Verdict::Failed(format!("the second instance failed: {}", stopped.why)), begun);
            Ok(None)
        }
    }
}

async fn instance(
    world: &World,
    spec: &BlueprintSpec,
    desk: &mut Desk,
    name: &str,
    server: Option<&str>,
) -> Result<Result<Made, judge::Stopped>, Problem> {
    let planned = world.planned(name, server, &json!({}))?;
    let planned = planned.ok_or_else(|| Problem::failed("cannot make an instance of this blueprint"))?;
    let stored = world.create(planned).await?;
    let patience = spec.verify.as_ref().map(|v| Duration::from_secs(u64::from(v.timeout_seconds)));
    watch::ready(&world.session, &stored, patience, world.traces.longest, &mut desk.progress).await
}

/// The end: archives everything, then purges it.
async fn last(world: &World, spec: &BlueprintSpec, desk: &mut Desk, made: &[&Made]) -> Result<(), Problem> {
    if world.keep && !desk.report.is_well() {
        // A person wants to look at it.
        return Ok(());
    }
    let begun = Instant::now();
    let archives = world.archive(&mut desk.progress).await;
    let verdict = archives.map(|all| judge::archived(spec, &all, world.traces.id.as_str(), &checks::ids(made)));
    desk.add(Point::Archives, judged(verdict)?, begun);
    let begun = Instant::now();
    desk.progress.now("purges", "destroying what the archives keep");
    let left = world.traces.purge().await;
    desk.add(Point::Purges, judged(left.map(|(archives, namespace)| judge::purged(&archives, namespace)))?, begun);
    Ok(())
}

/// Prints the report.
fn told(
    args: &Args,
    session: &Session,
    desk: &mut Desk,
    problem: Option<&Problem>,
    left: &[String],
) -> Result<Exit, Problem> {
    desk.progress.end();
    let passed = problem.is_none() && desk.report.is_well();
    if session.out.is_document() {
        session.out.document(&json!({
            "file": args.file.display().to_string(),
            "passed": passed,
            "points": desk.report.document(),
            "error": problem.map(|p| p.what.clone()),
            "left": left,
        }))?;
    } else {
        session.out.line(&desk.report.text(session.out.paint));
        let word = if passed { "holds what it promises" } else { "does not hold what it promises" };
        if problem.is_none() {
            session.out.line(&format!("{} {word}", args.file.display()));
        }
    }
    for thing in left {
        session.out.note(&format!("left over: {thing}"));
    }
    Ok(if passed && left.is_empty() { Exit::DONE } else { Exit::FAILED })
}
