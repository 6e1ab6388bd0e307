//! The `.ovf`: what vSphere reads to build the machine (DMTF DSP0243, with what vSphere adds).

use super::machine::{Firmware, Machine};
use super::property::{CATEGORIES, Question};
use super::xml::Xml;

const NAMESPACES: [(&str, &str); 5] = [
    ("xmlns", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:ovf", "http://schemas.dmtf.org/ovf/envelope/1"),
    ("xmlns:rasd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"),
    ("xmlns:vmw", "http://www.vmware.com/schema/ovf"),
    ("xmlns:vssd", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"),
];
const VMDK_FORMAT: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";
/// How the answers come into the machine: by a variable that the tools of vSphere read. An ISO image would need a drive.
const TRANSPORT: &str = "com.vmware.guestInfo";
/// 64-bit Ubuntu, as CIM counts operating systems.
const OPERATING_SYSTEM: (&str, &str) = ("94", "ubuntu64Guest");
/// A number that is not known yet is written this long, and no real one is longer.
const WIDEST: u64 = u64::MAX;

/// A disk, as the descriptor tells of it. All numbers are bytes.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Its name in the OVA.
    pub(super) member: String,
    /// What is there.
    pub(super) length: u64,
    /// What the machine sees.
    pub(super) capacity: u64,
    /// What of that is not zero.
    pub(super) populated: u64,
}

impl Described {
    /// One that is not written yet. What is said of it takes as much room as anything that may come of it.
    pub(super) fn ahead(member: &str, capacity: u64) -> Self {
        Self { member: member.to_owned(), length: WIDEST, capacity, populated: WIDEST }
    }
}

/// What of the hardware an item is (CIM, `CIM_ResourceAllocationSettingData.ResourceType`).
mod kind {
    pub(super) const PROCESSOR: &str = "3";
    pub(super) const MEMORY: &str = "4";
    pub(super) const SCSI_CONTROLLER: &str = "6";
    pub(super) const NETWORK_ADAPTER: &str = "10";
    pub(super) const DISK: &str = "17";
}

/// Elements of an item, which the schema wants in the order of their names.
type Fields<'a> = [(&'static str, &'a str)];

/// The number of the first item; there is only one of most.
const CONTROLLER: &str = "3";
const FIRST_DISK: usize = 10;

/// Writes the descriptor of a machine with these disks, the system disk first.
pub(super) fn descriptor(machine: &Machine, disks: &[Described]) -> String {
    let mut xml = Xml::new();
    xml.element("Envelope", &NAMESPACES, |xml| {
        xml.element("References", &[], |xml| {
            for (number, disk) in (1..).zip(disks) {
                let (id, size) = (format!("file{number}"), disk.length.to_string());
                xml.empty("File", &[("ovf:href", &disk.member), ("ovf:id", &id), ("ovf:size", &size)]);
            }
        });
        xml.element("DiskSection", &[], |xml| {
            xml.text("Info", "Virtual disks");
            for (number, disk) in (1..).zip(disks) {
                xml.empty(
                    "Disk",
                    &[
                        ("ovf:capacity", &disk.capacity.to_string()),
                        ("ovf:capacityAllocationUnits", "byte"),
                        ("ovf:diskId", &format!("vmdisk{number}")),
                        ("ovf:fileRef", &format!("file{number}")),
                        ("ovf:format", VMDK_FORMAT),
                        ("ovf:populatedSize", &disk.populated.to_string()),
                    ],
                );
            }
        });
        xml.element("NetworkSection", &[], |xml| {
            xml.text("Info", "Networks");
            xml.element("Network", &[("ovf:name", &machine.network)], |xml| {
                xml.text("Description", "The network of the appliance");
            });
        });
        xml.element("VirtualSystem", &[("ovf:id", &machine.name)], |xml| system(xml, machine, disks));
    });
    xml.finish()
}

fn system(xml: &mut Xml, machine: &Machine, disks: &[Described]) {
    xml.text("Info", "A virtual machine");
    xml.text("Name", &machine.name);
    let (id, kind) = OPERATING_SYSTEM;
    xml.element("OperatingSystemSection", &[("ovf:id", id), ("vmw:osType", kind)], |xml| {
        xml.text("Info", "The operating system");
    });
    xml.element("VirtualHardwareSection", &[("ovf:transport", TRANSPORT)], |xml| {
        hardware(xml, machine, disks);
    });
    if !machine.notes.is_empty() {
        xml.element("AnnotationSection", &[], |xml| {
            xml.text("Info", "Notes");
            xml.text("Annotation", &machine.notes);
        });
    }
    if let Some(licence) = &machine.licence {
        xml.element("EulaSection", &[], |xml| {
            xml.text("Info", "Licence");
            xml.text("License", licence);
        });
    }
    xml.element("ProductSection", &[], |xml| {
        xml.text("Info", "The appliance, and what it asks");
        xml.text("Product", &machine.product);
        xml.text("Vendor", &machine.vendor);
        xml.text("Version", &machine.version);
        for category in &CATEGORIES {
            xml.text("Category", category.name);
            for question in category.questions {
                property(xml, question, machine.offered.to(question));
            }
        }
    });
}

fn property(xml: &mut Xml, question: &Question, value: &str) {
    let qualifiers = question.form.qualifiers();
    let mut attributes = vec![
        ("ovf:key", question.key),
        ("ovf:type", "string"),
        ("ovf:userConfigurable", "true"),
        ("ovf:value", value),
        ("ovf:qualifiers", &qualifiers),
    ];
    if question.form.is_secret() {
        attributes.push(("ovf:password", "true"));
    }
    xml.element("Property", &attributes, |xml| {
        xml.text("Label", question.label);
        xml.text("Description", question.help);
    });
}

fn hardware(xml: &mut Xml, machine: &Machine, disks: &[Described]) {
    xml.text("Info", "Virtual hardware");
    xml.element("System", &[], |xml| {
        xml.text("vssd:ElementName", "Virtual Hardware Family");
        xml.text("vssd:InstanceID", "0");
        xml.text("vssd:VirtualSystemIdentifier", &machine.name);
        xml.text("vssd:VirtualSystemType", &format!("vmx-{}", machine.hardware));
    });
    let cpus = machine.cpus.to_string();
    item(
        xml,
        &[
            ("AllocationUnits", "hertz * 10^6"),
            ("ElementName", "Processors"),
            ("InstanceID", "1"),
            ("ResourceType", kind::PROCESSOR),
            ("VirtualQuantity", &cpus),
        ],
    );
    let memory = machine.memory_mib.to_string();
    item(
        xml,
        &[
            ("AllocationUnits", "byte * 2^20"),
            ("ElementName", "Memory"),
            ("InstanceID", "2"),
            ("ResourceType", kind::MEMORY),
            ("VirtualQuantity", &memory),
        ],
    );
    item(
        xml,
        &[
            ("Address", "0"),
            ("ElementName", "SCSI controller 0"),
            ("InstanceID", CONTROLLER),
            ("ResourceSubType", "VirtualSCSI"),
            ("ResourceType", kind::SCSI_CONTROLLER),
        ],
    );
    item(
        xml,
        &[
            ("AddressOnParent", "7"),
            ("AutomaticAllocation", "true"),
            ("Connection", &machine.network),
            ("ElementName", "Network adapter 1"),
            ("InstanceID", "4"),
            ("ResourceSubType", "VmxNet3"),
            ("ResourceType", kind::NETWORK_ADAPTER),
        ],
    );
    for number in 0..disks.len() {
        // Number 7 of a SCSI bus is the controller itself.
        let unit = if number < 7 { number } else { number + 1 };
        item(
            xml,
            &[
                ("AddressOnParent", &unit.to_string()),
                ("ElementName", &format!("Hard disk {}", number + 1)),
                ("HostResource", &format!("ovf:/disk/vmdisk{}", number + 1)),
                ("InstanceID", &(FIRST_DISK + number).to_string()),
                ("Parent", CONTROLLER),
                ("ResourceType", kind::DISK),
            ],
        );
    }
    let setting = |xml: &mut Xml, name, key, value| {
        xml.empty(name, &[("ovf:required", "false"), ("vmw:key", key), ("vmw:value", value)]);
    };
    match machine.firmware {
        Firmware::Bios => setting(xml, "vmw:Config", "firmware", "bios"),
        Firmware::Efi { is_secure } => {
            setting(xml, "vmw:Config", "firmware", "efi");
            let is_secure = if is_secure { "true" } else { "false" };
            setting(xml, "vmw:Config", "bootOptions.efiSecureBootEnabled", is_secure);
        }
    }
    // The machine sees which disk is which by their identities.
    setting(xml, "vmw:ExtraConfig", "disk.EnableUUID", "TRUE");
}

fn item(xml: &mut Xml, fields: &Fields<'_>) {
    xml.element("Item", &[], |xml| {
        for (name, value) in fields {
            xml.text(&format!("rasd:{name}"), value);
        }
    });
}
