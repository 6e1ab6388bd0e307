//! `inspect`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use sealift_archive::format::packing::NeededRelease;
use sealift_archive::release::{Inventory, Kind, Waiver};
use sealift_archive::trust::{KeyId, TrustRoot};
use sealift_archive::{BlobList, Digest, Reference, Refs, Source as _, Statement};

use super::InspectArgs;
use super::look::{delta, open, short};
use super::output::{Lines, Output, count, path, size};
use crate::Error;
use crate::bundle::Tally;

/// How wide a table may be, in characters.
const TABLE_WIDTH: usize = 100;
/// How much of the last column is shown, in characters.
const MAX_NOTE: usize = 30;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection<'a> {
    format: u32,
    bytes: u64,
    packing: Digest,
    trusted: bool,
    trust_roots: Vec<u64>,
    pack_keys: &'a [KeyId],
    frames: usize,
    needs: &'a [NeededRelease],
    #[serde(skip)]
    delta: Option<String>,
    releases: Vec<InspectedRelease<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectedRelease<'a> {
    digest: Digest,
    release_keys: &'a [KeyId],
    /// What the archive carries of it, and of no earlier release in it.
    adds: Tally,
    /// What the archive does not carry of it.
    absent: Tally,
    holds: Inventory,
    statement: &'a Statement,
    refs: &'a Refs,
    #[serde(skip)]
    blobs: &'a BlobList,
}

pub(super) fn inspect(output: Output, args: &InspectArgs) -> Result<(), Error> {
    let bundle = open(&args.bundle, args.trust.as_deref(), output)?;
    let inspection = Inspection {
        format: bundle.packing().format,
        bytes: bundle.packing().length,
        packing: bundle.packing_digest(),
        trusted: args.trust.is_some(),
        trust_roots: bundle.roots().iter().map(TrustRoot::version).collect(),
        pack_keys: bundle.packers(),
        frames: bundle.contents().frames.len(),
        needs: bundle.needs(),
        delta: delta(&bundle),
        releases: bundle
            .releases()
            .iter()
            .map(|r| InspectedRelease {
                digest: r.digest(),
                release_keys: &r.signers,
                adds: Tally::of(bundle.added_by(r)),
                absent: Tally::of(bundle.absent_of(r)),
                holds: Inventory::of(&r.refs),
                statement: &r.statement,
                refs: &r.refs,
                blobs: &r.blob_list,
            })
            .collect(),
    };
    output.result(&inspection, || describe(&args.bundle, &inspection))
}

fn describe(bundle: &Path, inspection: &Inspection<'_>) -> String {
    let mut text = Lines::title(&path(bundle))
        .line("size", size(inspection.bytes))
        .line("format", format!("{}, {} frames", inspection.format, inspection.frames))
        .line("packed by", short(inspection.pack_keys))
        .line_if("delta", inspection.delta.as_ref())
        .text();
    let is_plain = inspection.releases.len() == 1 && inspection.needs.is_empty();
    for release in &inspection.releases {
        let statement = release.statement;
        let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
        let platforms: Vec<String> = statement.platforms.iter().map(ToString::to_string).collect();
        let upgrade: Vec<String> = statement.upgrade_from.iter().map(ToString::to_string).collect();
        let mut lines = Lines::title(&format!("\n{}", statement.name()))
            .line("digest", release.digest)
            .line("signed by", short(release.release_keys))
            .line("floor", statement.floor)
            .line("from", list(&upgrade))
            .line("platforms", if platforms.is_empty() { "all".to_owned() } else { list(&platforms) })
            .line(
                "content",
                format!("{} blobs, {}", statement.blob_list.count, size(statement.blob_list.content_bytes)),
            );
        for waiver in &statement.waivers {
            let Waiver { name, reason, until } = waiver;
            lines = lines.line("waived", format!("{name} may be old until {until}: {reason}"));
        }
        if !is_plain {
            lines = lines.line("adds", told(release.adds));
        }
        if release.absent.blobs > 0 {
            lines = lines.line("not in it", told(release.absent));
        }
        lines = lines.line("holds", release.holds);
        if release.holds.attachments > 0 {
            let what = format!("{} (signatures, attestations, SBOMs)", release.holds.attachments);
            lines = lines.line("attached", what);
        }
        if !release.refs.aliases.is_empty() {
            let what = format!("{} known by it too", count(release.refs.aliases.len(), "blob"));
            lines = lines.line("sha512", what);
        }
        text.push_str(&lines.end(""));
        text.push_str(&table(&rows(release)));
    }
    text
}

fn told(tally: Tally) -> String {
    format!("{}, {}", count(tally.blobs, "blob"), size(tally.bytes))
}

/// A thing that a release holds, by its name.
struct Row {
    kind: &'static str,
    name: String,
    digest: String,
    note: String,
}

