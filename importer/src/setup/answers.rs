//! The answers as one value, which an appliance can be set up with; and how several sources come to one.
//!
//! For each answer, the first source that has one counts: the console, user-data, meta-data, guestinfo, a disc, what was answered before.
//! On an appliance that has been set up before, a source counts only with what it has not said before; and not at all if it
//! says no role, or `setup`: a form that nobody has filled in changes nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;
use super::given::{Given, NetworkGiven, Online, RoleName, Time};
use super::kept::Kept;
use super::sources::{Heard, Origin};
use super::value::{Host, Network, PublicKey, Token};
use crate::cluster::NodeName;

/// What an appliance is set up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The name of this node.
    pub hostname: NodeName,
    /// How it is reached; without it, as cloud-init has left it.
    pub network: Option<NetworkGiven>,
    /// What it is among its nodes.
    pub role: Role,
    /// Names and addresses of the whole appliance; the first one is the cluster's.
    pub endpoints: Vec<Host>,
    /// The other nodes, as far as they are known.
    pub nodes: Vec<Network>,
    /// Whom to ask for the time.
    pub time: Vec<Host>,
    /// Where releases come from; none for an appliance that is offline.
    pub online: Option<Online>,
    /// Who may log in.
    pub public_keys: Vec<PublicKey>,
}

/// What a node is among its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Alone; it may grow.
    Single,
    /// The first of three.
    First,
    /// One that comes to a node that runs.
    Join {
        /// That node.
        server: Host,
        /// What it gave; none if it has been used.
        token: Option<Token>,
    },
}

impl Role {
    /// As it is written.
    #[must_use]
    pub fn name(&self) -> RoleName {
        match self {
            Self::Single => RoleName::Single,
            Self::First => RoleName::First,
            Self::Join { .. } => RoleName::Join,
        }
    }
}

/// What is known of this machine where nobody has said it.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is called if nobody says so.
    pub hostname: NodeName,
    /// The token that is kept.
    pub token: Option<Token>,
    /// Whether it has joined its cluster, so that it needs no token.
    pub has_joined: bool,
}

impl Answers {
    /// Checks answers together.
    ///
    /// # Errors
    /// [`Error::Incomplete`], [`Error::Contradiction`].
    pub fn new(given: Given, known: &Known) -> Result<Self, Error> {
        let Given { hostname, network, role, server, token, endpoints, nodes, time, online, public_keys } =
            given;
        if let Some(role @ (RoleName::Single | RoleName::First)) = role
            && (server.is_some() || token.is_some())
        {
            let key = if server.is_some() { "server" } else { "token" };
            return Err(Error::Contradiction {
                key,
                why: format!("it is for role join, and the role is {}", role.as_str()),
            });
        }
        let role = match (role, server) {
            (None | Some(RoleName::Setup), _) => {
                return Err(Error::Incomplete { key: "role", why: "nobody has said it" });
            }
            (Some(RoleName::Join), None) => {
                return Err(Error::Incomplete {
                    key: "server",
                    why: "a node that joins needs one that runs",
                });
            }
            (Some(RoleName::Join), Some(server)) => {
                let token = token.or_else(|| known.token.clone());
                if token.is_none() && !known.has_joined {
                    return Err(Error::Incomplete {
                        key: "token",
                        why: "a node that joins needs what the other one shows",
                    });
                }
                Role::Join { server, token }
            }
            (Some(RoleName::Single), _) => Role::Single,
            (Some(RoleName::First), _) => Role::First,
        };
        Ok(Self {
            hostname: hostname.unwrap_or_else(|| known.hostname.clone()),
            network,
            role,
            endpoints: endpoints.unwrap_or_default(),
            nodes: nodes.unwrap_or_default(),
            time: time.map(|time| time.servers).unwrap_or_default(),
            online,
            public_keys: public_keys.unwrap_or_default(),
        })
    }

    /// Whether there is a token to join with.
    #[must_use]
    pub fn has_token(&self) -> bool {
        matches!(&self.role, Role::Join { token: Some(_), .. })
    }

    /// As they are kept: all that is not the token.
    #[must_use]
    pub fn to_given(&self) -> Given {
        let list = |list: &Vec<Host>| (!list.is_empty()).then(|| list.clone());
        Given {
            hostname: Some(self.hostname.clone()),
            network: self.network.clone(),
            role: Some(self.role.name()),
            server: if let Role::Join { server, .. } = &self.role { Some(server.clone()) } else { None },
            token: None,
            endpoints: list(&self.endpoints),
            nodes: (!self.nodes.is_empty()).then(|| self.nodes.clone()),
            time: list(&self.time).map(|servers| Time { servers }),
            online: self.online.clone(),
            public_keys: (!self.public_keys.is_empty()).then(|| self.public_keys.clone()),
        }
    }
}

