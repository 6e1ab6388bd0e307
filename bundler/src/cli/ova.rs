//! `ova`: an appliance for vSphere.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use sealift_archive::durable;
use sealift_archive::split::parse_bytes;

use super::EPOCH_VARIABLE;
use super::output::{Lines, Output, path, size};
use crate::files::read_capped;
use crate::ova::{self, CATEGORIES, Firmware, MAX_LICENCE_BYTES, Machine, Made, Offered, Order, Plan};
use crate::{Error, sbom};

const MIB: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
DISK is raw or QCOW2; it has to stand alone, and is read once. The OVA holds NAME.ovf, NAME.mf with
SHA-256, and each disk as streamOptimized VMDK. While it is made it is called FILE.partial, and no
more room is taken than it has in the end. The same input makes the same bytes; SOURCE_DATE_EPOCH
dates them (1970 without it).

Examples:
  sealift ova dist/acme.qcow2 -o dist/acme-1.5.0.ova --data-disk 200GiB
  sealift ova dist/acme.qcow2 -o dist/ --name acme --product 'ACME Appliance' --vendor ACME \\
      --product-version 1.5.0 --eula EULA.txt --cpus 8 --memory 16GiB --data-disk 500GiB
  sealift ova dist/acme.raw -o acme.ova --property role=single --property ntp-servers=10.0.0.1
  sealift ova dist/acme.qcow2 -o acme.ova --plan")]
pub(super) struct OvaArgs {
    /// Image of the system disk; further ones are data disks
    #[arg(value_name = "DISK", required = true)]
    disks: Vec<PathBuf>,
    /// The OVA, or a folder for NAME.ova
    #[arg(short, long, alias = "out", value_name = "FILE|DIR")]
    output: PathBuf,
    /// Add an empty data disk of this size: `200GiB`; may be repeated
    #[arg(long, value_name = "SIZE")]
    data_disk: Vec<Size>,
    /// Name of the machine and of the files in the OVA; without it, that of FILE, or of the first DISK
    #[arg(long)]
    name: Option<String>,
    /// What the appliance is called; without it, its name
    #[arg(long, value_name = "TEXT")]
    product: Option<String>,
    /// Who makes it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    vendor: String,
    /// Which version of it this is
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    product_version: String,
    /// What stands in the notes of the machine
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    annotation: String,
    /// File with a licence that is to be agreed to at deployment, in UTF-8
    #[arg(long, value_name = "FILE")]
    eula: Option<PathBuf>,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 4)]
    cpus: u16,
    /// Memory
    #[arg(long, value_name = "SIZE", default_value = "8GiB")]
    memory: Size,
    /// What starts the machine
    #[arg(long, value_enum, default_value_t = FirmwareName::Efi)]
    firmware: FirmwareName,
    /// Start only what is signed; UEFI alone can do that
    #[arg(long)]
    secure_boot: bool,
    /// Version of the virtual hardware: 17 for vSphere 7.0, 20 for 8.0
    #[arg(long, value_name = "N", default_value_t = 17)]
    hardware: u8,
    /// What the network is called that is mapped at deployment
    #[arg(long, value_name = "TEXT", default_value = "VM Network")]
    network: String,
    /// Offer an answer to what is asked at deployment; may be repeated
    #[arg(long, value_name = "KEY=VALUE", long_help = property_help())]
    property: Vec<Answer>,
    /// How hard to compress
    #[arg(long, value_name = "1..9", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=9))]
    level: u32,
    /// Say what would be done, and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FirmwareName {
    /// UEFI
    Efi,
    /// BIOS
    Bios,
}

/// Bytes, as they are typed.
#[derive(Clone, Copy, Debug)]
struct Size(u64);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_bytes(text).map(Self).ok_or("write bytes, or a unit behind the number: `8GiB`, `200GiB`")
    }
}

/// `KEY=VALUE`
#[derive(Clone, Debug)]
struct Answer(String, String);

impl FromStr for Answer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}

