//! Asks at the console what no source has said. Each answer is checked at once; at the end all of them are shown, and asked for
//! once more.

use std::io::{self, BufRead, Write};
use std::str::FromStr;

use super::Error;
use super::answers::{Answers, Known};
use super::given::{Fixed, Given, Mode, NetworkGiven, Online, RawNetwork, RoleName, Time};
use super::told::summary;
use super::value::Token;
use sealift_archive::ChannelName;

/// Longest line that is read, in bytes: a public key.
const MAX_LINE_BYTES: u64 = 8 << 10;
/// How often the same question is asked before nobody is taken to be there: a line that types by itself must not go on for ever.
const MAX_TRIES: usize = 20;

/// Somebody who can be asked.
pub trait Person {
    /// Shows text.
    ///
    /// # Errors
    /// I/O.
    fn tell(&mut self, text: &str) -> io::Result<()>;

    /// Reads a line; nothing if no more will come.
    ///
    /// # Errors
    /// I/O.
    fn hear(&mut self) -> io::Result<Option<String>>;

    /// Asks for a line without showing what is typed.
    ///
    /// # Errors
    /// I/O.
    fn hear_secret(&mut self, question: &str) -> io::Result<Option<String>>;
}

/// Lines from one side, text to the other: a pipe, or a terminal that shows what is typed.
#[derive(Debug)]
pub struct Lines<R, W> {
    /// What is said to us.
    pub from: R,
    /// What we say.
    pub to: W,
}

impl<R: BufRead, W: Write> Person for Lines<R, W> {
    fn tell(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }

    fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.from, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        Ok((read > 0).then(|| String::from_utf8_lossy(&line).trim().to_owned()))
    }

    fn hear_secret(&mut self, question: &str) -> io::Result<Option<String>> {
        self.tell(question)?;
        self.hear()
    }
}

/// Asks all that there is to ask. What sources have said is offered.
///
/// # Errors
/// [`Error::GoneAway`], [`Error::Contradiction`], or I/O.
pub fn ask(person: &mut dyn Person, offered: &Given, known: &Known) -> Result<Given, Error> {
    let mut given = offered.clone();
    loop {
        let mut questions = Questions { person: &mut *person };
        given = questions.all(&given, known)?;
        let answers = Answers::new(given.clone(), known)?;
        questions.person.tell(&format!("\n{}", summary(&answers)))?;
        if questions.yes_or_no("Set this appliance up so? (no: ask again)", false)? {
            return Ok(given);
        }
    }
}

struct Questions<'a> {
    person: &'a mut dyn Person,
}

