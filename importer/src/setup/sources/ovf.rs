//! What was typed in when the appliance was deployed on vSphere: the properties of OVF's environment (DSP0243, 9.5 and 11), a document of XML that
//! lies in guestinfo or on a disc.
//!
//! The keys are those of `sealift ova`. Others in it are not ours; of ours, one that is empty was not answered.

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as Wrong, StrDeserializer};

use crate::setup::given::{Given, Mode, Online, RawNetwork, RoleName, Time};
use sealift_archive::ChannelName;

/// Largest document, in bytes. Ours have 4 KB.
pub(super) const MAX_BYTES: u64 = 256 << 10;
/// Most elements and texts in it.
const MAX_NODES: u32 = 10_000;
/// The namespace of the document and of its attributes.
const NAMESPACE: &str = "http://schemas.dmtf.org/ovf/environment/1";

/// What is said among the properties.
///
/// # Errors
/// In words what is wrong, with the property's key.
pub fn environment(bytes: &[u8]) -> Result<Given, String> {
    given(&properties(bytes)?)
}

/// The properties of this machine, by key and value.
fn properties(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    // A document type is refused, and with it all that entities could grow to.
    let options =
        roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().namespace() != Some(NAMESPACE) || root.tag_name().name() != "Environment" {
        return Err("it is no environment of OVF".to_owned());
    }
    let attribute =
        |node: roxmltree::Node<'_, '_>, name: &str| node.attribute((NAMESPACE, name)).map(str::to_owned);
    // Sections below `Entity` are those of other machines.
    let sections = root.children().filter(|node| node.has_tag_name((NAMESPACE, "PropertySection")));
    let all = sections
        .flat_map(|section| section.children().filter(|node| node.has_tag_name((NAMESPACE, "Property"))));
    Ok(all.filter_map(|node| Some((attribute(node, "key")?, attribute(node, "value")?))).collect())
}

fn given(properties: &[(String, String)]) -> Result<Given, String> {
    let value = |key: &str| {
        let mut values = properties.iter().filter(|(name, value)| name == key && !value.trim().is_empty());
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(format!("the property `{key}` stands there twice")),
            (value, _) => Ok(value.map(|(_, value)| value.trim())),
        }
    };
    let role: Option<RoleName> = value("role")?.map(|text| word("role", text)).transpose()?;
    let online = value("release-source")?.map(|text| parse("release-source", text)).transpose()?;
    Ok(Given {
        hostname: value("hostname")?.map(|text| parse("hostname", text)).transpose()?,
        network: network(&value)?,
        role,
        server: value("join-server")?.map(|text| parse("join-server", text)).transpose()?,
        token: value("join-token")?.map(|text| parse("join-token", text)).transpose()?,
        endpoints: value("cluster-endpoint")?.map(|text| list("cluster-endpoint", text)).transpose()?,
        nodes: value("cluster-nodes")?.map(|text| list("cluster-nodes", text)).transpose()?,
        time: value("ntp-servers")?
            .map(|text| list("ntp-servers", text))
            .transpose()?
            .map(|servers| Time { servers }),
        online: online.map(|source| Online { source, channel: ChannelName::Stable }),
        public_keys: value("public-keys")?.map(keys).transpose()?,
    })
}

fn network<'a>(
    value: &impl Fn(&str) -> Result<Option<&'a str>, String>,
) -> Result<Option<crate::setup::given::NetworkGiven>, String> {
    let raw = RawNetwork {
        mode: value("network-mode")?.map_or(Ok(Mode::Dhcp), |text| word("network-mode", text))?,
        address: value("network-address")?.map(|text| parse("network-address", text)).transpose()?,
        gateway: value("network-gateway")?.map(|text| parse("network-gateway", text)).transpose()?,
        dns: value("network-dns")?.map(|text| list("network-dns", text)).transpose()?.unwrap_or_default(),
        search: value("network-search")?
            .map(|text| list("network-search", text))
            .transpose()?
            .unwrap_or_default(),
    };
    // `dhcp` is what stands in the form before anybody has touched it.
    let is_said = raw.mode == Mode::Static
        || raw.address.is_some()
        || raw.gateway.is_some()
        || !raw.dns.is_empty()
        || !raw.search.is_empty();
    if !is_said {
        return Ok(None);
    }
    raw.try_into().map(Some).map_err(|why: String| format!("the property `network-mode`: {why}"))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(key: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("the property `{key}`: {why}"))
}

fn list<T: std::str::FromStr<Err: std::fmt::Display>>(key: &str, text: &str) -> Result<Vec<T>, String> {
    let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| parse(key, part)).collect()
}

/// Keys stand on lines of their own; vSphere's form has only one line, so commas do as well.
fn keys<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<Vec<T>, String> {
    let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| parse("public-keys", part)).collect()
}