fn property_help() -> String {
    let questions = CATEGORIES.iter().flat_map(|category| category.questions);
    let lines = questions.map(|question| format!("\n- `{}`: {}", question.key, question.label));
    let intro = "Offer an answer to what is asked at deployment; may be repeated. What is asked:".to_owned();
    std::iter::once(intro).chain(lines).collect()
}

pub(super) fn ova(output: Output, args: &OvaArgs) -> Result<(), Error> {
    let planned = ova::plan(order(args)?)?;
    if args.plan {
        return output.result(&planned.plan, || describe(&planned.plan));
    }
    let meter = output.meter("compressing", planned.plan.read_bytes)?;
    let made = planned.execute(&meter)?;
    meter.finish();
    output.result(&made, || conclude(&made))
}

fn order(args: &OvaArgs) -> Result<Order<'_>, Error> {
    let is_folder = durable::is_folder(&args.output);
    let named_by = if is_folder { &args.disks[0] } else { &args.output };
    let name = args.name.clone().unwrap_or_else(|| stem(named_by));
    let target = if is_folder { args.output.join(format!("{name}.ova")) } else { args.output.clone() };
    let mut offered = Offered::default();
    for Answer(key, value) in &args.property {
        offered.offer(key, value)?;
    }
    let licence = match &args.eula {
        Some(file) => Some(licence(file)?),
        None => None,
    };
    Ok(Order {
        images: &args.disks,
        empty: args.data_disk.iter().map(|size| size.0).collect(),
        machine: Machine {
            product: args.product.clone().unwrap_or_else(|| name.clone()),
            name,
            vendor: args.vendor.clone(),
            version: args.product_version.clone(),
            notes: args.annotation.clone(),
            licence,
            cpus: args.cpus,
            memory_mib: args.memory.0 / MIB,
            firmware: firmware(args)?,
            hardware: args.hardware,
            network: args.network.clone(),
            offered,
        },
        target,
        level: args.level,
        date: epoch()?,
    })
}

fn firmware(args: &OvaArgs) -> Result<Firmware, ova::Error> {
    match args.firmware {
        FirmwareName::Efi => Ok(Firmware::Efi { is_secure: args.secure_boot }),
        FirmwareName::Bios if args.secure_boot => {
            let rule = "efi, which alone can start only what is signed";
            Err(ova::Error::BadMachine { what: "the firmware", value: "bios".to_owned(), rule })
        }
        FirmwareName::Bios => Ok(Firmware::Bios),
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn licence(file: &Path) -> Result<String, Error> {
    let bytes = read_capped(file, MAX_LICENCE_BYTES as u64)?;
    String::from_utf8(bytes).map_err(|_| {
        ova::Error::BadText { what: format!("`{}`", path(file)), why: "it is not UTF-8".to_owned() }.into()
    })
}

fn epoch() -> Result<u64, Error> {
    let Ok(text) = std::env::var(EPOCH_VARIABLE) else { return Ok(0) };
    let seconds = text.parse().ok().filter(|&seconds| seconds <= ova::MAX_TIME);
    seconds.ok_or(sbom::Error::NotATime(text).into())
}

fn describe(plan: &Plan) -> String {
    let mut lines = Lines::title(&path(&plan.path));
    for disk in &plan.disks {
        let from = disk.image.as_deref().map_or_else(
            || "empty".to_owned(),
            |image| format!("{} to read of {}", size(disk.read_bytes), path(image)),
        );
        lines = lines.line("disk", format!("{}  {}, {from}", disk.name, size(disk.capacity_bytes)));
    }
    let (most, free) = (size(plan.read_bytes), size(plan.free_bytes));
    lines.line("room", format!("less than {most} needed, {free} free")).text()
}

fn conclude(made: &Made) -> String {
    let mut lines = Lines::title(&format!("Made {}", path(&made.path)));
    for disk in &made.disks {
        let (capacity, used) = (size(disk.capacity_bytes), size(disk.populated_bytes));
        lines = lines.line("disk", format!("{}  {capacity}, {used} used, {}", disk.name, size(disk.bytes)));
    }
    lines.line("length", size(made.bytes)).end(&format!("next: govc import.ova {}", path(&made.path)))
}
