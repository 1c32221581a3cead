//! Removes from a server's message everything that may be a fragment of a statement. No I/O.

use crate::model::Engine;

/// PostgreSQL codes whose quoted fragments are names of objects or roles, never data.
const PG_NAMES: &[&str] = &[
    "23502", "23503", "23505", "23514", "2BP01", "3D000", "3F000", "42501", "42701", "42703", "42704", "42710",
    "42723", "42883", "42P01", "42P04", "42P06", "42P07", "55006",
];
/// MariaDB codes whose quoted fragments are names of objects or accounts, never data.
const MARIADB_NAMES: &[&str] = &[
    "1007", "1008", "1044", "1045", "1046", "1049", "1050", "1051", "1054", "1060", "1061", "1091", "1142", "1143",
    "1146", "1227", "1235", "1268", "1304", "1305", "1347", "1359", "1360", "1370", "1396", "1410", "1449", "1451",
    "1452",
];
/// MariaDB codes of syntax errors, whose messages repeat the statement from the error on.
const MARIADB_SYNTAX: &[&str] = &["1064", "1149"];
/// Longest message that is kept, in characters.
const LONGEST: usize = 300;

/// The message without the quoted fragments that may come from the statement's text or from data.
pub(crate) fn message(engine: Engine, code: &str, text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    let (names, syntax): (_, &[&str]) = match engine {
        Engine::Postgresql => (PG_NAMES, &[]),
        Engine::Mariadb => (MARIADB_NAMES, MARIADB_SYNTAX),
    };
    if syntax.contains(&code) {
        // Only the line number is kept.
        let line = text.rsplit(" at line ").next().filter(|l| l.bytes().all(|b| b.is_ascii_digit()));
        return line.map_or_else(|| "syntax error".into(), |l| format!("syntax error at line {l}"));
    }
    let kept = if names.contains(&code) { names_only(text) } else { hide_quoted(text, |_| false) };
    kept.chars().take(LONGEST).collect()
}

/// Keeps only plain names in quotes, because messages about foreign keys and duplicates may still contain values in
/// parentheses.
fn names_only(text: &str) -> String {
    hide_quoted(text, |inner| {
        inner.len() <= 130 && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@%-$\\`".contains(&b))
    })
}

fn hide_quoted(text: &str, keep: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = if rest[start..].starts_with('"') { '"' } else { '\'' };
        out.push_str(&rest[..=start]);
        let inner = &rest[start + 1..];
        let Some(end) = inner.find(quote) else {
            out.push('…');
            return out;
        };
        out.push_str(if keep(&inner[..end]) { &inner[..end] } else { "…" });
        out.push(quote);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_of_a_statement_are_hidden() {
        let pg = message(Engine::Postgresql, "22P02", "invalid input syntax for type integer: \"hunter2\"");
        assert_eq!(pg, "invalid input syntax for type integer: \"…\"");
        let near = "You have an error in your SQL syntax; check the manual near 'hunter2' it' at line 3";
        assert_eq!(message(Engine::Mariadb, "1064", near), "syntax error at line 3");
        let duplicate = message(Engine::Mariadb, "1062", "Duplicate entry 'hunter2' for key 'PRIMARY'");
        assert!(!duplicate.contains("hunter2"), "{duplicate}");
        let open = message(Engine::Postgresql, "42601", "unterminated quoted string at or near \"'hunter2");
        assert!(!open.contains("hunter2"), "{open}");
    }

    #[test]
    fn names_of_objects_stay() {
        let text = message(Engine::Postgresql, "42P01", "relation \"users\" does not exist");
        assert_eq!(text, "relation \"users\" does not exist");
        let text = message(Engine::Mariadb, "1146", "Table 'crm_a_g1.users' doesn't exist");
        assert!(text.contains("crm_a_g1.users"), "{text}");
    }
}
