//! The filters and tests that templates may use. None of them reads time, randomness, environment or files. No I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, tests};
use sha2::Digest;

use super::quote;
use crate::password;

/// Maximum size of the text that one filter returns, and maximum number of bytes that all filters of one rendering read
/// together.
const RESULT_MAX: usize = 1024 * 1024;
const WORK_MAX: u64 = 32 * 1024 * 1024;
/// Share of that maximum that one password hash uses up, so that one rendering makes at most eight.
const HASH_WORK: u64 = WORK_MAX / 8;

/// The work that one rendering may still do.
#[derive(Debug, Clone)]
struct Budget(Arc<AtomicU64>);

impl Budget {
    fn spend(&self, work: u64) -> Result<(), Error> {
        match self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(work)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::OutOfFuel, "the filters of this template do too much work")),
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The error about an undefined value, including what the engine knows about its origin.
fn undefined(state: &mut State, value: &Value) -> Error {
    match state.format(value.clone()) {
        Err(error) => error,
        Ok(_) => Error::from(ErrorKind::UndefinedError),
    }
}

/// All filters that [`install`] adds, so that a template can be checked without being rendered.
pub(super) const FILTERS: [&str; 27] = [
    "argon2",
    "b64encode",
    "base64",
    "bcrypt",
    "first",
    "indent",
    "ini_value",
    "int",
    "items",
    "join",
    "keys",
    "last",
    "length",
    "lines",
    "lower",
    "md5",
    "php_string",
    "replace",
    "sha256",
    "shell_quote",
    "sort",
    "sql_quote",
    "string",
    "tojson",
    "trim",
    "upper",
    "urlencode",
];
/// All tests that templates may use.
pub(super) const TESTS: [&str; 12] = [
    "boolean",
    "defined",
    "endingwith",
    "false",
    "mapping",
    "none",
    "number",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];

/// A value as text. Lists, maps and null have no text form, because writing them into a file is always a mistake.
fn text(state: &mut State, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        // The engine itself would write Python's words for true and false.
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Undefined => Err(undefined(state, value)),
        kind => Err(wrong(format!("a text is needed here, not {kind}"))),
    }
}