/// What all sources together say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The answers; there may be no role among them yet.
    pub given: Given,
    /// Who gave any of them.
    pub origins: Vec<Origin>,
    /// On what sources disagree, and who counts.
    pub overruled: Vec<Overruled>,
    /// What each source says now, without the token.
    pub heard: BTreeMap<Origin, Given>,
    /// Sources that cannot be understood, on an appliance that can do without.
    pub unheard: Vec<String>,
}

/// An answer that does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overruled {
    /// To what.
    pub key: &'static str,
    /// Whose does not.
    pub origin: Origin,
    /// Whose does.
    pub by: Origin,
}

/// Comes to one set of answers.
///
/// # Errors
/// [`Error::Unreadable`] if a source cannot be understood, and the appliance has not been set up before.
pub fn decide(heard: &[Heard], kept: Option<&Kept>) -> Result<Decision, Error> {
    let mut decision = Decision::default();
    let mut parts: Vec<(Origin, Given)> = Vec::new();
    for Heard { origin, place, given } in heard {
        match given {
            Ok(given) if given.keys().is_empty() => {}
            Ok(given) => parts.push((*origin, given.clone())),
            Err(why) if kept.is_some() => decision.unheard.push(format!("{origin} (`{place}`): {why}")),
            Err(why) => {
                let (origin, place, why) = (*origin, place.clone(), why.clone());
                return Err(Error::Unreadable { origin, place, why });
            }
        }
    }
    if let Some(kept) = kept {
        decision.heard.clone_from(&kept.heard);
        parts = meant(parts);
    }
    for (origin, given) in &mut parts {
        let before = decision.heard.insert(*origin, Given { token: None, ..given.clone() });
        if kept.is_some() {
            *given = given.news_since(&before.unwrap_or_default());
        }
    }
    parts.extend(kept.map(|kept| (Origin::Earlier, kept.answers.clone())));
    parts.sort_by_key(|(origin, _)| *origin);
    join(&mut decision, parts);
    Ok(decision)
}

/// Those that say what an appliance is to be. User-data and meta-data are one seed.
fn meant(parts: Vec<(Origin, Given)>) -> Vec<(Origin, Given)> {
    let seed = |origin: Origin| if origin == Origin::MetaData { Origin::UserData } else { origin };
    let says = |(origin, given): &(Origin, Given)| {
        (!matches!(given.role, None | Some(RoleName::Setup))).then(|| seed(*origin))
    };
    let who: Vec<Origin> = parts.iter().filter_map(says).collect();
    parts.into_iter().filter(|(origin, _)| who.contains(&seed(*origin))).collect()
}

