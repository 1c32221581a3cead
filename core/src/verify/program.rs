//! The machine of a verification: says what to ask, judges the answers, keeps captures and cookies. No I/O.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::jar::{self, Jar};
use super::{BODY_MAX, Expectation, STEPS_MAX, Source, Verify, VerifyStep};
use crate::template::{Redactor, render};

/// Maximum length of a path with its query, in bytes.
const PATH_MAX: usize = 8 * 1024;
/// Characters of an answer that a failure shows at most.
const SEEN_MAX: usize = 400;
/// Length of the shortest captured text that is hidden in failures. Session ids are longer, ids of records are shorter.
const CAPTURE_SECRET_MIN: usize = 8;
/// Maximum size of a compiled regular expression.
const REGEX_MAX: usize = 1024 * 1024;

/// A request to send. Its Debug output shows no headers and no body, because they contain secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Name of the step.
    pub step: String,
    /// Process whose port is asked. None means the process that serves.
    pub process: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, including `cookie`.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<String>,
}

impl Request {
    /// The headers of the request, plus those that a browser's request has behind an ingress: products compare `Host`
    /// with their own address, port included, and some must be told that the browser used TLS. The blueprint's headers
    /// take precedence. `url` is the instance's own URL.
    #[must_use]
    pub fn headers_at(&self, url: &str) -> Vec<(String, String)> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let authority = rest.split('/').next().unwrap_or_default();
        let sent = [("host", authority), ("x-forwarded-proto", scheme), ("x-forwarded-host", authority)];
        let own = |name: &str| self.headers.iter().any(|(k, _)| k.eq_ignore_ascii_case(name));
        let sent = sent.into_iter().filter(|(name, _)| !own(name)).map(|(k, v)| (k.to_owned(), v.to_owned()));
        sent.chain(self.headers.iter().cloned()).collect()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}: {})", self.step, self.method)
    }
}

/// The answer to a request. Of a body longer than [`BODY_MAX`], one byte more than that is enough.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in their order. A name may occur more than once.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why a verification failed. Secrets are replaced by `***`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: expected {expected}, seen {seen}")]
pub struct Failure {
    /// Name of the step.
    pub step: String,
    /// What was expected.
    pub expected: String,
    /// What was seen, shortened.
    pub seen: String,
}

/// A verification that is being run.
#[derive(Debug, Clone)]
pub struct Program {
    steps: Vec<VerifyStep>,
    at: usize,
    failed: bool,
    context: Map<String, Value>,
    captures: Map<String, Value>,
    jar: Jar,
    redactor: Redactor,
}

impl Program {
    /// Begins a verification. `context` holds the values for its templates; `captures` is added to it.
    #[must_use]
    pub fn new(verify: &Verify, context: Value) -> Self {
        let redactor = Redactor::new(&context);
        let context = match context {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self {
            steps: verify.steps.clone(),
            at: 0,
            failed: false,
            context,
            captures: Map::new(),
            jar: Jar::default(),
            redactor,
        }
    }

    /// The next request. The same request is returned again until it is answered. None means that all steps passed or
    /// one failed.
    ///
    /// An error ends the verification.
    // Not an Iterator, because the caller must give an answer between two requests.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Result<Request, Failure>> {
        let step = self.current()?;
        let made = self.request(&step);
        self.failed = made.is_err();
        Some(made)
    }

