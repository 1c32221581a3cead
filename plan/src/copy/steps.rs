//! The commands that copy a database or files. A dump is written to a file and checked before it is loaded, because a
//! pipe would also load the beginning of a dump that fails later. No I/O.

use std::collections::BTreeMap;

use tenantry_core::engine::Engine;
use tenantry_core::steps::{JobFile, RenderedStep};

use super::{FROM, Pair, SCRATCH, TO};
use crate::agent_pod::JOB;
use crate::context::DatabaseAccess;

/// Seconds for a whole copy; each step may take all of them.
const SECONDS: u32 = 21_600;

/// One of the two databases: the original, or the copy.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Address and log-in.
    pub access: &'a DatabaseAccess,
    /// Whether the connection must be encrypted.
    pub tls: bool,
    /// Authority of the server's certificate, in PEM. None means that the certificate is not checked.
    pub ca: Option<&'a str>,
}

/// The steps that fill the database of a copy. Both sides have the same engine; the copy's database is empty.
#[must_use]
pub fn database_file(from: &Side<'_>, to: &Side<'_>) -> JobFile {
    let steps = match from.access.engine {
        Engine::Mariadb => mariadb(from, to),
        Engine::Postgresql => postgresql(from, to),
    };
    let redact = [from, to].iter().map(|s| s.access.password.reveal().to_owned()).collect();
    JobFile { timeout_seconds: SECONDS, steps, redact }
}

/// The steps that fill the volumes of a copy.
#[must_use]
pub fn files_file(pairs: &[Pair]) -> JobFile {
    let agent = "/tenantry/bin/tenantry-agent";
    let one = |Pair { name, .. }: &Pair| {
        let (from, to) = (format!("{FROM}/{name}"), format!("{TO}/{name}"));
        step(&format!("files of {name}"), words([agent, "copy-tree", "--from", &from, "--to", &to]), BTreeMap::new())
    };
    JobFile { timeout_seconds: SECONDS, steps: pairs.iter().map(one).collect(), redact: Vec::new() }
}

fn step(name: &str, command: Vec<String>, env: BTreeMap<String, String>) -> RenderedStep {
    RenderedStep {
        name: name.to_owned(),
        command,
        env,
        stdin: None,
        working_dir: None,
        timeout_seconds: SECONDS,
        fail_on_output: None,
    }
}

fn words<'a>(all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    all.into_iter().map(str::to_owned).collect()
}

fn authority(name: &str) -> String {
    format!("{JOB}/{name}-ca.pem")
}

/// Dumps as the original's role, consistently as of one moment, without owners and rights because the copy has a role
/// of its own.
fn postgresql(from: &Side<'_>, to: &Side<'_>) -> Vec<RenderedStep> {
    let dump = format!("{SCRATCH}/dump");
    let plain = ["--no-owner", "--no-privileges", "--no-comments", "--no-security-labels", "--no-password"];
    let with = |program: &str, more: &[&str], side: &Side<'_>| {
        let a = side.access;
        let mut all = words(std::iter::once(program).chain(more.iter().copied()).chain(plain));
        all.extend([
            format!("--host={}", a.host),
            format!("--port={}", a.port),
            format!("--username={}", a.user),
            format!("--dbname={}", a.name),
        ]);
        all
    };
    let to_file = format!("--file={dump}");
    let more =
        ["--format=custom", "--compress=1", "--no-publications", "--no-subscriptions", "--lock-wait-timeout=300s"];
    let more: Vec<&str> = more.into_iter().chain([to_file.as_str()]).collect();
    let mut load = with("pg_restore", &["--exit-on-error"], to);
    load.push(dump.clone());
    let contents = format!("--file={SCRATCH}/contents");
    vec![
        step("read the original", with("pg_dump", &more, from), postgresql_env("from", from)),
        step("look at the dump", words(["pg_restore", "--list", &contents, &dump]), BTreeMap::new()),
        step("write the copy", load, postgresql_env("to", to)),
    ]
}

fn postgresql_env(name: &str, side: &Side<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("PGPASSWORD".to_owned(), side.access.password.reveal().to_owned()),
        ("PGCONNECT_TIMEOUT".to_owned(), "30".to_owned()),
    ]);
    if side.tls {
        let mode = if side.ca.is_some() { "verify-full" } else { "require" };
        env.insert("PGSSLMODE".into(), mode.into());
    }
    if side.ca.is_some() {
        env.insert("PGSSLROOTCERT".into(), authority(name));
    }
    env
}

/// Dumps without triggers and events, which belong to the administrator. Objects that run as the original's role will
/// run as the copy's role. Tables are not dropped first, so that of two loads into one database at least one fails.
fn mariadb(from: &Side<'_>, to: &Side<'_>) -> Vec<RenderedStep> {
    let (dump, load) = (format!("{SCRATCH}/dump.sql"), format!("{SCRATCH}/load.sql"));
    let env = |side: &Side<'_>| BTreeMap::from([("MYSQL_PWD".to_owned(), side.access.password.reveal().to_owned())]);
    let mut read = words([
        "mariadb-dump",
        "--no-defaults",
        "--single-transaction",
        "--quick",
        "--no-tablespaces",
        "--skip-triggers",
        "--routines",
        "--hex-blob",
        "--skip-add-drop-table",
        "--skip-dump-date",
        "--default-character-set=utf8mb4",
    ]);
    read.push(format!("--result-file={dump}"));
    read.extend(mariadb_place("from", from));
    read.push(from.access.name.clone());
    // Names of roles contain only letters, digits and underscores, none of which is special to sed.
    let own = format!(
        r"s/^\(\/\*!50013 \|CREATE \|\/\*!50003 CREATE\*\/ \/\*!50020 \)DEFINER=`{}`@`[^`]*` */\1/",
        from.access.user
    );
    let look = format!("tail -n 1 {dump} | grep -q '^-- Dump completed'");
    let rewrite = format!("sed -e \"$1\" {dump} > {load} && rm {dump}");
    let mut write = words(["sh", "-c", &format!("exec mariadb \"$@\" < {load}"), "load", "--no-defaults"]);
    write.extend(words(["--binary-mode", "--default-character-set=utf8mb4"]));
    write.extend(mariadb_place("to", to));
    write.push(format!("--database={}", to.access.name));
    vec![
        step("read the original", read, env(from)),
        step("look at the dump", words(["sh", "-c", &look]), BTreeMap::new()),
        step("leave the original's role out", words(["sh", "-c", &rewrite, "rewrite", &own]), BTreeMap::new()),
        step("write the copy", write, env(to)),
    ]
}

fn mariadb_place(name: &str, side: &Side<'_>) -> Vec<String> {
    let a = side.access;
    let mut all = vec![
        "--protocol=tcp".to_owned(),
        format!("--host={}", a.host),
        format!("--port={}", a.port),
        format!("--user={}", a.user),
    ];
    match (side.tls, side.ca) {
        (false, _) => all.push("--skip-ssl".into()),
        (true, None) => all.push("--ssl".into()),
        (true, Some(_)) => {
            all.extend(["--ssl-verify-server-cert".into(), format!("--ssl-ca={}", authority(name))]);
        }
    }
    all
}
