//! What the appliance asks at deployment, and takes from the OVF environment at its first boot.
//!
//! The keys are a contract with the first boot: keys are added, none changes its meaning. `hostname` and `public-keys` are
//! those that cloud-init knows. A key has neither `.` nor `:` (DSP0243, 9.5.1).

use std::net::IpAddr;

use super::{Error, xml};

/// Longest value of a property, in bytes.
const MAX_VALUE_BYTES: usize = 8 << 10;
/// How like a known key an unknown one must be to be called a slip of the pen (1 = the same).
const LIKENESS: f64 = 0.7;

/// A question.
#[derive(Debug)]
pub struct Question {
    /// How the first boot calls the answer.
    pub key: &'static str,
    /// What stands before the field.
    pub label: &'static str,
    /// What stands below it.
    pub help: &'static str,
    /// What an answer is.
    pub(super) form: Form,
    /// The answer that is offered.
    pub(super) value: &'static str,
}

/// What an answer is. Nothing at all is always one, unless there is a choice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Text of so many characters at most.
    Text(u32),
    /// Text that is not shown.
    Secret(u32),
    /// One of these.
    Choice(&'static [&'static str]),
    /// An address with the length of its network: `192.0.2.10/24`.
    Network,
    /// An address.
    Address,
    /// Addresses with commas between them.
    Addresses,
}

/// Questions under one heading.
#[derive(Debug)]
pub struct Category {
    /// The heading.
    pub name: &'static str,
    /// The questions, in their order.
    pub questions: &'static [Question],
}

/// All questions, in their order.
pub const CATEGORIES: [Category; 4] = [
    Category {
        name: "System",
        questions: &[
            Question {
                key: "hostname",
                label: "Host name",
                help: "Name of this node, unique among its nodes. Without it, the name that DHCP gives.",
                form: Form::Text(63),
                value: "",
            },
            Question {
                key: "public-keys",
                label: "SSH public key",
                help: "Who has the private half may log in for support. Without it nobody may.",
                form: Form::Text(4096),
                value: "",
            },
            Question {
                key: "ntp-servers",
                label: "Time servers",
                help: "Names or addresses, with commas between them. Without them the clock of the host counts.",
                form: Form::Text(1024),
                value: "",
            },
        ],
    },
    Category {
        name: "Network",
        questions: &[
            Question {
                key: "network-mode",
                label: "How the address is found",
                help: "With static, address, gateway and name servers are those below.",
                form: Form::Choice(&["dhcp", "static"]),
                value: "dhcp",
            },
            Question {
                key: "network-address",
                label: "Address",
                help: "With the length of its network, such as 192.0.2.10/24.",
                form: Form::Network,
                value: "",
            },
            Question {
                key: "network-gateway",
                label: "Gateway",
                help: "Without it nothing beyond the network is reached, and nothing has to be.",
                form: Form::Address,
                value: "",
            },
            Question {
                key: "network-dns",
                label: "Name servers",
                help: "Addresses, with commas between them.",
                form: Form::Addresses,
                value: "",
            },
            Question {
                key: "network-search",
                label: "Search domains",
                help: "Domains, with commas between them.",
                form: Form::Text(1024),
                value: "",
            },
        ],
    },
    Category {
        name: "Role",
        questions: &[
            Question {
                key: "role",
                label: "Role of this node",
                help: "single: alone, and may grow. first: the first of three. join: comes to a node that runs. \
                       setup: asks at the console.",
                form: Form::Choice(&["setup", "single", "first", "join"]),
                value: "setup",
            },
            Question {
                key: "cluster-endpoint",
                label: "Name or address of the cluster",
                help: "Under which all nodes together are reached. Without it, the address of this node.",
                form: Form::Text(253),
                value: "",
            },
            Question {
                key: "cluster-nodes",
                label: "Other nodes",
                help: "For roles first and join: addresses of the other nodes, or their network such as 192.0.2.0/28, with commas \
                       between them. The firewall lets them in.",
                form: Form::Text(1024),
                value: "",
            },
            Question {
                key: "join-server",
                label: "Node to join",
                help: "For role join: name or address of a node that runs.",
                form: Form::Text(253),
                value: "",
            },
            Question {
                key: "join-token",
                label: "Token to join with",
                help: "For role join: as that node shows it (sealiftctl cluster token). It is used once.",
                form: Form::Secret(1024),
                value: "",
            },
        ],
    },
    Category {
        name: "Releases",
        questions: &[Question {
            key: "release-source",
            label: "Where releases come from",
            help: "Address of the vendor's releases, for an appliance that is online. Without it, releases come on sticks, and \
                   nothing is let out.",
            form: Form::Text(2048),
            value: "",
        }],
    },
];

/// The answers that an OVA offers, in place of those of the questions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered(Vec<(&'static str, String)>);

