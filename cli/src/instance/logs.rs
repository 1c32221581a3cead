//! `tenantry instance logs`: what the processes or jobs of an instance write. Does I/O.

use std::time::Duration;

use futures::stream::SelectAll;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};
use tenantry_core::names;

use crate::args::time;
use crate::error::{Exit, Problem, api, near};
use crate::output::text::clean;
use crate::session::Session;
use crate::target::{self, Address};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which one
    #[arg(value_name = "TENANT/INSTANCE", add = crate::completion::instances())]
    pub name: Address,
    /// Only this process of the blueprint; all when not given
    #[arg(short, long, value_name = "NAME", conflicts_with = "job")]
    pub process: Option<String>,
    /// Jobs with this purpose instead of processes, for example personalise
    #[arg(long, value_name = "PURPOSE")]
    pub job: Option<String>,
    /// Goes on until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines of each pod
    #[arg(long, value_name = "LINES", default_value_t = 200)]
    pub tail: i64,
    /// Only what is younger, for example 10m
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Duration>,
    /// Of the container before the last restart
    #[arg(long, conflicts_with = "follow")]
    pub previous: bool,
    /// With the time of each line
    #[arg(long)]
    pub timestamps: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let (_, instance) = target::instance(session, &args.name).await?;
    let id = instance.spec.id.clone().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(session.cluster.client.clone(), &instance.namespace().unwrap_or_default());
    let mut found = session.cluster.list(&pods, "pods", Some(&format!("{}={id}", names::LABEL_INSTANCE_ID))).await?;
    found.sort_by_key(ResourceExt::name_any);
    let chosen = chosen(args, found)?;
    let several = chosen.len() > 1;
    session.leave.set(Problem::left(""));
    let params = LogParams {
        follow: args.follow,
        previous: args.previous,
        tail_lines: Some(args.tail),
        since_seconds: args.since.map(|s| i64::try_from(s.as_secs()).unwrap_or(i64::MAX)),
        timestamps: args.timestamps,
        ..LogParams::default()
    };
    let mut all = SelectAll::new();
    for pod in &chosen {
        let name = pod.name_any();
        let params = LogParams { container: container(pod), ..params.clone() };
        match pods.log_stream(&name, &params).await {
            Ok(stream) => {
                let prefix = if several { format!("[{}] ", short(pod, &id)) } else { String::new() };
                all.push(stream.lines().map_ok(move |l| format!("{prefix}{}", clean_line(&l))).boxed());
            }
            // A pod that has not started yet must not hide the others.
            Err(e) => {
                session.out.note(&api::problem(&format!("read the log of {name}"), &e).render(session.out.paint_error))
            }
        }
    }
    while let Some(line) = all.next().await {
        match line {
            Ok(line) => session.out.line(&line),
            Err(e) => return Err(Problem::failed(format!("the log broke off: {e}"))),
        }
    }
    Ok(Exit::DONE)
}

/// The pods that are meant, or an error that lists what exists instead.
fn chosen(args: &Args, pods: Vec<Pod>) -> Result<Vec<Pod>, Problem> {
    let label = if args.job.is_some() { names::LABEL_PURPOSE } else { names::LABEL_PROCESS };
    let wanted = args.job.as_ref().or(args.process.as_ref());
    let (fits, other): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(|p| {
        let value = p.labels().get(label);
        wanted.map_or_else(|| value.is_some(), |w| value == Some(w))
    });
    if !fits.is_empty() {
        return Ok(fits);
    }
    let mut there: Vec<String> = other.iter().filter_map(|p| p.labels().get(label).cloned()).collect();
    there.sort();
    there.dedup();
    let show = format!("instance show {}", args.name);
    match wanted {
        Some(wanted) => {
            let word = if args.job.is_some() { "job" } else { "process" };
            Err(near::missing(&format!("running {word}"), wanted, there, &show))
        }
        None => Err(Problem::not_found(format!("no process of {} runs", args.name)).next("why", show)),
    }
}

/// The container with the product, when a pod has several.
fn container(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let process = pod.labels().get(names::LABEL_PROCESS);
    let found = spec.containers.iter().find(|c| Some(&c.name) == process).or_else(|| spec.containers.first());
    found.map(|c| c.name.clone())
}

/// A short name of a pod, without the id that all pods share.
fn short(pod: &Pod, id: &str) -> String {
    let name = pod.name_any();
    name.strip_prefix(&format!("{id}-")).map_or(name.clone(), str::to_owned)
}

/// A log line with its indentation, but without control characters.
fn clean_line(line: &str) -> String {
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    format!("{indent}{}", clean(&line.replace('\t', "    ")))
}
