//! `tenantry blueprint new`: a first draft of a blueprint, from questions or from a Compose file. Does I/O.

mod compose;
mod draft;
mod names;
#[cfg(test)]
mod tests;
mod values;

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};
use tenantry_api::blueprint::Blueprint;
use tenantry_api::database_server::Engine;

use super::validate;
use crate::confirm::read_line;
use crate::error::{Exit, Problem};
use crate::form;
use crate::output::Out;
use draft::{Draft, Process};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the blueprint
    #[arg(value_parser = name)]
    pub name: String,
    /// Compose file of the product; - for standard input
    #[arg(long, value_name = "FILE")]
    pub from_compose: Option<PathBuf>,
    /// Engine of its database
    #[arg(long, value_name = "ENGINE", value_enum)]
    pub engine: Option<Database>,
    /// Image of the product
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub image: Option<String>,
    /// Port that it serves on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// File to write; NAME.yaml when not given, - for standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Writes over a file that exists
    #[arg(long)]
    pub force: bool,
}

/// Engines, and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Database {
    /// PostgreSQL
    Postgresql,
    /// MariaDB
    Mariadb,
    /// It has no database
    None,
}

impl Database {
    fn engine(self) -> Option<Engine> {
        match self {
            Self::Postgresql => Some(Engine::Postgresql),
            Self::Mariadb => Some(Engine::Mariadb),
            Self::None => None,
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = text.len() <= 40 && text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_lowercase());
    if fits && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name: lower-case letters, digits and hyphens, at most 40, a letter first"))
    }
}

fn image(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 500 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} is not an image")) }
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit, Problem> {
    let path = args.to.clone().unwrap_or_else(|| PathBuf::from(format!("{}.yaml", args.name)));
    let prints = path.as_os_str() == "-";
    if !prints && !args.force && path.exists() {
        return Err(exists(&path));
    }
    let mut draft = match &args.from_compose {
        Some(file) => compose::draft(&args.name, &read(file)?)
            .map_err(|why| Problem::failed(format!("{} cannot be used", file.display())).why(why))?,
        None => asked(args, out).await?,
    };
    given(args, &mut draft);
    let text = draft.text();
    sound(&text)?;
    if prints {
        out.line(&text);
    } else {
        write(&path, &text, args.force)?;
    }
    for remark in &draft.remarks {
        out.note(&format!("to do: {}", crate::output::text::clean(remark)));
    }
    if out.is_document() && !prints {
        out.document(&json!({"file": path.display().to_string(), "remarks": draft.remarks}))?;
    } else if !prints {
        let shown = path.display();
        let next = |verb: &str| crate::program::command(&format!("blueprint {verb} {shown}"));
        out.say(&format!(
            "{shown} is written\n  check  {}\n  look   {}\n  try    {}",
            next("validate"),
            next("render"),
            next("test")
        ));
    }
    Ok(Exit::DONE)
}

fn exists(path: &std::path::Path) -> Problem {
    Problem::refused(format!("{} exists already", path.display()))
        .safe("it is unchanged")
        .why("name another with --to FILE, or write over it with --force")
}

/// Reads at most one byte more than a Compose file may have, so that a larger file is noticed.
fn read(file: &std::path::Path) -> Result<String, Problem> {
    let most = u64::try_from(compose::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(most).read_to_string(&mut text))
    };
    read.map_err(|e| Problem::failed(format!("cannot read {}: {e}", file.display())))?;
    Ok(text)
}

fn write(path: &std::path::Path, text: &str, force: bool) -> Result<(), Problem> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    // The file must not exist yet, unless it may be overwritten.
    let opened =
        if force { options.create(true).truncate(true).open(path) } else { options.create_new(true).open(path) };
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Problem::failed(format!("cannot write {}: {e}", path.display())),
    })
}

/// Flags take precedence over the Compose file.
fn given(args: &Args, draft: &mut Draft) {
    if let Some(image) = &args.image {
        draft.image.clone_from(image);
    }
    if let Some(engine) = args.engine {
        draft.engine = engine.engine();
    }
    if let (Some(port), Some(serving)) = (args.port, draft.processes.iter_mut().find(|p| p.serves)) {
        serving.port = Some(port);
    }
}

/// A draft from flags; a person is asked for the missing ones.
async fn asked(args: &Args, out: &Out) -> Result<Draft, Problem> {
    let missing =
        [("--image", args.image.is_none()), ("--port", args.port.is_none()), ("--engine", args.engine.is_none())];
    let missing: Vec<&str> = missing.into_iter().filter(|(_, m)| *m).map(|(flag, _)| flag).collect();
    if !missing.is_empty() && !out.asks {
        return Err(Problem::usage(format!("{} must be given: nobody can be asked here", missing.join(", ")))
            .why("or --from-compose FILE, which tells all of them"));
    }
    let image = match &args.image {
        Some(image) => image.clone(),
        None => question(out, "Image of the product: ", self::image).await?,
    };
    let port = match args.port {
        Some(port) => port,
        None => {
            let number = |t: &str| t.parse().ok().filter(|p: &u16| *p > 0).ok_or_else(|| format!("{t:?} is no port"));
            question(out, "Port that it serves on: ", number).await?
        }
    };
    let engine = match args.engine {
        Some(engine) => engine,
        None => {
            let word = |t: &str| Database::from_str(t, true);
            question(out, "Its database (postgresql, mariadb or none): ", word).await?
        }
    };
    let serving = Process { name: "web".into(), port: Some(port), serves: true, ..Process::default() };
    let mut draft =
        Draft { name: args.name.clone(), image, engine: engine.engine(), processes: vec![serving], ..Draft::default() };
    if draft.engine.is_some() {
        let log_in = [
            ("DB_HOST", "host"),
            ("DB_PORT", "port"),
            ("DB_NAME", "name"),
            ("DB_USER", "user"),
            ("DB_PASSWORD", "password"),
        ];
        draft.env = log_in.map(|(name, what)| (name.to_owned(), format!("{{{{ database.{what} }}}}"))).into();
        draft
            .remarks
            .push("name the variables of `env` as the product reads them, or write a file with `files`".into());
    }
    Ok(draft)
}

/// Repeats the question until the answer can be used.
async fn question<T>(out: &Out, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Problem> {
    loop {
        out.ask(text);
        let line = read_line().await?;
        if line.is_empty() {
            return Err(Problem::failed("the question was not answered").safe("nothing was written"));
        }
        match parse(line.trim()) {
            Ok(value) => return Ok(value),
            Err(why) => out.note(&why),
        }
    }
}

/// Checks that the draft is a valid blueprint. If it is not, this program or the names in the Compose file are at
/// fault.
fn sound(text: &str) -> Result<(), Problem> {
    let problems = problems_of(text);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Problem::refused("the draft would not be valid, and was not written").why(problems.join("\n")))
}

fn problems_of(text: &str) -> Vec<String> {
    let value: Value = match tenantry_core::yaml::from_str(text) {
        Ok(value) => value,
        Err(e) => return vec![e.to_string()],
    };
    match form::read::<Blueprint>(value) {
        Ok(blueprint) => validate::problems(&blueprint),
        Err(e) => vec![e],
    }
}
