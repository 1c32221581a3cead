//! The page's texts, in English and Vietnamese, as HTML and as JSON. Does I/O only to read its file.

use std::path::Path;

use serde::Deserialize;

use crate::run::read_json;

/// Longest text of one field, in characters.
const TEXT_MAX: usize = 2_000;
/// Longest `Retry-After`, in seconds.
const RETRY_MAX: u32 = 86_400;

/// Why the application is not available.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The application comes back by itself.
    #[default]
    Maintenance,
    /// A person has to bring the application back.
    Suspended,
}

/// One text for both languages, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// The same text for both.
    One(String),
    /// One text for each.
    Two {
        /// English.
        en: String,
        /// Vietnamese.
        vi: String,
    },
}

impl Text {
    fn of(&self, vietnamese: bool) -> String {
        let text = match self {
            Self::One(text) => text,
            Self::Two { vi, .. } if vietnamese => vi,
            Self::Two { en, .. } => en,
        };
        text.chars().take(TEXT_MAX).collect()
    }
}

/// The content of `page.json`. Every field may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Page {
    kind: Kind,
    title: Option<Text>,
    reason: Option<Text>,
    contact: Option<Text>,
    retry_after_seconds: Option<u32>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Html,
    /// For programs: a problem document (RFC 9457).
    Json,
}

impl Page {
    /// Reads the file and then the environment, which takes precedence: `TENANTRY_PAGE_KIND`, `_TITLE`, `_REASON`,
    /// `_CONTACT` and `_RETRY_AFTER`.
    pub fn load(file: Option<&Path>, env: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut page: Self = file.map(read_json).transpose()?.unwrap_or_default();
        let env = |name: &str| env(&format!("TENANTRY_PAGE_{name}")).filter(|text| !text.is_empty());
        let text = |name: &str, own: Option<Text>| env(name).map(Text::One).or(own);
        match env("KIND").as_deref() {
            None => {}
            Some("maintenance") => page.kind = Kind::Maintenance,
            Some("suspended") => page.kind = Kind::Suspended,
            Some(other) => return Err(format!("TENANTRY_PAGE_KIND {other:?}: maintenance or suspended")),
        }
        page.title = text("TITLE", page.title);
        page.reason = text("REASON", page.reason);
        page.contact = text("CONTACT", page.contact);
        if let Some(seconds) = env("RETRY_AFTER") {
            let seconds = seconds.parse().map_err(|_| "TENANTRY_PAGE_RETRY_AFTER: seconds".to_owned())?;
            page.retry_after_seconds = Some(seconds);
        }
        Ok(page)
    }

    /// The word for the kind of page.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Maintenance => "maintenance",
            Kind::Suspended => "suspended",
        }
    }

    /// Seconds after which a client should try again.
    pub fn retry_after_seconds(&self) -> u32 {
        let usual = match self.kind {
            Kind::Maintenance => 60,
            Kind::Suspended => 3_600,
        };
        self.retry_after_seconds.unwrap_or(usual).clamp(1, RETRY_MAX)
    }

    /// The answer for programs.
    pub fn json(&self, vietnamese: bool) -> String {
        let (title, reason, contact) = self.texts(vietnamese);
        let kind = match self.kind {
            Kind::Maintenance => "maintenance",
            Kind::Suspended => "suspended",
        };
        let mut problem = serde_json::json!({
            "type": format!("https://tenantry.dev/problems/{kind}"),
            "title": title,
            "status": 503,
            "detail": reason,
            "retryAfterSeconds": self.retry_after_seconds(),
        });
        if let (Some(contact), Some(map)) = (contact, problem.as_object_mut()) {
            map.insert("contact".into(), contact.into());
        }
        problem.to_string()
    }

    /// The answer for people: one file without scripts, fonts or pictures from elsewhere.
    pub fn html(&self, vietnamese: bool) -> String {
        let (title, reason, contact) = self.texts(vietnamese);
        let (lang, ask) = if vietnamese { ("vi", "Liên hệ") } else { ("en", "Contact") };
        let (title, reason) = (escape(&title), escape(&reason));
        let contact = contact.map_or_else(String::new, |c| format!("<p class=\"contact\">{ask}: {}</p>\n", escape(&c)));
        format!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n<p>{reason}</p>\n{contact}</main>\n</body>\n</html>\n"
        )
    }

    fn texts(&self, vietnamese: bool) -> (String, String, Option<String>) {
        let (title, reason) = match (self.kind, vietnamese) {
            (Kind::Maintenance, false) => {
                ("Under maintenance", "The system is being maintained and will be back soon. Your data is safe.")
            }
            (Kind::Maintenance, true) => {
                ("Đang bảo trì", "Hệ thống đang được bảo trì và sẽ sớm hoạt động trở lại. Dữ liệu của bạn vẫn an toàn.")
            }
            (Kind::Suspended, false) => {
                ("Suspended", "This system has been suspended. Your data is kept; please contact your provider.")
            }
            (Kind::Suspended, true) => {
                ("Tạm ngưng", "Hệ thống này đang tạm ngưng. Dữ liệu vẫn được lưu giữ; vui lòng liên hệ nhà cung cấp.")
            }
        };
        let own = |text: &Option<Text>| text.as_ref().map(|t| t.of(vietnamese)).filter(|t| !t.trim().is_empty());
        (
            own(&self.title).unwrap_or_else(|| title.to_owned()),
            own(&self.reason).unwrap_or_else(|| reason.to_owned()),
            own(&self.contact),
        )
    }
}

