//! What stands below the headline of the status page, section by section. A section that has nothing to tell is not there.

use std::fmt::{self, Display, Formatter};

use sealift_archive::trust::KeyId;
use sealift_store::journal::UnderWay;
use sealift_store::status::{Loading, Status, TrustStatus, Verified};
use sealift_store::{Brings, Disk, Fact, Heard, LastTry, Offer, OfferState, Record, State};

use super::page::{Name, Page};
use crate::html::{Moment, Size, Text};
use crate::live::ReleaseView;
use crate::tls::{Facts, Identity};

/// What is wrong, and what to type.
pub(super) fn attention(f: &mut Formatter<'_>, problems: &[String], status: Option<&Status>) -> fmt::Result {
    let next = status.map_or(&[][..], |status| &status.next);
    if problems.is_empty() && next.is_empty() {
        return Ok(());
    }
    let (class, title) = if problems.is_empty() {
        ("idle", "What can be done")
    } else {
        ("warn", "What is wrong, and what to do")
    };
    writeln!(f, "<section id=\"attention\" class=\"{class}\">\n<h2>{title}</h2>")?;
    if !problems.is_empty() {
        f.write_str("<ul>\n")?;
        problems.iter().try_for_each(|problem| writeln!(f, "<li>{}", Text(problem)))?;
        f.write_str("</ul>\n")?;
    }
    next.iter().try_for_each(|command| writeln!(f, "<p><code>{}</code></p>", Text(command)))?;
    f.write_str("</section>\n")
}

/// What is being done at the moment, and how far it is.
pub(super) fn under_way(f: &mut Formatter<'_>, status: Option<&Status>) -> fmt::Result {
    let Some(status) = status else { return Ok(()) };
    if status.busy.is_none() && status.activation.is_none() && status.unfinished.is_empty() {
        return Ok(());
    }
    f.write_str("<section id=\"under-way\">\n<h2>Under way</h2>\n")?;
    if let Some(under_way) = &status.activation {
        activation(f, under_way)?;
    }
    status.unfinished.iter().try_for_each(|import| loading(f, import))?;
    if let Some(holder) = &status.busy {
        writeln!(f, "<p class=\"none\">{} is at work</p>", Text(holder))?;
    }
    f.write_str("</section>\n")
}

fn activation(f: &mut Formatter<'_>, under_way: &UnderWay) -> fmt::Result {
    let goal = under_way.to.as_ref().map_or("the beginning".to_owned(), |to| to.name().to_string());
    let what = if under_way.is_forward { "Activating" } else { "Going back to" };
    write!(f, "<p>{what} {}: phase {}", Text(&goal), Text(&under_way.phase))?;
    if let Some(why) = &under_way.turned {
        write!(f, ", after {}", Text(why))?;
    }
    if let Some(why) = &under_way.stopped {
        write!(f, "; stopped: {}", Text(why))?;
    }
    f.write_str("</p>\n")
}

fn loading(f: &mut Formatter<'_>, Loading { import, came }: &Loading) -> fmt::Result {
    let (name, source) = (import.release.name(), &import.source);
    write!(f, "<p>Loading {} from {}, since {}", Text(&name), Text(source), Moment(import.since))?;
    if let Some(came) = came {
        let (bytes, of) = (came.bytes, came.of_bytes);
        write!(
            f,
            "<br><progress value=\"{bytes}\" max=\"{of}\"></progress> {} of {}<span class=\"pace\"></span>",
            Size(bytes),
            Size(of)
        )?;
    }
    f.write_str("</p>\n")
}

/// What sticks offer.
pub(super) fn sticks(f: &mut Formatter<'_>, status: Option<&Status>) -> fmt::Result {
    let Some(status) = status.filter(|status| !status.offers.is_empty()) else { return Ok(()) };
    f.write_str("<section>\n<h2>Sticks</h2>\n")?;
    status.offers.iter().try_for_each(|offer| stick(f, offer))?;
    f.write_str("</section>\n")
}

