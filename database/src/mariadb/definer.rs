//! The DEFINER clause of a statement returned by `SHOW CREATE`. No I/O.

/// The account that an object of a copy runs as.
///
/// Objects that the template's build role made are given to the tenant's role. For all other objects the clause is
/// dropped, which makes the administrator the definer. Only the administrator can have made them (seat guards, events),
/// because the build role has no right to name another definer.
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

/// Finds the clause only before the kind of the object. A body that contains the word later is not changed.
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

/// Splits off a name in backticks from the text that follows it.
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