const STYLE: &str = "body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;\
background:#f4f5f7;color:#1f2933;font:16px/1.6 system-ui,sans-serif}\
main{max-width:34rem;margin:1rem;padding:2rem;background:#fff;border-radius:8px;box-shadow:0 1px 4px #0002}\
h1{margin:0 0 .5rem;font-size:1.5rem}p{margin:.5rem 0;white-space:pre-line}.contact{color:#52606d}\
@media(prefers-color-scheme:dark){body{background:#15181c;color:#e4e7eb}main{background:#20252b}.contact{color:#9aa5b1}}";

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Entries of a header such as `vi;q=0.8, en`, in lower case, with their weights in thousandths.
fn weighted(header: &str) -> impl Iterator<Item = (String, u32)> {
    header.split(',').take(32).filter_map(|entry| {
        let mut parts = entry.split(';');
        let name = parts.next()?.trim().to_ascii_lowercase();
        let weight = parts.find_map(|p| p.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok())).map_or(
            1000,
            |q| {
                if q <= 0.0 {
                    0
                } else if q >= 1.0 {
                    1000
                } else {
                    thousandths(q)
                }
            },
        );
        (!name.is_empty()).then_some((name, weight))
    })
}

/// A weight between 0 and 1 as a whole number, from the first three decimals of its text.
fn thousandths(weight: f32) -> u32 {
    let text = format!("{weight:.3}");
    text.split_once('.').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0)
}

/// JSON for clients that prefer it, and for clients that send JSON and do not ask for HTML.
pub fn form(accept: &str, content_type: &str) -> Form {
    let best =
        |wanted: fn(&str) -> bool| weighted(accept).filter(|(n, _)| wanted(n)).map(|(_, w)| w).max().unwrap_or(0);
    let html = best(|n| n == "text/html" || n == "application/xhtml+xml" || n == "text/*");
    let json = best(|n| n == "application/json" || n.ends_with("+json"));
    let speaks = content_type.to_ascii_lowercase().starts_with("application/json");
    if json > html || (speaks && html == 0) { Form::Json } else { Form::Html }
}

/// Whether the client prefers Vietnamese to English.
pub fn vietnamese(accept_language: &str) -> bool {
    let best = |language: &str| {
        let is = |n: &str| n == language || n.split('-').next() == Some(language);
        weighted(accept_language).filter(|(n, _)| is(n)).map(|(_, w)| w).max().unwrap_or(0)
    };
    best("vi") > best("en")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_are_escaped() {
        let page = Page { reason: Some(Text::One("<script>alert('x')&\"".into())), ..Page::default() };
        let html = page.html(false);
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;"), "{html}");
        assert!(!html.contains("<script"));
        let json: serde_json::Value = serde_json::from_str(&page.json(false)).unwrap();
        assert_eq!(json["detail"], "<script>alert('x')&\"");
    }

    #[test]
    fn the_language_is_the_one_that_is_liked_best() {
        assert!(vietnamese("vi-VN,vi;q=0.9,en;q=0.8"));
        assert!(vietnamese("en;q=0.5, vi;q=0.55"));
        for english in ["", "en-US,en;q=0.9,vi;q=0.8", "vi;q=0", "fr", ";;;,q=", "vi;q=abc,en"] {
            assert!(!vietnamese(english), "{english}");
        }
    }

    #[test]
    fn programs_get_json_and_people_html() {
        assert_eq!(form("application/json", ""), Form::Json);
        assert_eq!(form("*/*", "application/json"), Form::Json);
        assert_eq!(form("application/problem+json, text/html;q=0.5", ""), Form::Json);
        assert_eq!(form("text/html,application/xhtml+xml,*/*;q=0.8", ""), Form::Html);
        assert_eq!(form("*/*", ""), Form::Html);
        assert_eq!(form("", ""), Form::Html);
    }

    #[test]
    fn the_environment_wins_over_the_file_and_is_checked() {
        let env = |name: &str| match name {
            "TENANTRY_PAGE_KIND" => Some("suspended".to_owned()),
            "TENANTRY_PAGE_CONTACT" => Some("help@example.org".to_owned()),
            _ => None,
        };
        let page = Page::load(None, env).unwrap();
        assert!(page.html(true).contains("Tạm ngưng") && page.html(true).contains("Liên hệ: help@example.org"));
        assert_eq!(page.retry_after_seconds(), 3_600);
        assert!(Page::load(None, |n| (n == "TENANTRY_PAGE_KIND").then(|| "x".to_owned())).is_err());
    }

    #[test]
    fn texts_come_in_two_languages_or_in_one() {
        let page: Page = serde_json::from_str(r#"{"title":{"en":"Away","vi":"Vắng"},"contact":"x"}"#).unwrap();
        assert!(page.html(false).contains("<h1>Away</h1>") && page.html(true).contains("<h1>Vắng</h1>"));
        assert!(serde_json::from_str::<Page>(r#"{"titel":"x"}"#).is_err());
    }
}
