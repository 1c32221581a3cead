//! `tenantry instance open`: prints the URL and opens it on a desktop. Does I/O.

use std::io::IsTerminal;

use serde_json::json;

use crate::error::{Exit, Problem};
use crate::session::Session;
use crate::target::{self, Address};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which one
    #[arg(value_name = "TENANT/INSTANCE", add = crate::completion::instances())]
    pub name: Address,
    /// Only prints the URL
    #[arg(long)]
    pub print: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let (_, instance) = target::instance(session, &args.name).await?;
    let url = instance.status.as_ref().and_then(|s| s.url.clone()).ok_or_else(|| {
        Problem::failed(format!("{} has no URL yet", args.name))
            .why("it gets one when it is set up")
            .next("watch", format!("instance show {} --wait", args.name))
    })?;
    if session.out.is_document() {
        session.out.document(&json!({"url": url}))?;
    } else {
        session.out.line(&url);
    }
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|v| std::env::var_os(v).is_some_and(|v| !v.is_empty()));
    let plain = url.starts_with("https://") || url.starts_with("http://");
    if args.print || !desktop || !plain || !std::io::stdout().is_terminal() {
        return Ok(Exit::DONE);
    }
    let started = tokio::process::Command::new("xdg-open")
        .arg(&url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if let Err(e) = started {
        session.out.note(&format!("no browser was opened: xdg-open: {e}"));
    }
    Ok(Exit::DONE)
}
