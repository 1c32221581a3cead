//! Strict templates, used for a blueprint's files, environment, commands, SQL and requests. No I/O.
//!
//! The language is Jinja, without anything that reaches outside the text: no other files, no functions, no macros, no
//! time, no randomness. Nothing is escaped automatically: the author applies the filter for the place where a value is
//! written. A variable that does not exist is an error with its name and line, except in `is defined` and
//! `is undefined`. Writing null, a list or a map is an error, too.
//!
//! Filters: `base64` (`b64encode`), `md5`, `sha256`, `urlencode`, `tojson`, `sql_quote`, `shell_quote`, `ini_value`,
//! `php_string`, `argon2(salt)`, `bcrypt(salt)`, `lower`, `upper`, `trim`, `string`, `replace(from, to)`,
//! `indent(width)`, `int`, `length`, `join(between)`, `first`, `last`, `sort`, `lines`, `keys`, `items`. Tests:
//! `defined`, `undefined`, `none`, `string`, `number`, `boolean`, `mapping`, `sequence`, `true`, `false`,
//! `startingwith(text)`, `endingwith(text)`. Booleans are written as `true` and `false`; before joining one with `~`,
//! write `value|string`.

mod error;
mod filters;
pub mod quote;
mod secrets;
#[cfg(test)]
mod tests;
mod walk;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value as Jinja, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

pub use self::error::{Reason, TemplateError};
pub use self::secrets::{Redactor, SECRET_SETTINGS, is_secret, is_secret_in, secret_texts};

/// Maximum size of a template, in bytes.
pub const SOURCE_MAX: usize = 256 * 1024;
/// Maximum size of a result, in bytes.
pub const OUTPUT_MAX: usize = 1024 * 1024;
/// Maximum number of instructions in one rendering.
const FUEL: u64 = 100_000;
/// Maximum depth of one rendering.
const DEPTH: usize = 100;

/// Renders a template. `name` is used only in errors.
///
/// # Errors
/// [`TemplateError`] with the line, and with the variable's name if a variable does not exist.
pub fn render(name: &str, source: &str, context: &Value) -> Result<String, TemplateError> {
    let syntax = syntax(name)?;
    sized(name, source)?;
    let uses = walk::uses(name, source, &syntax)?;
    let env = environment(syntax);
    let fail = |e: &minijinja::Error| explain(name, e, &uses, context);
    let template = env.template_from_named_str(name, source).map_err(|e| fail(&e))?;
    let mut out = Bounded(Vec::new());
    template.render_captured_to(Jinja::from(Serde(context)), &mut out).map_err(|e| fail(&e))?;
    String::from_utf8(out.0).map_err(|_| TemplateError {
        name: name.into(),
        line: None,
        reason: Reason::Value("not UTF-8".into()),
    })
}

/// Checks a template without values. Returns the variables that it uses, in dotted form such as `database.password`,
/// sorted and without duplicates. Names that the template itself defines are left out.
///
/// # Errors
/// [`TemplateError`] with the line.
pub fn check(name: &str, source: &str) -> Result<Vec<String>, TemplateError> {
    let syntax = syntax(name)?;
    sized(name, source)?;
    let uses = walk::uses(name, source, &syntax)?;
    let env = environment(syntax);
    env.template_from_named_str(name, source).map_err(|e| explain(name, &e, &uses, &Value::Null))?;
    let mut names: Vec<String> = uses.into_iter().filter(|u| !u.local).map(|u| u.path).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn syntax(name: &str) -> Result<SyntaxConfig, TemplateError> {
    SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(|e| TemplateError {
        name: name.into(),
        line: None,
        reason: Reason::Syntax(e.to_string()),
    })
}

fn sized(name: &str, source: &str) -> Result<(), TemplateError> {
    if source.len() <= SOURCE_MAX {
        return Ok(());
    }
    let text = format!("the template has {} bytes; at most {SOURCE_MAX} are read", source.len());
    Err(TemplateError { name: name.into(), line: None, reason: Reason::Limit(text) })
}

/// Every rendering gets a new environment, because the environment holds the budget of the filters.
fn environment<'a>(syntax: SyntaxConfig) -> Environment<'a> {
    let mut env = Environment::empty();
    env.set_syntax(syntax);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(DEPTH);
    // Makes the engine report which expression was undefined.
    env.set_debug(true);
    env.set_formatter(|out, _state, value| match value.kind() {
        ValueKind::Bool => {
            out.write_str(if value.is_true() { "true" } else { "false" }).map_err(minijinja::Error::from)
        }
        ValueKind::String | ValueKind::Number => write!(out, "{value}").map_err(minijinja::Error::from),
        // Other undefined values have failed before this point; this one is the missing `else` of `a if b`.
        ValueKind::Undefined => Ok(()),
        ValueKind::None => {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, "the value is null; ask `is none` before"))
        }
        kind => Err(minijinja::Error::new(
            ErrorKind::InvalidOperation,
            format!("a {kind} cannot be written: use `tojson` or `join`"),
        )),
    });
    filters::install(&mut env);
    env
}

