//! `sealift ova`: a disk image becomes an appliance that vSphere imports: one file with the description of the machine, the
//! digests of its parts, and its disks.
//!
//! ```text
//! NAME.ovf           what the machine is, and what it asks
//! NAME.mf            SHA-256 of the others
//! NAME-disk1.vmdk    the system disk
//! NAME-disk2.vmdk    a data disk
//! ```
//! The first file says how long those behind it are. Room is left for it and for the manifest, the disks are compressed right
//! into their place, and the room is filled at the end: a disk is read once, and what is written is written once. The same
//! disks and the same machine make the same bytes, on any number of cores.

mod archive;
mod descriptor;
mod disk;
mod error;
mod machine;
mod property;
mod vmdk;
mod xml;

use std::path::PathBuf;

use serde::Serialize;

use sealift_archive::making::Draft;
use sealift_archive::{Digest, Error as ArchiveError, Progress, durable};

use crate::Error as CommandError;
pub use archive::MAX_TIME;
use archive::{Archive, BLOCK_BYTES};
use descriptor::{Described, descriptor};
use disk::{Disk, Empty};
pub use error::Error;
pub use machine::{Firmware, MAX_LICENCE_BYTES, Machine};
pub use property::{CATEGORIES, Category, Offered, Question};

/// What is behind the name of an OVA in the making.
const ENDING: &str = ".partial";
/// As many disks as one controller has places for.
const MAX_DISKS: usize = 15;
/// Length of a SHA-256 digest, in hexadecimal characters.
const HEX_LEN: usize = 64;

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Images of disks, the system disk first.
    pub images: &'a [PathBuf],
    /// Sizes of empty data disks behind them, in bytes.
    pub empty: Vec<u64>,
    /// The machine.
    pub machine: Machine,
    /// The OVA.
    pub target: PathBuf,
    /// How hard deflate tries, from 1 to 9.
    pub level: u32,
    /// When everything was made, in seconds since 1970.
    pub date: u64,
}

/// What making an OVA comes to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The OVA.
    pub path: PathBuf,
    /// Its disks, in their order.
    pub disks: Vec<PlannedDisk>,
    /// So many bytes of images are read.
    pub read_bytes: u64,
    /// So many bytes are free where the OVA will be. It takes less than what is read, by how much nobody knows before.
    pub free_bytes: u64,
}

/// A disk of a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDisk {
    /// Its name in the OVA.
    pub name: String,
    /// The image; none if it is to be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<PathBuf>,
    /// What the machine sees, in bytes.
    pub capacity_bytes: u64,
    /// What of it is read, in bytes: the rest is known to be zero.
    pub read_bytes: u64,
}

/// A plan, and the disks that it needs.
#[derive(Debug)]
pub struct Planned<'a> {
    /// What will be done.
    pub plan: Plan,
    order: Order<'a>,
    disks: Vec<Box<dyn Disk>>,
}

/// An OVA that is there.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Where.
    pub path: PathBuf,
    /// How long.
    pub bytes: u64,
    /// Its disks, in their order.
    pub disks: Vec<MadeDisk>,
}

/// A disk in an OVA. All numbers are bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeDisk {
    /// Its name in the OVA.
    pub name: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Length of the file.
    pub bytes: u64,
    /// What the machine sees.
    pub capacity_bytes: u64,
    /// What of it is not zero.
    pub populated_bytes: u64,
}

