//! What can keep a disk image from becoming an OVA.

use std::path::PathBuf;

use sealift_archive::{Class, Code, Explain};

use super::archive::MAX_MEMBER_BYTES;

/// Why there is no OVA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that holds no disk that could be taken.
    #[error("`{}` is {what}, not the image of a disk, raw or QCOW2", file.display())]
    NotADisk {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// A system disk from which nothing can start.
    #[error("`{}` has no partition table, so no machine starts from it", file.display())]
    NotBootable {
        /// The image.
        file: PathBuf,
    },
    /// A disk that does not consist of whole sectors.
    #[error("a disk of {bytes} bytes, as {what}, does not consist of whole sectors of 512 bytes")]
    OddSize {
        /// The image, or the option.
        what: String,
        /// Its size.
        bytes: u64,
    },
    /// A disk that no machine of vSphere can have.
    #[error("a disk of {bytes} bytes, as {what}, is larger than vSphere takes, {limit}")]
    DiskTooLarge {
        /// The image, or the option.
        what: String,
        /// Its size.
        bytes: u64,
        /// The largest, in bytes.
        limit: u64,
    },
    /// A QCOW2 image that is cut off or contradicts itself.
    #[error("`{}` is damaged: {why}", file.display())]
    DamagedImage {
        /// The image.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A QCOW2 image that cannot be read alone, or here.
    #[error("`{}` {why}", file.display())]
    UnsupportedImage {
        /// The image.
        file: PathBuf,
        /// What it has.
        why: String,
    },
    /// A compressed disk that does not fit a member of a ustar archive.
    #[error("disk `{member}` is still larger than {MAX_MEMBER_BYTES} bytes when compressed")]
    MemberTooLarge {
        /// Its name in the OVA.
        member: String,
    },
    /// A name that cannot be that of files and of a machine.
    #[error("`{0}` cannot be the name of a machine")]
    BadName(String),
    /// Text that XML cannot carry, or too much of it.
    #[error("{what} cannot be carried: {why}")]
    BadText {
        /// Which text.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A property that the appliance does not ask for.
    #[error("the appliance does not ask for a property `{key}`")]
    NoSuchProperty {
        /// What was written.
        key: String,
        /// The one that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A value that a property cannot have.
    #[error("`{value}` cannot be property `{key}`: {why}")]
    BadValue {
        /// The property.
        key: &'static str,
        /// The value.
        value: String,
        /// What it has to be.
        why: String,
    },
    /// A machine that vSphere does not build.
    #[error("{what} cannot be {value}: {rule}")]
    BadMachine {
        /// What of it.
        what: &'static str,
        /// The value.
        value: String,
        /// What it has to be.
        rule: &'static str,
    },
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotADisk { .. } => 700,
            Self::NotBootable { .. } => 701,
            Self::OddSize { .. } => 702,
            Self::DiskTooLarge { .. } => 703,
            Self::DamagedImage { .. } => 704,
            Self::UnsupportedImage { .. } => 705,
            Self::MemberTooLarge { .. } => 706,
            Self::BadName(_) => 707,
            Self::BadText { .. } => 708,
            Self::NoSuchProperty { .. } => 709,
            Self::BadValue { .. } => 710,
            Self::BadMachine { .. } => 711,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::DamagedImage { .. } => Class::Refused,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotADisk { file, .. } => {
                format!(
                    "images of other programs: `qemu-img convert -O qcow2 {} disk.qcow2`; decompress what is compressed",
                    file.display()
                )
            }
            Self::NotBootable { .. } => "the system disk comes first; an empty data disk is made by `--data-disk SIZE`".into(),
            Self::OddSize { .. } => "copy it again; or `qemu-img resize` to whole MiB".into(),
            Self::DiskTooLarge { .. } => "make the disk smaller".into(),
            Self::DamagedImage { .. } => "`qemu-img check` says more; copy or make it again".into(),
            Self::UnsupportedImage { file, .. } => {
                format!("`qemu-img convert -O qcow2 {} whole.qcow2` writes one that stands alone", file.display())
            }
            Self::MemberTooLarge { .. } => {
                "empty what is free on it (`fstrim -av` in the machine, then convert it again), and ship bulky content in the bundle, not in the image".into()
            }
            Self::BadName(_) => "letters, digits, `.`, `_` and `-`, at most 60 of them, beginning with a letter or digit".into(),
            Self::NoSuchProperty { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::NoSuchProperty { nearest: None, .. } => "`sealift ova --help` lists them".into(),
            Self::BadText { .. } | Self::BadValue { .. } | Self::BadMachine { .. } => return None,
        })
    }
}