fn word<'de, T: Deserialize<'de>>(key: &str, text: &'de str) -> Result<T, String> {
    let word: StrDeserializer<'de, Wrong> = text.into_deserializer();
    T::deserialize(word).map_err(|why| format!("the property `{key}`: {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(properties: &[(&str, &str)]) -> String {
        let line =
            |(key, value): &(&str, &str)| format!("<Property oe:key=\"{key}\" oe:value=\"{value}\"/>\n");
        let list: Vec<String> = properties.iter().map(line).collect();
        let list = list.concat();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Environment xmlns=\"{NAMESPACE}\" xmlns:oe=\"{NAMESPACE}\" oe:id=\"\">\n\
             <PlatformSection><Kind>VMware ESXi</Kind></PlatformSection>\n<PropertySection>\n{list}</PropertySection>\n\
             <Entity oe:id=\"other\"><PropertySection><Property oe:key=\"role\" oe:value=\"join\"/></PropertySection></Entity>\n\
             </Environment>\n"
        )
    }

    fn read(properties: &[(&str, &str)]) -> Result<Given, String> {
        environment(document(properties).as_bytes())
    }

    #[test]
    fn all_that_a_form_asks() {
        let given = read(&[
            ("hostname", "node-a"),
            ("public-keys", "ssh-ed25519 AAAA me, ssh-rsa BBBB you"),
            ("ntp-servers", "192.0.2.3, ntp.example"),
            ("network-mode", "static"),
            ("network-address", "192.0.2.10/24"),
            ("network-gateway", "192.0.2.1"),
            ("network-dns", "192.0.2.2,192.0.2.4"),
            ("network-search", "acme.example"),
            ("role", "join"),
            ("cluster-endpoint", "appliance.example"),
            ("cluster-nodes", "192.0.2.0/28"),
            ("join-server", "192.0.2.9"),
            ("join-token", "K10&amp;x"),
            ("release-source", "https://releases.example"),
            ("user-data", "not ours"),
        ])
        .unwrap();
        assert_eq!(given.keys().len(), 10, "{given:?}");
        assert_eq!(given.token.unwrap().reveal(), "K10&x");
        assert_eq!((given.public_keys.unwrap().len(), given.role), (2, Some(RoleName::Join)));
        assert_eq!(given.network.unwrap().dns.len(), 2);
    }

    #[test]
    fn a_form_that_nobody_has_touched_says_only_that() {
        let given =
            read(&[("hostname", ""), ("network-mode", "dhcp"), ("role", "setup"), ("network-dns", " ")])
                .unwrap();
        assert_eq!(given, Given { role: Some(RoleName::Setup), ..Given::default() });
        assert_eq!(read(&[]).unwrap(), Given::default());
    }

    #[test]
    fn mistakes_name_the_property() {
        for (properties, wanted) in [
            (&[("role", "server")][..], "`role`"),
            (&[("network-mode", "auto")], "`network-mode`"),
            (&[("network-address", "192.0.2.10/24")], "come from the network"),
            (&[("network-mode", "static")], "an address is needed"),
            (&[("network-mode", "static"), ("network-address", "192.0.2.10")], "`network-address`"),
            (&[("network-dns", "192.0.2.2,dns.example")], "`network-dns`"),
            (&[("hostname", "a"), ("hostname", "b")], "twice"),
            (&[("hostname", "Node A")], "`hostname`"),
        ] {
            let said = read(properties).unwrap_err();
            assert!(said.contains(wanted), "{properties:?}: {said}");
        }
        let said = read(&[("join-token", "hunter2 hunter2")]).unwrap_err();
        assert!(said.contains("`join-token`") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn hostile_documents_are_refused_at_once() {
        let billion = "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>\
                       <Environment xmlns=\"http://schemas.dmtf.org/ovf/environment/1\">&b;</Environment>";
        let file = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/shadow\">]><x>&f;</x>";
        let deep = format!("{}{}", "<a>".repeat(60_000), "</a>".repeat(60_000));
        let deep_but_short = format!("{}{}", "<a>".repeat(9_000), "</a>".repeat(9_000));
        let many = format!("<a>{}</a>", "<b/>".repeat(20_000));
        let long = document(&[("hostname", &"x".repeat(300_000))]);
        for (text, wanted) in [
            (billion, "DTD"),
            (file, "DTD"),
            (&deep, ""),
            (&deep_but_short, ""),
            (&many, ""),
            (&long, "longer than"),
            ("", ""),
            ("<a", ""),
            ("<Environment/>", "no environment"),
        ] {
            let said = environment(text.as_bytes()).unwrap_err();
            assert!(said.contains(wanted), "{text:.60}: {said}");
        }
        assert!(environment(b"\xff\xfe").unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(value in "[ -~]{0,60}", key in "[a-z-]{1,20}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[(&key, &value)]);
            let _ = environment(&bytes);
            let _ = given(&[(key, value)]);
        }
    }
}
