//! The operator's program: `run` (default) and the hidden `crds`. Does I/O.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tenantry_core::{calls, names};
use tenantry_operator::context::Ctx;
use tenantry_operator::runtime::health::Health;
use tenantry_operator::runtime::traces::Traces;
use tenantry_operator::runtime::{http, leader, run};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Stack of a worker thread, in bytes: a reconcile is deeply nested, and a build without optimisation keeps all
/// intermediate values on the stack. Only the part of the stack that is used takes memory.
const STACK: usize = 8 << 20;

#[derive(Debug, Parser)]
#[command(name = "tenantry-operator", version, about = "The controllers of Tenantry")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Namespace of the operator, its events and host claims.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = names::SYSTEM_NAMESPACE)]
    namespace: String,
    /// Image of the agent when the Site names none.
    #[arg(long, env = "TENANTRY_AGENT_IMAGE", default_value = "tenantry.local/agent:dev")]
    agent_image: String,
    /// Name of the operator's ServiceAccount, which is bound to Secrets of tenants.
    #[arg(long, env = "TENANTRY_SERVICE_ACCOUNT", default_value = "tenantry-operator")]
    service_account: String,
    /// PriorityClass of managed database servers that name none; none when empty.
    #[arg(long, env = "TENANTRY_DATABASE_PRIORITY_CLASS", default_value = "")]
    database_priority_class: String,
    /// Address of health and metrics; `[::]` is every address, of IPv4 as well.
    #[arg(long, env = "TENANTRY_METRICS_ADDR", default_value = "[::]:8080")]
    metrics_addr: SocketAddr,
    /// Name of this process in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "tenantry-operator")]
    identity: String,
    /// Form of the log.
    #[arg(long, env = "TENANTRY_LOG", default_value = "text")]
    log: Log,
    /// Collector of traces (OTLP, protobuf over HTTP), for example http://collector.monitoring:4318; none when empty.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", default_value = "")]
    traces_endpoint: String,
    /// Share of reconciles that is traced, from 0 to 1.
    #[arg(long, env = "TENANTRY_TRACES_RATIO", default_value = "1")]
    traces_ratio: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the controllers.
    Run,
    /// Writes the custom resource definitions, one file a kind.
    #[command(hide = true)]
    Crds {
        /// Folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Crds { dir }) = &args.command {
        return finish(write_crds(dir));
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return finish(Err("a crypto provider was there already".into()));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error.to_string())),
    };
    let traces = match args.traces_endpoint.as_str() {
        "" => None,
        endpoint => match Traces::start(endpoint, args.traces_ratio, &args.identity, runtime.handle().clone()) {
            Ok(traces) => Some(traces),
            Err(error) => return finish(Err(error)),
        },
    };
    begin_log(args.log, traces.as_ref());
    let ended = runtime.block_on(operate(args, traces.clone()));
    if let Some(traces) = &traces {
        traces.stop();
    }
    finish(ended)
}

/// Starts the log, and the traces beside it if there is a collector.
fn begin_log(form: Log, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match form {
        Log::Text => log.boxed(),
        Log::Json => log.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).with(traces.map(Traces::layer)).init();
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn write_crds(dir: &std::path::Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for crd in tenantry_api::definitions() {
        let path = dir.join(format!("{}.yaml", crd.spec.names.plural));
        let text = tenantry_core::yaml::to_string(&crd).map_err(|e| e.to_string())?;
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

async fn operate(args: Args, traces: Option<Traces>) -> Result<(), String> {
    let client = Client::try_default().await.map_err(|e| format!("no way to the cluster: {e}"))?;
    let health = Arc::new(Health::default());
    let mut ctx = Ctx::new(client.clone(), Arc::new(calls::Open));
    ctx.system_namespace.clone_from(&args.namespace);
    ctx.agent_image = args.agent_image;
    ctx.service_account = args.service_account;
    ctx.database_priority_class = Some(args.database_priority_class).filter(|name| !name.is_empty());
    ctx.traces = traces;
    let reporter = Reporter { controller: "tenantry-operator".into(), instance: Some(args.identity.clone()) };
    ctx.recorder = Some(Recorder::new(client.clone(), reporter));
    let metrics = ctx.metrics.clone();
    let served = tokio::spawn(http::serve(args.metrics_addr, health.clone(), metrics.clone()));

    run::wait_for_definitions(&client, &args.namespace, &health).await;
    // A process on standby can take over: it is ready, although it does not lead.
    health.set_ready(true);
    health.sign_of_life();
    let standby = {
        let health = health.clone();
        tokio::spawn(async move {
            loop {
                health.sign_of_life();
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
        })
    };
    let work = run::controllers(ctx, health.clone());
    let lead = leader::lead(
        client,
        &args.namespace,
        &args.identity,
        || {
            standby.abort();
            metrics.leader.set(1);
        },
        work,
    );
    tokio::select! {
        result = lead => result,
        result = served => Err(format!("health and metrics cannot be served on {}: {result:?}", args.metrics_addr)),
    }
}