fn rows(release: &InspectedRelease<'_>) -> Vec<Row> {
    let refs = release.refs;
    let attached = attachments(refs);
    // What is attached to something is counted there.
    let named = refs.images.iter().map(|(name, found)| (Kind::of(name, found), name, found));
    let mut named: Vec<_> = named.filter(|(kind, ..)| *kind != Kind::Attachment).collect();
    named.sort_by_key(|(kind, ..)| *kind);
    let named = named.into_iter().map(|(kind, name, found)| {
        let kind = match kind {
            Kind::Image => "image",
            Kind::Chart => "chart",
            Kind::FluxArtifact => "flux",
            _ => "artifact",
        };
        let note = attached.get(&found.digest.hex()).map(|all| count(all.len(), "attachment"));
        let (digest, note) = (found.digest.short(), note.unwrap_or_default());
        Row { kind, name: without_most_of_digest(name), digest, note }
    });
    let files = refs.files.iter().map(|(name, file)| Row {
        kind: "file",
        name: name.to_string(),
        digest: file.digest.short(),
        note: size(file.size),
    });
    let git = refs.git.iter().map(|(name, repository)| {
        let commit = repository.refs.get(&repository.head).map(|commit| commit.as_str()[..12].to_owned());
        let (name, digest, note) = (name.to_string(), commit.unwrap_or_default(), repository.head.clone());
        Row { kind: "git", name, digest, note }
    });
    let machine_images = release.statement.os.iter().flat_map(|os| &os.artifacts);
    let left_out = machine_images.filter(|(_, blob)| release.blobs.size(&blob.digest).is_none());
    let left_out = left_out.map(|(name, blob)| Row {
        kind: "os",
        name: name.to_string(),
        digest: blob.digest.short(),
        note: format!("{}, not carried", size(blob.size)),
    });
    named.chain(files).chain(git).chain(left_out).collect()
}

/// What is attached to each manifest, by the manifest's digest in hexadecimal: what refers to it, and what has a tag
/// that names it.
fn attachments(refs: &Refs) -> BTreeMap<String, BTreeSet<Digest>> {
    let by_subject = refs
        .referrers
        .iter()
        .flat_map(|(subject, all)| all.iter().map(|referrer| (subject.hex(), referrer.digest)));
    let by_tag = refs.images.iter().filter(|(name, found)| Kind::of(name, found) == Kind::Attachment);
    let by_tag = by_tag.filter_map(|(name, found)| {
        let (_, subject) = name.tag()?.split_once('-')?;
        Some((subject.split('.').next()?.to_owned(), found.digest))
    });
    let mut attachments = BTreeMap::<_, BTreeSet<_>>::new();
    for (subject, digest) in by_subject.chain(by_tag) {
        attachments.entry(subject).or_default().insert(digest);
    }
    attachments
}

/// A reference whose digest, which has a column of its own, is only hinted at.
fn without_most_of_digest(name: &Reference) -> String {
    let text = name.to_string();
    match text.split_once('@') {
        Some((tagged, _)) => format!("{tagged}@…"),
        None => text,
    }
}

/// Columns that are as wide as they must be, and together fit a terminal.
fn table(rows: &[Row]) -> String {
    let width = |column: fn(&Row) -> &str| rows.iter().map(|row| column(row).chars().count()).max();
    let kinds = width(|row| row.kind).unwrap_or_default();
    let digests = width(|row| &row.digest).unwrap_or_default();
    let notes = width(|row| &row.note).unwrap_or_default().min(MAX_NOTE);
    let room = TABLE_WIDTH.saturating_sub(kinds + digests + notes + 8);
    let names = width(|row| &row.name).unwrap_or_default().min(room);
    let mut table = String::new();
    for Row { kind, name, digest, note } in rows {
        let (name, note) = (shorten(name, names), shorten(note, notes));
        let line = format!("  {kind:<kinds$}  {name:<names$}  {digest:<digests$}  {note}");
        writeln!(table, "{}", line.trim_end()).expect("a string takes all text");
    }
    table
}

/// Text without its middle, if it is too long.
fn shorten(text: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let (head, tail) = (room / 2, room.saturating_sub(room / 2 + 1));
    text.chars().take(head).chain(['…']).chain(text.chars().skip(length - tail)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_a_terminal() {
        let row = |name: &str, note: &str| Row {
            kind: "artifact",
            name: name.to_owned(),
            digest: "0123456789ab".to_owned(),
            note: note.to_owned(),
        };
        let long = format!("ghcr.io/{}/end:1.0", "name".repeat(60));
        let rows = [row("a", ""), row(&long, "1 attachment"), row("b", &format!("refs/heads/{long}"))];
        let table = table(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= TABLE_WIDTH), "{table}");
        assert!(
            lines[1].starts_with("  artifact  ghcr.io/name") && lines[1].contains("end:1.0  0123"),
            "{table}"
        );
        assert_eq!(super::table(&[row("a", "")]), "  artifact  a  0123456789ab\n");
        assert_eq!(super::table(&[]), "");
    }

    #[test]
    fn what_is_too_long_keeps_its_ends() {
        for (text, room, short) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "ab…ef"),
            ("abcdef", 4, "ab…f"),
            ("äöü", 2, "ä…"),
            ("a", 0, "…"),
        ] {
            assert_eq!(shorten(text, room), short, "{text} {room}");
        }
    }
}