fn stick(f: &mut Formatter<'_>, offer: &Offer) -> fmt::Result {
    write!(f, "<p>Stick {}", Text(&offer.name()))?;
    if let Some(Brings { release, missing_bytes, .. }) = &offer.brings {
        let (product, version) = (Text(&release.product), Text(&release.version));
        write!(f, " offers {product} {version}, {} missing here", Size(*missing_bytes))?;
        if let Some(command) = offer.next().filter(|_| offer.state == OfferState::Waiting) {
            let digest = release.digest;
            write!(f, "; confirm with <code>{}</code><br><code>{digest}</code>", Text(&command))?;
        }
    }
    if offer.state != OfferState::Waiting {
        write!(f, ": {}", Text(&offer.state))?;
    }
    f.write_str("</p>\n")
}

/// The releases that are here besides the active one.
pub(super) fn releases(f: &mut Formatter<'_>, page: &Page<'_>) -> fmt::Result {
    table(f, page, "Staged, ready to be activated", |state| {
        matches!(state, State::Staged | State::Activating)
    })?;
    table(f, page, "Kept, can be activated again", |state| *state == State::Retained)?;
    let is_failed = |state: &State| matches!(state, State::Failed { .. });
    if page.view.releases().iter().any(|release| is_failed(&release.state)) {
        table(f, page, "Failed", is_failed)?;
    }
    Ok(())
}

fn table(
    f: &mut Formatter<'_>,
    page: &Page<'_>,
    title: &str,
    belongs: impl Fn(&State) -> bool,
) -> fmt::Result {
    let releases = page.view.releases().iter().rev();
    let mut chosen = releases.filter(|release| belongs(&release.state)).peekable();
    writeln!(f, "<section>\n<h2>{title}</h2>")?;
    if chosen.peek().is_none() {
        return f.write_str("<p class=\"none\">nothing</p>\n</section>\n");
    }
    f.write_str("<table>\n<tr><th>Release<th>Sequence<th>State<th>Since<th>Holds<th>Size\n")?;
    chosen.try_for_each(|release| row(f, page, release))?;
    f.write_str("</table>\n</section>\n")
}

fn row(f: &mut Formatter<'_>, page: &Page<'_>, release: &ReleaseView) -> fmt::Result {
    write!(
        f,
        "<tr><td>{}<td>{}<td>{}<td>{}",
        Text(&Name(release)),
        release.sequence,
        Text(&release.state),
        Moment(release.since)
    )?;
    match &release.summary {
        Ok(summary) => writeln!(f, "<td>{}<td>{}", summary.inventory, Size(summary.content_bytes))?,
        Err(_) => f.write_str("<td colspan=\"2\">cannot be read\n")?,
    }
    if let State::Failed { reason } = &release.state {
        writeln!(f, "<tr class=\"more\"><td colspan=\"6\">{}", Text(reason))?;
    } else if let Some(verified) = page.verified(release) {
        writeln!(f, "<tr class=\"more\"><td colspan=\"6\">{}", By(verified))?;
    }
    Ok(())
}

/// Disk, trust, the vendor, certificates.
pub(super) fn machine(
    f: &mut Formatter<'_>,
    status: Option<&Status>,
    identity: Option<&Identity>,
) -> fmt::Result {
    let Some(status) = status else { return Ok(()) };
    f.write_str("<section id=\"machine\">\n<h2>This appliance</h2>\n<dl>\n")?;
    disk(f, &status.disk, status.collectable_bytes)?;
    f.write_str("<dt>Roll back\n<dd>")?;
    match &status.rollback {
        Some(to) => writeln!(f, "to {}", Text(&to.name()))?,
        None => f.write_str("to nothing: no release ran here before\n")?,
    }
    if let Some(floor) = status.floor {
        writeln!(f, "<dt>Floor\n<dd>sequence {floor}: nothing below it is taken")?;
    }
    if let Some(last) = &status.online {
        online(f, last)?;
    }
    if let Some(cluster) = &status.cluster {
        nodes(f, cluster)?;
    }
    trust(f, status.trust.as_ref())?;
    if let Some(identity) = identity {
        certificates(f, identity)?;
    }
    f.write_str("</dl>\n</section>\n")
}

fn disk(f: &mut Formatter<'_>, disk: &Disk, collectable: Option<u64>) -> fmt::Result {
    let used = disk.total_bytes.saturating_sub(disk.free_bytes);
    write!(
        f,
        "<dt>Disk\n<dd><meter value=\"{used}\" max=\"{}\"></meter> {} free of {}",
        disk.total_bytes,
        Size(disk.free_bytes),
        Size(disk.total_bytes)
    )?;
    match collectable {
        Some(bytes) if bytes > 0 => writeln!(f, "; <code>sealiftctl gc</code> would free {}", Size(bytes)),
        _ => f.write_str("\n"),
    }
}