    /// Whether every step passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.failed && !self.steps.is_empty() && self.at >= self.steps.len()
    }

    /// Judges the answer to the last request, takes its captures and cookies, and goes on to the next step.
    ///
    /// # Errors
    /// [`Failure`] with what was expected and what was seen; the verification has ended.
    pub fn answer(&mut self, response: &Response) -> Result<(), Failure> {
        let Some(step) = self.current() else { return Ok(()) };
        let judged = self.judge(&step, response);
        match judged {
            Ok(captured) => {
                for (name, value) in captured {
                    self.learn(&value);
                    self.captures.insert(name, value);
                }
                self.jar.take(&response.headers);
                self.at += 1;
                Ok(())
            }
            Err((expected, seen)) => {
                self.failed = true;
                Err(self.failure(&step, &expected, &seen))
            }
        }
    }

    fn current(&self) -> Option<VerifyStep> {
        if self.failed { None } else { self.steps.get(self.at).cloned() }
    }

    /// Hides captured texts in failures, because most of them are sessions and tokens.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::String(text) if text.len() >= CAPTURE_SECRET_MIN => self.redactor.add(text),
            Value::Array(list) => list.iter().for_each(|v| self.learn(v)),
            _ => {}
        }
    }

    fn failure(&self, step: &VerifyStep, expected: &str, seen: &str) -> Failure {
        Failure {
            step: step.name.clone(),
            expected: cut(&self.redactor.redact(expected)),
            // Spaces are folded only after the secrets are replaced, because a secret may contain two spaces in a row.
            seen: cut(&folded(&self.redactor.redact(seen))),
        }
    }

    fn render(&self, place: &str, source: &str) -> Result<String, String> {
        let mut context = self.context.clone();
        context.insert("captures".into(), Value::Object(self.captures.clone()));
        render(place, source, &Value::Object(context)).map_err(|e| e.to_string())
    }

    fn request(&self, step: &VerifyStep) -> Result<Request, Failure> {
        let wrong = |why: String| self.failure(step, "a request that can be made", &why);
        if self.at >= STEPS_MAX {
            return Err(wrong(format!("more than {STEPS_MAX} steps")));
        }
        if !valid_method(&step.method) {
            return Err(wrong(format!("method {:?}", step.method)));
        }
        let path = self.render("path", &step.path).map_err(wrong)?;
        let plain = path.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'#');
        if !path.starts_with('/') || path.len() > PATH_MAX || !plain {
            return Err(wrong("a path that does not begin with /, is too long, or needs the filter urlencode".into()));
        }
        let mut headers = Vec::new();
        for (name, value) in &step.headers {
            let value = self.render(&format!("headers.{name}"), value).map_err(wrong)?;
            if !valid_header(name) || !value.bytes().all(|b| b == b'\t' || (0x20..=0x7e).contains(&b)) {
                return Err(wrong(format!("header {name:?} has characters that a header cannot have")));
            }
            headers.push((name.clone(), value));
        }
        if let Some(cookies) = self.jar.header() {
            match headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
                Some((_, own)) => *own = format!("{own}; {cookies}"),
                None => headers.push(("Cookie".into(), cookies)),
            }
        }
        let body = step.body.as_deref().map(|b| self.render("body", b)).transpose().map_err(wrong)?;
        Ok(Request {
            step: step.name.clone(),
            process: step.process.clone(),
            method: step.method.clone(),
            path,
            headers,
            body,
        })
    }

    /// The captures of an answer that passes. The error holds what was expected and what was seen.
    fn judge(&self, step: &VerifyStep, response: &Response) -> Result<Vec<(String, Value)>, (String, String)> {
        if response.body.len() > BODY_MAX {
            return Err((format!("an answer of at most {BODY_MAX} bytes"), "a longer one".into()));
        }
        let wanted: &[u16] = if step.status.is_empty() { &[200] } else { &step.status };
        let answer = Answer::new(response);
        if !wanted.contains(&response.status) {
            let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
            return Err((format!("status {}", wanted.join(" or ")), answer.summary()));
        }
        for expectation in &step.expect {
            self.expect(expectation, &answer)?;
        }
        step.capture
            .iter()
            .map(|(name, source)| match answer.find(source) {
                Ok(Some(value)) => Ok((name.clone(), value)),
                Ok(None) => Err((format!("a value for captures.{name} in {}", place(source)), answer.summary())),
                Err(why) => Err((format!("a value for captures.{name}"), why)),
            })
            .collect()
    }

    fn expect(&self, e: &Expectation, answer: &Answer<'_>) -> Result<(), (String, String)> {
        let source =
            Source { json: e.json.clone(), header: e.header.clone(), cookie: e.cookie.clone(), regex: e.regex.clone() };
        let whole = source == Source::default();
        let at = if whole { "the body".to_owned() } else { place(&source) };
        let found = if whole {
            Some(Value::String(answer.body.clone()))
        } else {
            answer.find(&source).map_err(|w| (at.clone(), w))?
        };
        let text = found.as_ref().map(as_text);
        let rendered = |place: &str, source: &Option<String>| {
            source.as_deref().map(|s| self.render(place, s)).transpose().map_err(|why| (at.clone(), why))
        };
        let seen = || match &text {
            Some(text) if !whole => format!("{text:?} with {}", answer.summary()),
            Some(_) => answer.summary(),
            None => format!("nothing there, with {}", answer.summary()),
        };
        let must = |holds: bool, expected: String| if holds { Ok(()) } else { Err((expected, seen())) };
        if let Some(exists) = e.exists {
            must(text.is_some() == exists, format!("{at} {}", if exists { "to exist" } else { "not to exist" }))?;
        }
        if let Some(wanted) = rendered("equals", &e.equals)? {
            must(text.as_ref() == Some(&wanted), format!("{at} to be {wanted:?}"))?;
        }
        if let Some(wanted) = rendered("contains", &e.contains)? {
            must(text.as_ref().is_some_and(|t| t.contains(&wanted)), format!("{at} to contain {wanted:?}"))?;
        }
        if let Some(unwanted) = rendered("notContains", &e.not_contains)? {
            must(text.as_ref().is_none_or(|t| !t.contains(&unwanted)), format!("{at} not to contain {unwanted:?}"))?;
        }
        if let Some(pattern) = &e.matches {
            let regex = regex(pattern).map_err(|why| (at.clone(), why))?;
            must(text.as_ref().is_some_and(|t| regex.is_match(t)), format!("{at} to match {pattern:?}"))?;
        }
        Ok(())
    }
}