fn bounded(text: String) -> Result<Value, Error> {
    if text.len() > RESULT_MAX {
        return Err(Error::new(ErrorKind::OutOfFuel, format!("a filter's result is larger than {RESULT_MAX} bytes")));
    }
    Ok(Value::from(text))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Adds all filters and tests to an environment that has none yet.
pub(super) fn install(env: &mut Environment<'_>) {
    let budget = Budget(Arc::new(AtomicU64::new(WORK_MAX)));
    quoting(env, &budget);
    hashing(env, &budget);
    texts(env, &budget);
    lists(env, &budget);
    ask(env);
}

/// Adds a filter that turns one text into another.
fn simple<F>(env: &mut Environment<'_>, budget: &Budget, name: &'static str, f: F)
where
    F: Fn(&str) -> Result<String, Error> + Send + Sync + 'static,
{
    let budget = budget.clone();
    env.add_filter(name, move |state: &mut State, value: &Value| {
        let text = text(state, value)?;
        budget.spend(text.len() as u64)?;
        bounded(f(&text)?)
    });
}

fn quoting(env: &mut Environment<'_>, budget: &Budget) {
    let said = |e: quote::QuoteError| wrong(e.to_string());
    simple(env, budget, "sql_quote", move |t| quote::sql(t).map_err(said));
    simple(env, budget, "shell_quote", move |t| quote::shell(t).map_err(said));
    simple(env, budget, "ini_value", move |t| quote::ini(t).map(str::to_owned).map_err(said));
    simple(env, budget, "php_string", |t| Ok(quote::php(t)));
    simple(env, budget, "urlencode", |t| Ok(quote::url(t)));
    let budget = budget.clone();
    env.add_filter("tojson", move |state: &mut State, value: &Value| {
        if value.is_undefined() {
            return Err(undefined(state, value));
        }
        let json = serde_json::to_string(value).map_err(|e| wrong(format!("tojson: {e}")))?;
        budget.spend(json.len() as u64)?;
        bounded(json)
    });
}

fn hashing(env: &mut Environment<'_>, budget: &Budget) {
    for name in ["base64", "b64encode"] {
        simple(env, budget, name, |t| Ok(STANDARD.encode(t)));
    }
    simple(env, budget, "md5", |t| Ok(hex(md5::Md5::digest(t))));
    simple(env, budget, "sha256", |t| Ok(hex(sha2::Sha256::digest(t))));
    type Hash = fn(&str, &str) -> Result<String, password::PasswordError>;
    for (name, hash) in [("argon2", password::argon2 as Hash), ("bcrypt", password::bcrypt)] {
        let budget = budget.clone();
        env.add_filter(name, move |state: &mut State, value: &Value, salt: &Value| {
            let (password, salt) = (text(state, value)?, text(state, salt)?);
            budget.spend(HASH_WORK)?;
            hash(&password, &salt).map(Value::from).map_err(|e| wrong(e.to_string()))
        });
    }
}

fn texts(env: &mut Environment<'_>, budget: &Budget) {
    simple(env, budget, "lower", |t| Ok(t.to_lowercase()));
    simple(env, budget, "upper", |t| Ok(t.to_uppercase()));
    simple(env, budget, "trim", |t| Ok(t.trim().to_owned()));
    simple(env, budget, "string", |t| Ok(t.to_owned()));
    let spend = budget.clone();
    env.add_filter("replace", move |state: &mut State, value: &Value, from: &Value, to: &Value| {
        let (value, from, to) = (text(state, value)?, text(state, from)?, text(state, to)?);
        if from.is_empty() {
            return Err(wrong("replace: the text to be replaced is empty"));
        }
        let found = value.matches(&from).count();
        let size = value.len().saturating_add(found.saturating_mul(to.len()));
        spend.spend(size as u64)?;
        bounded(value.replace(&from, &to))
    });
    let spend = budget.clone();
    env.add_filter("indent", move |state: &mut State, value: &Value, width: usize| {
        let value = text(state, value)?;
        if width > 64 {
            return Err(wrong("indent: at most 64 spaces"));
        }
        let pause = format!("\n{}", " ".repeat(width));
        spend.spend((value.len() + value.matches('\n').count() * pause.len()) as u64)?;
        bounded(value.replace('\n', &pause))
    });
    env.add_filter("int", |state: &mut State, value: &Value| {
        let said = text(state, value)?;
        match said.trim().parse::<i64>() {
            Ok(n) => Ok(Value::from(n)),
            Err(_) if value.kind() == ValueKind::Bool => Ok(Value::from(i64::from(value.is_true()))),
            Err(_) => Err(wrong("int: the value is not a whole number")),
        }
    });
}

fn lists(env: &mut Environment<'_>, budget: &Budget) {
    env.add_filter("length", |state: &mut State, value: &Value| match value.len() {
        Some(length) => Ok(length),
        None if value.is_undefined() => Err(undefined(state, value)),
        None => Err(wrong(format!("length: {} has none", value.kind()))),
    });
    let spend = budget.clone();
    env.add_filter("join", move |state: &mut State, value: &Value, between: &Value| {
        let between = text(state, between)?;
        let mut out = String::new();
        for (n, item) in items(state, value)?.into_iter().enumerate() {
            let item = text(state, &item)?;
            spend.spend((item.len() + between.len() + 1) as u64)?;
            if n > 0 {
                out.push_str(&between);
            }
            out.push_str(&item);
        }
        bounded(out)
    });
    env.add_filter("first", |state: &mut State, value: &Value| one(items(state, value)?.into_iter().next()));
    env.add_filter("last", |state: &mut State, value: &Value| one(items(state, value)?.pop()));
    let spend = budget.clone();
    env.add_filter("sort", move |state: &mut State, value: &Value| {
        let mut all = items(state, value)?;
        spend.spend(all.len() as u64 * 64)?;
        all.sort();
        Ok(Value::from(all))
    });
    let spend = budget.clone();
    env.add_filter("lines", move |state: &mut State, value: &Value| {
        let value = text(state, value)?;
        spend.spend(value.len() as u64)?;
        Ok(Value::from(value.lines().map(Value::from).collect::<Vec<_>>()))
    });
    // Keys are sorted, so that the same inputs always give the same text.
    env.add_filter("keys", |state: &mut State, value: &Value| Ok(Value::from(sorted_keys(state, value)?)));
    env.add_filter("items", |state: &mut State, value: &Value| {
        let pairs = sorted_keys(state, value)?.into_iter().map(|key| {
            let item = value.get_item(&key)?;
            Ok(Value::from(vec![key, item]))
        });
        Ok(Value::from(pairs.collect::<Result<Vec<_>, Error>>()?))
    });
}

fn one(item: Option<Value>) -> Result<Value, Error> {
    item.ok_or_else(|| wrong("the list is empty"))
}

fn items(state: &mut State, value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => Ok(value.try_iter()?.collect()),
        ValueKind::Undefined => Err(undefined(state, value)),
        kind => Err(wrong(format!("a list is needed here, not {kind}"))),
    }
}

fn sorted_keys(state: &mut State, value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            keys.sort();
            Ok(keys)
        }
        ValueKind::Undefined => Err(undefined(state, value)),
        kind => Err(wrong(format!("a map is needed here, not {kind}"))),
    }
}

/// Adds the tests. Only `defined` and `undefined` may name a variable that does not exist.
fn ask(env: &mut Environment<'_>) {
    env.add_test("defined", tests::is_defined);
    env.add_test("undefined", tests::is_undefined);
    type Test = fn(&Value) -> bool;
    let strict: [(&'static str, Test); 8] = [
        ("none", |v| v.is_none()),
        ("string", |v| v.kind() == ValueKind::String),
        ("number", |v| v.kind() == ValueKind::Number),
        ("boolean", |v| v.kind() == ValueKind::Bool),
        ("mapping", |v| v.kind() == ValueKind::Map),
        ("sequence", |v| matches!(v.kind(), ValueKind::Seq | ValueKind::Iterable)),
        ("true", |v| v.kind() == ValueKind::Bool && v.is_true()),
        ("false", |v| v.kind() == ValueKind::Bool && !v.is_true()),
    ];
    for (name, test) in strict {
        env.add_test(
            name,
            move |state: &mut State, value: &Value| {
                if value.is_undefined() { Err(undefined(state, value)) } else { Ok(test(value)) }
            },
        );
    }
    type Compare = fn(&str, &str) -> bool;
    let compare: [(&'static str, Compare); 2] =
        [("startingwith", |a, b| a.starts_with(b)), ("endingwith", |a, b| a.ends_with(b))];
    for (name, test) in compare {
        env.add_test(name, move |state: &mut State, value: &Value, other: &Value| {
            Ok::<_, Error>(test(&text(state, value)?, &text(state, other)?))
        });
    }
}