fn online(f: &mut Formatter<'_>, last: &LastTry) -> fmt::Result {
    let word = if last.failure.is_some() { "failed" } else { "heard" };
    writeln!(
        f,
        "<dt>Vendor\n<dd>channel <code>{}</code> of {}: {word} {}",
        Text(&last.channel),
        Text(&last.source),
        Moment(last.time)
    )
}

fn nodes(f: &mut Formatter<'_>, Heard { agreed, .. }: &Heard) -> fmt::Result {
    f.write_str("<dt>Nodes\n<dd>")?;
    for node in &agreed.nodes {
        write!(f, "{}: ", Text(&node.name))?;
        match &node.active {
            Some(version) => write!(f, "{} is active", Text(version))?,
            None => f.write_str("nothing is active")?,
        }
        if !node.lives {
            f.write_str(", <strong>silent</strong>")?;
        }
        if let Some(why) = &node.hindrance {
            write!(f, ", {}", Text(why))?;
        }
        f.write_str("<br>\n")?;
    }
    writeln!(f, "<small>so since {}</small>", Moment(agreed.time))
}

fn trust(f: &mut Formatter<'_>, trust: Option<&TrustStatus>) -> fmt::Result {
    f.write_str("<dt>Trust root\n<dd>")?;
    let Some(trust) = trust else {
        return f.write_str(
            "none: this appliance has no trust root that can be used; <code>sealiftctl trust pin</code>\n",
        );
    };
    write!(f, "version {}", trust.version)?;
    if trust.version != trust.pinned_version {
        write!(f, ", follows from version {}, which is pinned", trust.pinned_version)?;
    }
    writeln!(f, "<br><code>{}</code>", trust.fingerprint.spelt())
}

fn certificates(f: &mut Formatter<'_>, identity: &Identity) -> fmt::Result {
    let Facts { not_after, fingerprint, .. } = identity.facts();
    writeln!(f, "<dt>Certificate\n<dd>until {}<br><code>{}</code>", Moment(not_after), fingerprint.spelt())?;
    let Some(authority) = identity.authority() else { return Ok(()) };
    let until = Moment(authority.not_after);
    writeln!(
        f,
        "<dt>made by\n<dd>this node's own authority, until {until}; it makes the next one by itself<br><code>{}</code>",
        authority.fingerprint.spelt()
    )
}

/// What happened here, the latest first.
pub(super) fn history(f: &mut Formatter<'_>, records: &[Record]) -> fmt::Result {
    if records.is_empty() {
        return Ok(());
    }
    f.write_str("<section id=\"history\">\n<h2>What happened here</h2>\n<table>\n")?;
    for record in records {
        let told = record.told();
        let class = if told.is_trouble { " class=\"trouble\"" } else { "" };
        write!(f, "<tr{class}><td>{}<td>{}", Moment(record.time), Text(&told.title))?;
        for (label, fact) in &told.facts {
            write!(f, "<br><small>{label} ")?;
            match fact {
                Fact::Words(words) => write!(f, "{}", Text(words))?,
                Fact::Bytes(bytes) => write!(f, "{}", Size(*bytes))?,
                Fact::Fingerprint(digest) => write!(f, "<code>{}</code>", digest.spelt())?,
            }
            f.write_str("</small>")?;
        }
        f.write_str("\n")?;
    }
    f.write_str("</table>\n<p class=\"none\">All of it: <code>sealiftctl history</code></p>\n</section>\n")
}

/// By which keys a release was verified.
pub(super) struct By<'a>(pub(super) &'a Verified);

impl Display for By<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Verified { keys, trust_root, source, time } = self.0;
        let names: Vec<String> = keys.iter().map(KeyId::short).collect();
        let word = if keys.len() == 1 { "key" } else { "keys" };
        write!(
            f,
            "verified {} by {word} <code>{}</code> of trust root version {trust_root}, from {}",
            Moment(*time),
            names.join(", "),
            Text(source)
        )
    }
}