/// An answer whose body is decoded only once.
struct Answer<'r> {
    response: &'r Response,
    body: String,
    json: Option<Value>,
}

impl<'r> Answer<'r> {
    fn new(response: &'r Response) -> Self {
        let body = String::from_utf8_lossy(&response.body).into_owned();
        Self { response, json: serde_json::from_str(&body).ok(), body }
    }

    /// The value that a source points to. A body that is not JSON has no JSON values.
    fn find(&self, source: &Source) -> Result<Option<Value>, String> {
        if let Some(pointer) = &source.json {
            let found = self.json.as_ref().and_then(|json| json.pointer(pointer));
            return Ok(found.filter(|v| !v.is_null()).cloned());
        }
        let text = if let Some(wanted) = &source.header {
            let all: Vec<&str> = self.headers(wanted).collect();
            (!all.is_empty()).then(|| all.join(", "))
        } else if let Some(wanted) = &source.cookie {
            jar::cookie(&self.response.headers, wanted).map(str::to_owned)
        } else if let Some(pattern) = &source.regex {
            let found = regex(pattern)?.captures(&self.body).and_then(|c| c.get(1).or_else(|| c.get(0)));
            found.map(|m| m.as_str().to_owned())
        } else {
            None
        };
        Ok(text.map(Value::String))
    }

    fn headers<'s>(&'s self, wanted: &'s str) -> impl Iterator<Item = &'s str> {
        self.response.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.as_str())
    }

    /// Status, redirect and the beginning of the body, which are enough to recognise the kind of page.
    fn summary(&self) -> String {
        let to = self.headers("location").next().map_or_else(String::new, |to| format!(" to {to}"));
        let body = if self.body.trim().is_empty() { "an empty body" } else { self.body.as_str() };
        format!("status {}{to}: {body}", self.response.status)
    }
}

fn place(source: &Source) -> String {
    match (&source.json, &source.header, &source.cookie, &source.regex) {
        (Some(json), ..) => format!("JSON {json}"),
        (_, Some(header), ..) => format!("header {header}"),
        (_, _, Some(cookie), _) => format!("cookie {cookie}"),
        (_, _, _, Some(regex)) => format!("the body's /{regex}/"),
        _ => "the body".into(),
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SEEN_MAX) {
        Some((at, _)) => format!("{}... (cut)", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Compiles a regular expression within a maximum size.
pub(super) fn regex(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source)
        .size_limit(REGEX_MAX)
        .build()
        .map_err(|e| format!("not a regular expression: {}", e.to_string().replace('\n', " ")))
}

pub(super) fn valid_method(method: &str) -> bool {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method)
}

pub(super) fn valid_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
