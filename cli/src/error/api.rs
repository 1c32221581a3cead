//! Errors of the API server in our words. No I/O.

use kube::core::Status;

use super::Problem;

/// `doing` is what was tried, for example `list tenants`.
pub fn problem(doing: &str, error: &kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) => from_status(doing, status),
        kube::Error::Service(e) => unreachable(doing, &sources(e.as_ref())),
        kube::Error::HyperError(e) => unreachable(doing, &sources(e)),
        kube::Error::Auth(e) => Problem::failed(format!("cannot {doing}: logging in to the cluster failed"))
            .why(sources(e))
            .next("which user", "version"),
        kube::Error::SerdeError(e) => Problem::failed(format!("cannot {doing}: the answer is not understood"))
            .why(format!("{e}; the cluster may have definitions of another version"))
            .next("", "doctor"),
        other => Problem::failed(format!("cannot {doing}")).why(sources(other)),
    }
}

fn unreachable(doing: &str, why: &str) -> Problem {
    let by_proxy = why.contains("proxy error");
    let hint = "the way goes through a proxy: HTTPS_PROXY, or proxy-url in the kubeconfig; NO_PROXY names what is reached without";
    let why = if by_proxy { format!("{why}\n{hint}") } else { why.to_owned() };
    Problem::failed(format!("cannot {doing}: the cluster does not answer"))
        .safe("nothing was changed; tenants run on without this program")
        .why(why)
        .next("which cluster", "version")
}

/// An error with what caused it, outermost first, without repetition.
pub fn sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut at = Some(error);
    while let Some(e) = at {
        let text = e.to_string();
        if !parts.iter().any(|p| p.contains(&text)) {
            parts.push(text);
        }
        at = e.source();
    }
    parts.join(": ")
}

/// The problem for an answer that is no success.
pub fn from_status(doing: &str, status: &Status) -> Problem {
    let named = status.details.as_ref().is_some_and(|d| !d.name.is_empty());
    match (status.code, status.reason.as_str()) {
        (404, _) if !named && about_us(status, doing) => not_installed(doing),
        (404, _) => Problem::not_found(format!("cannot {doing}: {}", status.message)),
        (_, "AlreadyExists") => Problem::refused(format!("cannot {doing}: {}", status.message)),
        (409, _) => Problem::failed(format!("cannot {doing}: somebody changed it at the same time"))
            .safe("nothing was changed; the same command can be run again")
            .why(status.message.clone()),
        (401, _) => Problem::refused(format!("cannot {doing}: the cluster does not know you"))
            .why(status.message.clone())
            .next("which cluster", "version"),
        (403, _) if status.message.contains("cannot ") => {
            Problem::refused(format!("cannot {doing}: you may not")).why(status.message.clone())
        }
        (403 | 422, _) => Problem::refused(format!("cannot {doing}: refused by a rule"))
            .safe("nothing was changed")
            .why(rules(status)),
        (429 | 500..=599, _) => Problem::failed(format!("cannot {doing}: the cluster is overloaded or failing"))
            .safe("the same command can be run again")
            .why(status.message.clone()),
        _ => Problem::failed(format!("cannot {doing}")).why(status.message.clone()),
    }
}

fn about_us(status: &Status, doing: &str) -> bool {
    let group = status.details.as_ref().map(|d| d.group.as_str()).unwrap_or_default();
    group == tenantry_api::GROUP || (group.is_empty() && !doing.contains("namespace"))
}

fn not_installed(doing: &str) -> Problem {
    Problem::failed(format!("cannot {doing}: Tenantry is not installed in this cluster"))
        .next("look", "doctor")
        .next("install", "install")
}

/// `Invalid value: "object": the text of the rule` without what stands before the text.
fn bare(message: &str) -> &str {
    let Some(rest) = message.strip_prefix("Invalid value: ") else { return message };
    let end = if rest.starts_with('"') { "\": " } else { ": " };
    rest.split_once(end).map_or(message, |(_, text)| text)
}

/// The messages of the rules that refused, each once, in words that name the field.
pub fn rules(status: &Status) -> String {
    let causes = status.details.as_ref().map(|d| d.causes.as_slice()).unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for cause in causes {
        let text = bare(&cause.message);
        let generic = cause.message.contains("some validation rules were not checked");
        let line = match cause.field.as_str() {
            "" | "<nil>" | "spec" => text.to_owned(),
            field if text.contains(field) => text.to_owned(),
            field => format!("{field}: {text}"),
        };
        if !generic && !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() { status.message.clone() } else { lines.join("\n") }
}