/// Puts together what the sources say, the first of which counts most.
fn join(decision: &mut Decision, parts: Vec<(Origin, Given)>) {
    let mut by: BTreeMap<&'static str, Origin> = BTreeMap::new();
    for (origin, mut given) in parts {
        // Whoever wants to be asked has not answered.
        if given.role == Some(RoleName::Setup) {
            given.role = None;
        }
        // Whoever does not join has no use for these, and the role may be another source's.
        let disagree = decision.given.fill(&given);
        for key in disagree {
            // Answers that were changed since are told elsewhere.
            if origin != Origin::Earlier
                && let Some(&by) = by.get(key)
            {
                decision.overruled.push(Overruled { key, origin, by });
            }
        }
        let keys = given.keys();
        if keys.iter().any(|key| !by.contains_key(key)) {
            decision.origins.push(origin);
        }
        for key in keys {
            by.entry(key).or_insert(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sources::seed;
    use super::*;

    fn given(text: &str) -> Given {
        seed::user_data(format!("sealift: {text}").as_bytes()).unwrap()
    }

    fn heard(origin: Origin, text: &str) -> Heard {
        Heard { origin, place: "a place".to_owned(), given: Ok(given(text)) }
    }

    fn known() -> Known {
        Known { hostname: "sealift-1".parse().unwrap(), token: None, has_joined: false }
    }

    #[test]
    fn the_first_source_counts_and_who_disagrees_is_told() {
        let sources = [
            heard(Origin::Guestinfo, "{hostname: b, role: setup, endpoints: [e]}"),
            heard(Origin::UserData, "{hostname: a}"),
            heard(Origin::MetaData, "{role: single, hostname: a}"),
        ];
        let decision = decide(&sources, None).unwrap();
        assert_eq!(decision.given, given("{hostname: a, role: single, endpoints: [e]}"));
        let told: Vec<_> = decision.overruled.iter().map(|o| (o.key, o.origin, o.by)).collect();
        assert_eq!(told, [("hostname", Origin::Guestinfo, Origin::UserData)]);
        assert_eq!(decision.origins, [Origin::UserData, Origin::MetaData, Origin::Guestinfo]);
    }

    #[test]
    fn a_source_that_repeats_itself_says_nothing_new() {
        let first = [heard(Origin::UserData, "{hostname: a, role: single, time: {servers: [10.0.0.3]}}")];
        let decision = decide(&first, None).unwrap();
        let answers = Answers::new(decision.given, &known()).unwrap();
        // Somebody changed it at the console afterwards.
        let changed = Answers { time: vec!["10.0.0.4".parse().unwrap()], ..answers };
        let kept = Kept::new(&changed.to_given(), &decision.heard);
        let again = decide(&first, Some(&kept)).unwrap();
        assert_eq!((again.given, again.overruled), (changed.to_given(), vec![]));
        let news = [heard(Origin::UserData, "{hostname: a, role: single, time: {servers: [10.0.0.5]}}")];
        let again = decide(&news, Some(&kept)).unwrap();
        assert_eq!(again.given.time.unwrap().servers[0].to_string(), "10.0.0.5");
        // Whoever takes the seed away changes nothing.
        assert_eq!(decide(&[], Some(&kept)).unwrap().given, changed.to_given());
    }

    #[test]
    fn both_halves_of_a_seed_are_one_and_are_remembered() {
        let seed = |time: &str| {
            let time = format!("{{time: {{servers: [{time}]}}}}");
            [heard(Origin::UserData, &time), heard(Origin::MetaData, "{role: single, hostname: a}")]
        };
        let decision = decide(&seed("10.0.0.3"), None).unwrap();
        let kept = Kept::new(&decision.given, &decision.heard);
        let changed = decide(&seed("10.0.0.4"), Some(&kept)).unwrap();
        assert_eq!(changed.given.time.clone().unwrap().servers[0].to_string(), "10.0.0.4");
        // A boot without the seed does not make it new again.
        let kept = Kept::new(&changed.given, &changed.heard);
        let without = decide(&[heard(Origin::UserData, "{role: setup}")], Some(&kept)).unwrap();
        assert_eq!((&without.heard, &without.given), (&changed.heard, &changed.given));
    }

    #[test]
    fn a_form_that_nobody_filled_in_changes_nothing() {
        let kept = Kept::new(
            &given("{hostname: a, role: first, network: {mode: static, address: 10.0.0.1/24}}"),
            &BTreeMap::new(),
        );
        for form in ["{role: setup, hostname: b}", "{network: {mode: dhcp}}"] {
            let decision = decide(&[heard(Origin::Guestinfo, form)], Some(&kept)).unwrap();
            assert_eq!(decision.given, kept.answers, "{form}");
        }
    }

    #[test]
    fn a_source_that_cannot_be_understood_stops_the_first_boot_alone() {
        let broken = Heard {
            origin: Origin::Disc,
            place: "/dev/sr0".to_owned(),
            given: Err("it is broken".to_owned()),
        };
        let said = decide(std::slice::from_ref(&broken), None).unwrap_err().to_string();
        assert!(said.contains("/dev/sr0") && said.contains("it is broken"), "{said}");
        let kept = Kept::new(&given("{hostname: a, role: single}"), &BTreeMap::new());
        let decision = decide(&[broken], Some(&kept)).unwrap();
        assert_eq!((decision.given, decision.unheard.len()), (kept.answers, 1));
    }

    #[test]
    fn answers_have_to_fit_together() {
        let all = |text: &str| Answers::new(given(text), &known());
        assert_eq!(all("{role: single}").unwrap().hostname.as_str(), "sealift-1");
        for (text, wanted) in [
            ("{}", "role"),
            ("{role: setup}", "role"),
            ("{role: join}", "server"),
            ("{role: join, server: a}", "token"),
            ("{role: single, server: a}", "server"),
            ("{role: first, token: a}", "token"),
        ] {
            let said = all(text).unwrap_err().to_string();
            assert!(said.contains(&format!("`{wanted}`")), "{text}: {said}");
        }
        let joined = Known { has_joined: true, ..known() };
        assert!(Answers::new(given("{role: join, server: a}"), &joined).is_ok());
        let join = all("{role: join, server: a, token: K10}").unwrap();
        assert!(matches!(&join.role, Role::Join { token: Some(token), .. } if token.reveal() == "K10"));
        // What is kept is the same, without the token.
        assert_eq!(Answers::new(join.to_given(), &joined).unwrap().to_given(), join.to_given());
        assert!(!format!("{join:?}").contains("K10"));
    }
}
