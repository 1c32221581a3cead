//! The DEFINER clause of a statement that `SHOW CREATE` gave. No I/O.

/// Who an object of a copy runs as.
///
/// What the template's build role made is handed to the tenant's role; for everything else the clause is
/// dropped, which makes the administrator the definer (the build role has no right to name another, so
/// only the administrator can have made it: seat guards, events).
pub(super) fn rewrite(sql: &str, build: &str, tenant: &str) -> String {
    let Some(clause) = find(sql) else { return sql.to_owned() };
    let keep = if clause.user == build { format!("DEFINER={} ", crate::quote::account(tenant)) } else { String::new() };
    format!("{}{keep}{}", &sql[..clause.start], sql[clause.end..].trim_start())
}

struct Clause {
    start: usize,
    end: usize,
    user: String,
}

/// The clause stands before the kind of the object; a body that holds the word later is not touched.
fn find(sql: &str) -> Option<Clause> {
    let start = sql.find("DEFINER=`")?;
    let head = &sql[..start];
    let plain = |word: &str| word == "CREATE" || word == "OR" || word == "REPLACE" || word.starts_with("ALGORITHM=");
    if !head.split_whitespace().all(plain) {
        return None;
    }
    let (user, after_user) = quoted(&sql[start + "DEFINER=".len()..])?;
    let rest = after_user.strip_prefix('@')?;
    let (_, after_host) = quoted(rest)?;
    Some(Clause { start, end: sql.len() - after_host.len(), user })
}

/// A name in backticks, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('`')?;
    let mut name = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('`')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_role_becomes_the_tenant_and_others_the_administrator() {
        let view = "CREATE ALGORITHM=UNDEFINED DEFINER=`tpl_a`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1";
        assert_eq!(
            rewrite(view, "tpl_a", "crm_b"),
            "CREATE ALGORITHM=UNDEFINED DEFINER='crm_b'@'%' SQL SECURITY DEFINER VIEW `v` AS select 1"
        );
        let trigger = "CREATE DEFINER=`ro``ot`@`localhost` TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1";
        assert_eq!(rewrite(trigger, "tpl_a", "crm_b"), "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1");
    }

    #[test]
    fn a_body_that_speaks_of_a_definer_is_left_alone() {
        let sql = "CREATE PROCEDURE p() SELECT 'DEFINER=`tpl_a`@`%`'";
        assert_eq!(rewrite(sql, "tpl_a", "crm_b"), sql);
    }
}
