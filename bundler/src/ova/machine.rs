//! The machine that vSphere is to build.

use super::{Error, Offered, xml};

/// Longest name, in characters: with what is added for disks it fits the name of a tar member.
const MAX_NAME: usize = 60;
/// Longest line of text, in bytes.
const MAX_LINE_BYTES: usize = 1 << 10;
/// Longest notes, in bytes.
const MAX_NOTES_BYTES: usize = 64 << 10;
/// Longest licence, in bytes.
pub const MAX_LICENCE_BYTES: usize = 1 << 20;
/// Versions of the virtual hardware: from vSphere 6.7 up.
const HARDWARE: std::ops::RangeInclusive<u8> = 14..=22;
const MAX_CPUS: u16 = 768;
/// The least memory that an appliance starts with, and the most of a machine, in MiB.
const MEMORY_MIB: std::ops::RangeInclusive<u64> = 512..=24 << 20;

/// What starts the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI.
    Efi {
        /// Whether it starts only what is signed.
        is_secure: bool,
    },
    /// BIOS.
    Bios,
}

/// A machine, and what it says about itself.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Of the machine and of the files in the OVA.
    pub name: String,
    /// What it is, for people.
    pub product: String,
    /// Who made it.
    pub vendor: String,
    /// In which version.
    pub version: String,
    /// What stands under “Notes”.
    pub notes: String,
    /// A licence to be agreed to at deployment.
    pub licence: Option<String>,
    /// Virtual processors.
    pub cpus: u16,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// What starts it.
    pub firmware: Firmware,
    /// Version of the virtual hardware: 17 for `vmx-17`, vSphere 7.0.
    pub hardware: u8,
    /// The network that is asked for, to be mapped at deployment.
    pub network: String,
    /// Answers that are offered.
    pub offered: Offered,
}

impl Machine {
    /// Refuses what no descriptor can say, and what vSphere does not build.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::BadText`], [`Error::BadMachine`].
    pub(super) fn check(&self) -> Result<(), Error> {
        if !is_name(&self.name) {
            return Err(Error::BadName(self.name.clone()));
        }
        let lines = [
            ("the product's name", &self.product),
            ("the vendor's name", &self.vendor),
            ("the version", &self.version),
            ("the network's name", &self.network),
        ];
        for (what, text) in lines {
            xml::check(what, text, MAX_LINE_BYTES)?;
        }
        xml::check("the notes", &self.notes, MAX_NOTES_BYTES)?;
        xml::check("the licence", self.licence.as_deref().unwrap_or_default(), MAX_LICENCE_BYTES)?;
        let refuse = |what, value: String, rule| Err(Error::BadMachine { what, value, rule });
        if self.cpus == 0 || self.cpus > MAX_CPUS {
            return refuse("the number of processors", self.cpus.to_string(), "1 to 768");
        }
        if !MEMORY_MIB.contains(&self.memory_mib) || !self.memory_mib.is_multiple_of(4) {
            let rule = "512 MiB to 24 TiB, in steps of 4 MiB (`8GiB`)";
            return refuse("memory", format!("{} MiB", self.memory_mib), rule);
        }
        if !HARDWARE.contains(&self.hardware) {
            let rule = "14 to 22; 17 is that of vSphere 7.0, 20 that of 8.0";
            return refuse("the version of the hardware", self.hardware.to_string(), rule);
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_good)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine that nobody has anything against.
    pub(in crate::ova) fn machine() -> Machine {
        Machine {
            name: "acme-1.5.0".into(),
            product: "ACME <Appliance> & \"more\"".into(),
            vendor: "ACME".into(),
            version: "1.5.0".into(),
            notes: "Notes\non two lines".into(),
            licence: None,
            cpus: 4,
            memory_mib: 8192,
            firmware: Firmware::Efi { is_secure: false },
            hardware: 17,
            network: "VM Network".into(),
            offered: Offered::default(),
        }
    }

    #[test]
    fn machines_are_checked() {
        type Change = fn(&mut Machine);
        let cases: [(Change, &str); 12] = [
            (|_| (), "ok"),
            (|m| m.name = String::new(), "cannot be the name"),
            (|m| m.name = "a/b".into(), "cannot be the name"),
            (|m| m.name = "..".into(), "cannot be the name"),
            (|m| m.name = "n".repeat(61), "cannot be the name"),
            (|m| m.vendor = "\u{7}".into(), "U+0007"),
            (|m| m.licence = Some("x".repeat(MAX_LICENCE_BYTES + 1)), "is the most"),
            (|m| m.cpus = 0, "processors cannot be 0"),
            (|m| m.memory_mib = 511, "memory cannot be 511 MiB"),
            (|m| m.memory_mib = 1026, "steps of 4 MiB"),
            (|m| m.hardware = 13, "hardware cannot be 13"),
            (|m| m.firmware = Firmware::Bios, "ok"),
        ];
        for (change, expected) in cases {
            let mut machine = machine();
            change(&mut machine);
            let said = machine.check().map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert!(said.contains(expected), "{said}");
        }
    }
}