/// Looks at the images, and at the place where the OVA will be.
///
/// # Errors
/// [`Error`], if an image is none or the machine cannot be; [`ArchiveError::Occupied`]; I/O.
pub fn plan(order: Order<'_>) -> Result<Planned<'_>, CommandError> {
    order.machine.check()?;
    let count = order.images.len() + order.empty.len();
    if count > MAX_DISKS {
        let rule = "15 is the most";
        return Err(Error::BadMachine { what: "the number of disks", value: count.to_string(), rule }.into());
    }
    if order.target.try_exists()? {
        return Err(ArchiveError::Occupied { path: order.target.display().to_string() }.into());
    }
    let mut disks: Vec<Box<dyn Disk>> = Vec::new();
    for image in order.images {
        disks.push(if disks.is_empty() { disk::open_system(image)? } else { disk::open(image)? });
    }
    for &bytes in &order.empty {
        disk::check_capacity(bytes, || "an empty disk".to_owned())?;
        disks.push(Box::new(Empty(bytes)));
    }
    let mut planned = Vec::new();
    for (index, disk) in disks.iter_mut().enumerate() {
        planned.push(PlannedDisk {
            name: format!("{}-disk{}.vmdk", order.machine.name, index + 1),
            image: order.images.get(index).cloned(),
            capacity_bytes: disk.capacity(),
            read_bytes: vmdk::data_bytes(disk.as_mut())?,
        });
    }
    let plan = Plan {
        path: order.target.clone(),
        read_bytes: planned.iter().map(|disk| disk.read_bytes).sum(),
        free_bytes: durable::free_bytes(durable::parent_of(&order.target))?,
        disks: planned,
    };
    Ok(Planned { plan, order, disks })
}

impl Planned<'_> {
    /// Makes the OVA; nothing of it is left if that fails. `progress` hears of the bytes that are read.
    ///
    /// # Errors
    /// [`Error::MemberTooLarge`], [`Error::DamagedImage`]; another process at work on it, an interruption, I/O.
    pub fn execute(self, progress: &dyn Progress) -> Result<Made, CommandError> {
        let target = self.order.target.clone();
        let mut draft = Draft::beside(&target, ENDING)?;
        draft.reset(0)?;
        let (bytes, disks) = self.write(&draft, progress)?;
        draft.sync_all()?;
        draft.put_if_free(&target)?;
        durable::sync_dir(durable::parent_of(&target))?;
        Ok(Made { path: target, bytes, disks })
    }

    fn write(mut self, draft: &Draft, progress: &dyn Progress) -> Result<(u64, Vec<MadeDisk>), CommandError> {
        let (machine, plan) = (&self.order.machine, &self.plan);
        let archive = Archive::new(draft, self.order.date);
        let names = [format!("{}.ovf", machine.name), format!("{}.mf", machine.name)];
        let ahead: Vec<Described> =
            plan.disks.iter().map(|disk| Described::ahead(&disk.name, disk.capacity_bytes)).collect();
        let room = descriptor(machine, &ahead).len().next_multiple_of(BLOCK_BYTES);
        let manifest_at = archive::occupied_bytes(room as u64);
        let files =
            std::iter::once(names[0].as_str()).chain(plan.disks.iter().map(|disk| disk.name.as_str()));
        let manifest_length: usize = files.map(|name| manifest_line(name, &"0".repeat(HEX_LEN)).len()).sum();

        let mut at = manifest_at + archive::occupied_bytes(manifest_length as u64);
        let mut made = Vec::new();
        for (disk, planned) in self.disks.iter_mut().zip(&plan.disks) {
            let style =
                vmdk::Style { name: &planned.name, hardware: machine.hardware, level: self.order.level };
            let mut member = archive.begin(at, &planned.name);
            let populated_bytes = vmdk::write(disk.as_mut(), style, &mut member, progress)?;
            let (blob, next) = member.finish()?;
            at = next;
            made.push(MadeDisk {
                name: planned.name.clone(),
                digest: blob.digest,
                bytes: blob.size,
                capacity_bytes: planned.capacity_bytes,
                populated_bytes,
            });
        }
        let bytes = archive.end(at)?;

        let text = fill(descriptor(machine, &described(&made)), room);
        let mut manifest = manifest_line(&names[0], &Digest::of(text.as_bytes()).hex());
        manifest.extend(made.iter().map(|disk| manifest_line(&disk.name, &disk.digest.hex())));
        archive.put(0, &names[0], text.as_bytes())?;
        archive.put(manifest_at, &names[1], manifest.as_bytes())?;
        Ok((bytes, made))
    }
}

fn described(disks: &[MadeDisk]) -> Vec<Described> {
    let describe = |disk: &MadeDisk| Described {
        member: disk.name.clone(),
        length: disk.bytes,
        capacity: disk.capacity_bytes,
        populated: disk.populated_bytes,
    };
    disks.iter().map(describe).collect()
}

/// Lines added to a descriptor whose real numbers are so much shorter that it would end a block before its room does.
/// White space behind the root element says nothing.
fn fill(mut text: String, room: usize) -> String {
    while text.len().next_multiple_of(BLOCK_BYTES) < room {
        text.push('\n');
    }
    text
}

/// What vSphere reads: no blank before the bracket, one behind the equals sign, and no other name of the algorithm.
fn manifest_line(name: &str, hex: &str) -> String {
    format!("SHA256({name})= {hex}\n")
}

#[cfg(test)]
mod tests {
    use super::machine::tests::machine;
    use super::*;

    #[test]
    fn real_numbers_never_need_more_room_than_was_left() {
        let name = |number| format!("acme-disk{number}.vmdk");
        for count in 1..=MAX_DISKS {
            let ahead: Vec<Described> = (0..count).map(|n| Described::ahead(&name(n), u64::MAX)).collect();
            let room = descriptor(&machine(), &ahead).len().next_multiple_of(BLOCK_BYTES);
            for number in [0, u64::MAX] {
                let real =
                    ahead.iter().cloned().map(|disk| Described { length: number, populated: number, ..disk });
                let text = descriptor(&machine(), &real.collect::<Vec<_>>());
                let filled = fill(text.clone(), room);
                assert_eq!(filled.len().next_multiple_of(BLOCK_BYTES), room, "{count} {number}");
                assert_eq!(filled.trim_end(), text.trim_end());
            }
        }
    }

    #[test]
    fn the_manifest_has_the_form_that_vsphere_reads() {
        assert_eq!(manifest_line("a.ovf", "00ff"), "SHA256(a.ovf)= 00ff\n");
    }

    #[test]
    fn what_people_write_is_text_in_the_descriptor() {
        let mut machine = machine();
        machine.licence = Some("1 < 2 & so on".into());
        machine.offered.offer("release-source", "https://a.example/?a=1&b=\"2\"").unwrap();
        let text = descriptor(&machine, &[Described::ahead("a-disk1.vmdk", 512)]);
        for expected in [
            "<Product>ACME &lt;Appliance&gt; &amp; &quot;more&quot;</Product>",
            "<License>1 &lt; 2 &amp; so on</License>",
            "ovf:key=\"release-source\" ovf:type=\"string\" ovf:userConfigurable=\"true\" ovf:value=\"https://a.example/?a=1&amp;b=&quot;2&quot;\"",
            "ovf:qualifiers=\"ValueMap{&quot;dhcp&quot;,&quot;static&quot;}\"",
            "ovf:key=\"join-token\" ovf:type=\"string\" ovf:userConfigurable=\"true\" ovf:value=\"\" ovf:qualifiers=\"MaxLen(1024)\" ovf:password=\"true\"",
            "<VirtualHardwareSection ovf:transport=\"com.vmware.guestInfo\">",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
