//! Archives in lists and on pages. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};

use super::keep::{is_kept, label, phase};
use crate::listing::Listed;
use crate::output::page::Page;
use crate::output::text::{count, day, relative_text};
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

/// The day until which the data is kept.
pub fn until(archive: &Archive) -> String {
    let text = &archive.spec.retain_until;
    text.parse::<Timestamp>().map_or_else(|_| text.clone(), day)
}

/// `1 database, 2 volumes, 3 secrets`.
pub fn kept(archive: &Archive) -> String {
    let spec = &archive.spec;
    let parts: Vec<String> =
        [(spec.databases.len(), "database"), (spec.volumes.len(), "volume"), (spec.secrets.len(), "secret")]
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| count(*n, word))
            .collect();
    if parts.is_empty() { "its record".into() } else { parts.join(", ") }
}

/// How an archive is brought back and destroyed.
pub fn commands(archive: &Archive) -> [(&'static str, String); 2] {
    let (name, spec) = (archive.name_any(), &archive.spec);
    match spec.kind {
        ArchivedKind::Tenant => [
            ("bring back", command(&format!("tenant adopt {}", spec.name))),
            ("destroy for ever", command(&format!("tenant purge {} --confirm {}", spec.name, spec.name))),
        ],
        ArchivedKind::CrmInstance => [
            ("bring back", command(&format!("instance adopt {}", label(archive)))),
            ("destroy for ever", command(&format!("instance purge {name} --confirm {}", label(archive)))),
        ],
    }
}

/// The page of an archive.
pub fn page(archive: &Archive, now: Timestamp) -> Page {
    let spec = &archive.spec;
    let mut page = Page::new(format!("{} · archive of {} {}", archive.name_any(), kind(spec.kind), label(archive)));
    page.state("State", format!("{:?}", phase(archive)), "");
    page.noted("Archived", relative_text(&spec.archived_at, now), spec.archived_at.clone());
    page.noted("Retain until", until(archive), "nothing is destroyed by itself afterwards");
    page.fact("Life", format!("{} of id {}", spec.life, spec.id));
    let gone = phase(archive) == ArchivePhase::Purged;
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
    if is_kept(archive) {
        for (key, line) in commands(archive) {
            page.fact(key, line);
        }
    }
    page
}