impl Questions<'_> {
    fn all(&mut self, offered: &Given, known: &Known) -> Result<Given, Error> {
        self.person.tell(
            "\nThis appliance has not been told what it is to be. An empty line takes what stands in brackets; \
             `-` takes nothing.\n",
        )?;
        let hostname = offered.hostname.clone().unwrap_or_else(|| known.hostname.clone());
        let hostname = self.needed("Name of this node", Some(hostname))?;
        let network = self.network(offered.network.as_ref())?;
        let role = offered.role.filter(|role| *role != RoleName::Setup).unwrap_or(RoleName::Single);
        self.person.tell(
            "Roles: single (alone, may grow), first (the first of three), join (comes to a node that runs)\n",
        )?;
        let role = self.checked("Role", Some(role.as_str()), |text| match text {
            "single" => Ok(RoleName::Single),
            "first" => Ok(RoleName::First),
            "join" => Ok(RoleName::Join),
            other => Err(format!("`{other}` is none of single, first, join")),
        })?;
        let (server, token) = match role {
            RoleName::Join => (
                Some(self.needed("Node to join, by name or address", offered.server.clone())?),
                self.token(offered, known)?,
            ),
            _ => (None, None),
        };
        let endpoints = self.list(
            "Names and addresses of the whole appliance, the cluster's first",
            offered.endpoints.as_ref(),
        )?;
        let nodes = match role {
            RoleName::Single => None,
            _ => self.list(
                "Addresses of the other nodes, or their network, such as 192.0.2.0/28",
                offered.nodes.as_ref(),
            )?,
        };
        let time = self.list("Time servers", offered.time.as_ref().map(|time| &time.servers))?;
        let source = self.optional(
            "Where releases come from, https:// or oci:// (nothing: on sticks)",
            offered.online.as_ref().map(|online| online.source.clone()),
        )?;
        let channel = offered.online.as_ref().map_or(ChannelName::Stable, |online| online.channel);
        Ok(Given {
            hostname: Some(hostname),
            network,
            role: Some(role),
            server,
            token,
            endpoints,
            nodes,
            time: time.map(|servers| Time { servers }),
            online: source.map(|source| Online { source, channel }),
            public_keys: self.keys(offered)?,
        })
    }

    fn network(&mut self, offered: Option<&NetworkGiven>) -> Result<Option<NetworkGiven>, Error> {
        let fixed = offered.and_then(|network| network.fixed.clone());
        let mode = if fixed.is_some() { "static" } else { "dhcp" };
        let mode = self.checked("Address: dhcp or static", Some(mode), |text| match text {
            "dhcp" => Ok(Mode::Dhcp),
            "static" => Ok(Mode::Static),
            other => Err(format!("`{other}` is neither dhcp nor static")),
        })?;
        let (offered_dns, offered_search) = offered.map(|network| (&network.dns, &network.search)).unzip();
        loop {
            let (address, gateway) = match mode {
                Mode::Dhcp => (None, None),
                Mode::Static => {
                    let (address, gateway) =
                        fixed.clone().map(|Fixed { address, gateway }| (address, gateway)).unzip();
                    let address = self
                        .needed("Address with the length of its network, such as 192.0.2.10/24", address)?;
                    (Some(address), self.optional("Gateway", gateway.flatten())?)
                }
            };
            let dns = self.list("Name servers, by their addresses", offered_dns)?.unwrap_or_default();
            let search =
                self.list("Domains that names are looked for in", offered_search)?.unwrap_or_default();
            match NetworkGiven::try_from(RawNetwork { mode, address, gateway, dns, search }) {
                Ok(network) => return Ok(Some(network)),
                Err(why) => self.person.tell(&format!("  {why}\n"))?,
            }
        }
    }

    fn token(&mut self, offered: &Given, known: &Known) -> Result<Option<Token>, Error> {
        let there = offered.token.clone().or_else(|| known.token.clone());
        let hint = if there.is_some() { " [as it is]" } else { "" };
        for _ in 0..MAX_TRIES {
            let question =
                format!("Token that this node shows (sealiftctl cluster token), not shown here{hint}: ");
            let line = self.person.hear_secret(&question)?.ok_or(Error::GoneAway)?;
            match line.trim() {
                "" if there.is_some() => return Ok(there),
                text => match text.parse() {
                    Ok(token) => return Ok(Some(token)),
                    Err(why) => self.person.tell(&format!("  {why}\n"))?,
                },
            }
        }
        Err(Error::GoneAway)
    }

    fn keys(&mut self, offered: &Given) -> Result<Option<Vec<super::value::PublicKey>>, Error> {
        let key = offered.public_keys.as_ref().and_then(|keys| keys.first().cloned());
        let rest = offered.public_keys.iter().flatten().skip(1).cloned();
        let key = self.optional("Public key of SSH of who may log in for support (nothing: nobody)", key)?;
        Ok(key.map(|key| std::iter::once(key).chain(rest).collect()))
    }

    fn yes_or_no(&mut self, question: &str, default: bool) -> Result<bool, Error> {
        let default = if default { "yes" } else { "no" };
        self.checked(question, Some(default), |text| match text {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            other => Err(format!("`{other}` is neither yes nor no")),
        })
    }

    /// An answer that there has to be.
    fn needed<T: FromStr<Err = String> + ToString>(
        &mut self,
        question: &str,
        default: Option<T>,
    ) -> Result<T, Error> {
        self.checked(question, default.map(|value| value.to_string()).as_deref(), str::parse)
    }

    /// An answer that may be nothing.
    fn optional<T: FromStr<Err: ToString> + ToString>(
        &mut self,
        question: &str,
        default: Option<T>,
    ) -> Result<Option<T>, Error> {
        let default = default.map(|value| value.to_string()).unwrap_or_default();
        self.checked(question, Some(&default), |text| match text {
            "" | "-" => Ok(None),
            text => text.parse().map(Some).map_err(|why: T::Err| why.to_string()),
        })
    }

    /// Several answers on one line, or none.
    fn list<T: FromStr<Err: ToString> + ToString>(
        &mut self,
        question: &str,
        default: Option<&Vec<T>>,
    ) -> Result<Option<Vec<T>>, Error> {
        let default =
            default.map(|values| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let list = self.checked(question, Some(&default.unwrap_or_default()), |text| {
            let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty() && *part != "-");
            parts
                .map(|part| part.parse().map_err(|why: T::Err| why.to_string()))
                .collect::<Result<Vec<T>, _>>()
        })?;
        Ok((!list.is_empty()).then_some(list))
    }

    fn checked<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        for _ in 0..MAX_TRIES {
            let offer = match default {
                None | Some("") => String::new(),
                Some(default) => format!(" [{default}]"),
            };
            self.person.tell(&format!("{question}{offer}: "))?;
            let line = self.person.hear()?.ok_or(Error::GoneAway)?;
            let text = if line.is_empty() { default.unwrap_or("") } else { line.as_str() };
            match parse(text) {
                Ok(value) => return Ok(value),
                Err(why) => self.person.tell(&format!("  {why}\n"))?,
            }
        }
        Err(Error::GoneAway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known { hostname: "sealift-1".parse().unwrap(), token: None, has_joined: false }
    }

    fn talk(offered: &Given, said: &[&str]) -> (Result<Given, Error>, String) {
        let text = said.join("\n") + "\n";
        let mut heard = Vec::new();
        let mut person = Lines { from: text.as_bytes(), to: &mut heard };
        let given = ask(&mut person, offered, &known());
        (given, String::from_utf8(heard).unwrap())
    }

    #[test]
    fn empty_lines_make_an_appliance_that_is_alone() {
        let (given, shown) = talk(&Given::default(), &["", "", "", "", "", "", "", "", "", "yes"]);
        let given = given.unwrap_or_else(|error| panic!("{error}: {shown}"));
        let answers = Answers::new(given, &known()).unwrap();
        assert_eq!(answers.role, super::super::answers::Role::Single);
        assert!(shown.contains("sealift-1") && shown.contains("Set this appliance up so?"), "{shown}");
    }

    #[test]
    fn a_wrong_answer_is_asked_for_again_at_once() {
        let said = [
            "Node A",
            "node-a",
            "statisch",
            "static",
            "192.0.2.10",
            "192.0.2.10/24",
            "fd00::1",
            "192.0.2.2",
            "acme.example",
            // The gateway is of another kind: address, gateway and the rest once more.
            "192.0.2.10/24",
            "192.0.2.1",
            "192.0.2.2",
            "acme.example",
            "three",
            "join",
            "",
            "192.0.2.9",
            "",
            "hunter2",
            "-",
            "192.0.2.9",
            "192.0.2.3, ntp.example",
            "-",
            "ssh-ed25519",
            "ssh-ed25519 AAAA me",
            "yes",
        ];
        let (given, shown) = talk(&Given::default(), &said);
        let given = given.unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!((given.role, given.token.clone().unwrap().reveal()), (Some(RoleName::Join), "hunter2"));
        assert_eq!(given.network.clone().unwrap().fixed.unwrap().gateway, Some("192.0.2.1".parse().unwrap()));
        assert_eq!((given.time.unwrap().servers.len(), given.online), (2, None));
        for wanted in [
            "no name of a node",
            "neither dhcp nor static",
            "same kind",
            "none of single",
            "no token",
            "no public key",
        ] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_was_said_is_offered_and_no_asks_again() {
        let offered: Given = serde_json::from_str(
            r#"{"hostname": "node-a", "endpoints": ["e.example"], "network": {"mode": "static", "address": "10.0.0.1/8"}}"#,
        )
        .unwrap();
        let once = ["", "", "", "", "", "", "", "", "", "", ""];
        let said: Vec<&str> = once.into_iter().chain(["no"]).chain(once).chain(["yes"]).collect();
        let (given, shown) = talk(&offered, &said);
        let given = given.unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!((given.endpoints, given.network), (offered.endpoints, offered.network));
        assert_eq!(shown.matches("[node-a]").count(), 2, "{shown}");
    }

    #[test]
    fn nobody_is_waited_for_who_is_gone() {
        let (given, _) = talk(&Given::default(), &["node-a"]);
        assert!(matches!(given, Err(Error::GoneAway)), "{given:?}");
        let (given, _) = talk(&Given::default(), &["Node A"; 100]);
        assert!(matches!(given, Err(Error::GoneAway)), "{given:?}");
    }
}