/// A buffer for text that refuses to grow beyond the maximum.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "output too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Translates the engine's error.
fn explain(name: &str, error: &minijinja::Error, uses: &[walk::Use], context: &Value) -> TemplateError {
    let said = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    let reason = match error.kind() {
        ErrorKind::UndefinedError => unknown(&said, error.line(), uses, context),
        ErrorKind::SyntaxError => Reason::Syntax(said),
        ErrorKind::OutOfFuel if error.detail().is_none() => {
            Reason::Limit(format!("the template does not end within {FUEL} instructions"))
        }
        ErrorKind::OutOfFuel => Reason::Limit(said),
        ErrorKind::WriteFailure => Reason::Limit(format!("the result is larger than {OUTPUT_MAX} bytes")),
        _ => Reason::Value(Redactor::new(context).redact(&said)),
    };
    TemplateError { name: name.into(), line: error.line(), reason }
}

/// Finds the name of the unknown variable: from the engine's message, else the variable of that line that does not
/// exist.
fn unknown(said: &str, line: Option<usize>, uses: &[walk::Use], context: &Value) -> Reason {
    let told = said.split('`').nth(1).filter(|p| !p.is_empty() && !p.contains(['(', ' ']));
    let dotted = told.map(|p| p.replace(['\'', '"', ']'], "").replace('[', "."));
    let here = || uses.iter().filter(|u| line.is_none_or(|l| u.line == l));
    let path = dotted
        .or_else(|| here().find(|u| !u.local && resolve(&u.path, context).is_err()).map(|u| u.path.clone()))
        .or_else(|| here().find(|u| u.local).map(|u| u.path.clone()))
        .unwrap_or_else(|| "?".into());
    // The full path as written in the template, because the engine may have stopped at its first part.
    let prefix = format!("{path}.");
    let path = here().find(|u| u.path.starts_with(&prefix)).map_or(path, |u| u.path.clone());
    let local = uses.iter().any(|u| u.local && u.path.split('.').next() == path.split('.').next());
    match resolve(&path, context) {
        Err((under, known)) if !local => Reason::Unknown { path, under, known },
        _ => Reason::Unknown { path, under: String::new(), known: Vec::new() },
    }
}

/// Follows a dotted path. The error holds the longest part that exists and the names below that part.
fn resolve(path: &str, context: &Value) -> Result<(), (String, Vec<String>)> {
    let mut at = context;
    let mut under = String::new();
    for part in path.split('.') {
        let next = match at {
            Value::Object(map) => map.get(part),
            Value::Array(list) => part.parse().ok().and_then(|n: usize| list.get(n)),
            _ => None,
        };
        let Some(next) = next else {
            let known = at.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
            return Err((under, known));
        };
        if !under.is_empty() {
            under.push('.');
        }
        under.push_str(part);
        at = next;
    }
    Ok(())
}