impl Offered {
    /// Offers this answer to a question, in place of any other.
    ///
    /// # Errors
    /// [`Error::NoSuchProperty`], or [`Error::BadValue`].
    pub fn offer(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let question = questions().find(|question| question.key == key).ok_or_else(|| {
            let likeness = |known: &str| strsim::jaro_winkler(known, key);
            let nearest = questions().map(|question| question.key).filter(|known| likeness(known) > LIKENESS);
            let nearest = nearest.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
            Error::NoSuchProperty { key: key.to_owned(), nearest }
        })?;
        let refuse = |why| Error::BadValue { key: question.key, value: value.to_owned(), why };
        question.form.check(value).map_err(refuse)?;
        xml::check(&format!("property `{key}`"), value, MAX_VALUE_BYTES)?;
        self.0.retain(|(other, _)| *other != question.key);
        self.0.push((question.key, value.to_owned()));
        Ok(())
    }

    /// The answer that is offered to a question.
    #[must_use]
    pub fn to<'a>(&'a self, question: &'a Question) -> &'a str {
        let offered = self.0.iter().find(|(key, _)| *key == question.key);
        offered.map_or(question.value, |(_, value)| value)
    }
}

fn questions() -> impl Iterator<Item = &'static Question> {
    const { &CATEGORIES }.iter().flat_map(|category| category.questions)
}

impl Form {
    /// What the descriptor says of it (DSP0243, 9.5.1; DSP0004, 5.6.3).
    pub(super) fn qualifiers(self) -> String {
        match self {
            Self::Text(most) | Self::Secret(most) => format!("MaxLen({most})"),
            Self::Choice(words) => format!("ValueMap{{\"{}\"}}", words.join("\",\"")),
            Self::Network | Self::Address => "MaxLen(64)".to_owned(),
            Self::Addresses => "MaxLen(1024)".to_owned(),
        }
    }

    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret(_))
    }

    fn check(self, value: &str) -> Result<(), String> {
        let is_address = |text: &str| text.trim().parse::<IpAddr>().is_ok();
        let is_network = |text: &str| {
            text.split_once('/').is_some_and(|(address, length)| {
                match (address.parse(), length.parse::<u8>()) {
                    (Ok(IpAddr::V4(_)), Ok(length)) => length <= 32,
                    (Ok(IpAddr::V6(_)), Ok(length)) => length <= 128,
                    _ => false,
                }
            })
        };
        let (is_good, rule) = match self {
            Self::Text(most) | Self::Secret(most) => {
                (value.chars().count() <= most as usize, format!("at most {most} characters"))
            }
            Self::Choice(words) => (words.contains(&value), format!("one of {}", words.join(", "))),
            Self::Network => {
                (value.is_empty() || is_network(value), "an address such as 192.0.2.10/24".into())
            }
            Self::Address => (value.is_empty() || is_address(value), "an address".into()),
            Self::Addresses => (
                value.is_empty() || value.split(',').all(is_address),
                "addresses with commas between them".into(),
            ),
        };
        if is_good { Ok(()) } else { Err(format!("it has to be {rule}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_takes_its_own_answer_and_has_a_key_that_ovf_takes() {
        let mut keys = std::collections::BTreeSet::new();
        for question in questions() {
            question.form.check(question.value).unwrap();
            assert!(keys.insert(question.key), "{}", question.key);
            assert!(question.key.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", question.key);
        }
    }

    #[test]
    fn answers_are_checked() {
        let cases = [
            ("hostname", "node-1", true),
            ("hostname", &"n".repeat(64), false),
            ("network-mode", "static", true),
            ("network-mode", "", false),
            ("network-address", "192.0.2.10/24", true),
            ("network-address", "2001:db8::1/64", true),
            ("network-address", "192.0.2.10", false),
            ("network-address", "192.0.2.10/33", false),
            ("network-address", "", true),
            ("network-gateway", "192.0.2.1", true),
            ("network-gateway", "gateway", false),
            ("network-dns", "192.0.2.1, 2001:db8::1", true),
            ("network-dns", "192.0.2.1,", false),
            ("role", "join", true),
            ("role", "master", false),
            ("release-source", "https://releases.acme.example/?a=1&b=\"<", true),
            ("release-source", "\u{0}", false),
        ];
        for (key, value, expected) in cases {
            let mut offered = Offered::default();
            assert_eq!(offered.offer(key, value).is_ok(), expected, "{key} {value:?}");
        }
    }

    #[test]
    fn the_last_answer_counts_and_a_slip_is_seen() {
        let mut offered = Offered::default();
        offered.offer("role", "single").unwrap();
        offered.offer("role", "first").unwrap();
        let role = questions().find(|question| question.key == "role").unwrap();
        assert_eq!(offered.to(role), "first");
        for (key, expected) in [("host-name", Some("hostname")), ("dns", None)] {
            let Err(Error::NoSuchProperty { nearest, .. }) = offered.offer(key, "x") else { panic!("{key}") };
            assert_eq!(nearest, expected, "{key}");
        }
    }
}
