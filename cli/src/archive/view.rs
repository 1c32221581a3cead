//! Archives in lists and on pages. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};

use super::keep::{is_kept, label, phase};
use super::words::{kept, until};
use crate::listing::Listed;
use crate::output::page::Page;
use crate::output::text::relative_text;
use crate::program::command;

impl Listed for Archive {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "KIND", "OF", "STATE", "ARCHIVED", "RETAIN UNTIL"];
        if wide {
            all.extend(["LIFE", "DATABASES", "VOLUMES", "SECRETS", "NAMESPACE"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let spec = &self.spec;
        let mut row = vec![
            self.name_any(),
            kind(spec.kind).to_owned(),
            label(self),
            format!("{:?}", phase(self)),
            relative_text(&spec.archived_at, now),
            until(self),
        ];
        if wide {
            row.extend([
                spec.life.to_string(),
                spec.databases.len().to_string(),
                spec.volumes.len().to_string(),
                spec.secrets.len().to_string(),
                spec.namespace.clone(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        self.name_any()
    }
}

fn kind(kind: ArchivedKind) -> &'static str {
    match kind {
        ArchivedKind::Tenant => "tenant",
        ArchivedKind::CrmInstance => "instance",
    }
}

/// The commands that bring an archive back and destroy it. They name this very archive, whatever else has the archived
/// name. No command that is copied from here destroys without a question.
pub fn commands(archive: &Archive) -> [(&'static str, String); 2] {
    let (name, word) = (archive.name_any(), kind(archive.spec.kind));
    [
        ("bring back", command(&format!("{word} adopt {name}"))),
        ("destroy for ever", command(&format!("{word} purge {name}"))),
    ]
}

/// The page of an archive.
pub fn page(archive: &Archive, now: Timestamp) -> Page {
    let spec = &archive.spec;
    let gone = phase(archive) == ArchivePhase::Purged;
    let mut page = Page::new(format!("{} · archive of {} {}", archive.name_any(), kind(spec.kind), label(archive)));
    page.state("State", format!("{:?}", phase(archive)), "");
    page.noted("Archived", relative_text(&spec.archived_at, now), spec.archived_at.clone());
    let waits = archive.spec.purge.is_some() && !gone;
    let then = if waits { "a purge was asked for" } else { "nothing is destroyed by itself afterwards" };
    page.noted("Retain until", until(archive), then);
    page.fact("Life", format!("{} of id {}", spec.life, spec.id));
    let word = if gone { "Kept once" } else { "Keeps" };
    page.fact(word, kept(archive));
    for database in &spec.databases {
        page.fact("  database", format!("{} on {}", database.name, database.server));
    }
    for (key, all) in [("  volume", &spec.volumes), ("  secret", &spec.secrets)] {
        for name in all {
            page.fact(key, format!("{name} in {}", spec.namespace));
        }
    }
    if let Some(status) = &archive.status {
        for c in status.conditions.iter().filter(|c| c.status == "False" && spec.purge.is_some()) {
            page.noted("Held up", c.message.clone(), c.reason.clone());
        }
    }
    if is_kept(archive, now) {
        for (key, line) in commands(archive) {
            page.fact(key, line);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::keep::tests::{archive, now};
    use crate::output::paint::Paint;

    #[test]
    fn printed_commands_name_the_archive_itself_and_destroy_nothing_without_a_question() {
        let at = "2026-01-01T00:00:00Z";
        for (kind, word) in [(ArchivedKind::Tenant, "tenant"), (ArchivedKind::CrmInstance, "instance")] {
            let old = archive(kind, "kaaaaaaaaa", "acme", at, ArchivePhase::Archived);
            let said = page(&old, now()).render(&Paint::default(), None);
            assert!(said.contains(&format!("tenantry {word} adopt kaaaaaaaaa-1\n")), "{said}");
            assert!(said.ends_with(&format!("tenantry {word} purge kaaaaaaaaa-1")), "{said}");
            assert!(!said.contains("--confirm") && !said.contains("--before-retention"), "{said}");
        }
    }
}
