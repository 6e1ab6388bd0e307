//! To the k3s of the next release. Everything that can say no says so before anything has changed; the point of no return is
//! the first start of the new program, which may change its data so that the one before cannot read them.

use fs_err as fs;
use sealift_archive::{Sequence, durable};
use time::OffsetDateTime;

use super::before::Before;
use super::edition::{Edition, is_there};
use super::machine::Machine;
use super::state::{State, UnderWay};
use super::{Error, Node, Plan, Step, Version, What};

/// The minor version of k3s that etcd 3.6 comes with, and the etcd that may be taken there (etcd-io/etcd, "zombie members").
const ETCD_3_6_SINCE: u32 = 34;
const LEAST_ETCD: [u32; 3] = [3, 5, 26];
/// What is to be left over, in bytes: logs and unpacked programs.
const SPARE_BYTES: u64 = 512 << 20;

impl Node<'_> {
    /// What an upgrade to the k3s of this release would do.
    ///
    /// # Errors
    /// What is in the way.
    pub fn plan_upgrade(&self, release: Sequence) -> Result<Plan, crate::Error> {
        let state = self.state()?;
        let brought = Edition::of(self.store, self.programs, release);
        let to = match brought {
            // A release without k3s changes nothing about it.
            Err(crate::Error::K3s(error)) if error.is_no_k3s() => {
                return Ok(self.nothing(What::Upgrade, &state, None));
            }
            to => to?,
        };
        match state.under_way.clone() {
            Some(under_way) if under_way.what == What::Upgrade && under_way.to.is(&to) => {
                self.go_on_upgrading(&state, under_way)
            }
            Some(other) => Err(Error::UnderWay { what: other.what, version: other.to.version }.into()),
            None => self.begin_upgrade(&state, to),
        }
    }

    pub(super) fn nothing(&self, what: What, state: &State, to: Option<Edition>) -> Plan {
        let (node, from) = (self.name.clone(), state.installed.clone());
        Plan { what, node, to, from, steps: Vec::new(), record: None, is_beyond: false }
    }

    fn begin_upgrade(&self, state: &State, to: Edition) -> Result<Plan, crate::Error> {
        let from = state.installed.clone().ok_or(Error::NotInstalled)?;
        if from.is(&to) {
            return Ok(self.nothing(What::Upgrade, state, Some(to)));
        }
        self.expect_possible(&from, &to)?;
        let record = format!("{}-{}", OffsetDateTime::now_utc().unix_timestamp(), from.version);
        let mut steps = vec![Step::Keep, Step::Snapshot];
        steps.extend(self.last_steps(state, &to)?);
        let (what, node) = (What::Upgrade, self.name.clone());
        Ok(Plan { what, node, to: Some(to), from: Some(from), steps, record: Some(record), is_beyond: false })
    }

    fn go_on_upgrading(&self, state: &State, under_way: UnderWay) -> Result<Plan, crate::Error> {
        let UnderWay { to, from, record, is_beyond, .. } = under_way;
        let mut steps = Vec::new();
        if !is_beyond {
            let before = Before::at(&self.own(), record.as_deref().unwrap_or_default())?;
            if !before.is_kept() {
                steps.push(Step::Keep);
            }
            if !before.is_whole() {
                steps.push(Step::Snapshot);
            }
        }
        steps.extend(self.last_steps(state, &to)?);
        let (what, node) = (What::Upgrade, self.name.clone());
        Ok(Plan { what, node, to: Some(to), from, steps, record, is_beyond })
    }

    /// Versions, the program that is here, etcd, room, and whether the node is well.
    fn expect_possible(&self, from: &Edition, to: &Edition) -> Result<(), crate::Error> {
        expect_one_step(&from.version, &to.version)?;
        let binary = self.places.binary();
        if !is_there(&binary, &from.binary)? {
            return Err(Error::NotOurs { file: binary, version: from.version.clone() }.into());
        }
        self.expect_room(from, to)?;
        let machine = self.machine()?;
        if let Some(why) = machine.lacks(&self.name, &from.version)? {
            return Err(Error::NotWell { node: self.name.clone(), why }.into());
        }
        if from.version.minor() < ETCD_3_6_SINCE && to.version.minor() >= ETCD_3_6_SINCE {
            let refuse = |found: String| {
                let (here, wanted) = (from.version.clone(), to.version.clone());
                Error::Etcd { here, wanted, found }
            };
            match Machine::etcd_version(&self.config.etcd) {
                Ok(version) if is_at_least(&version, LEAST_ETCD) => {}
                Ok(version) => return Err(refuse(format!("it is {version}")).into()),
                Err(why) => {
                    return Err(
                        refuse(format!("`{}` does not say what it is: {why}", self.config.etcd)).into()
                    );
                }
            }
        }
        Ok(())
    }

    /// The program that runs is kept, the new one comes beside it; etcd is saved, and saved again if it is gone back.
    fn expect_room(&self, from: &Edition, to: &Edition) -> Result<(), crate::Error> {
        let database = fs::metadata(self.places.database()).map_or(0, |is| is.len());
        let needed = from.binary.size + to.binary.size + 2 * database + SPARE_BYTES;
        let dir = self.own();
        let free = durable::free_bytes(&dir)?;
        if free < needed { Err(Error::NoRoom { dir, free, needed }.into()) } else { Ok(()) }
    }
}

/// One minor version forward, or a patch.
fn expect_one_step(here: &Version, wanted: &Version) -> Result<(), crate::Error> {
    let (from, to) = (here.clone(), wanted.clone());
    if wanted < here {
        return Err(Error::Earlier { here: from, wanted: to }.into());
    }
    if here.major() != wanted.major() || wanted.minor() > here.minor() + 1 {
        return Err(Error::Skips { here: from, wanted: to }.into());
    }
    Ok(())
}

fn is_at_least(version: &str, least: [u32; 3]) -> bool {
    let numbers: Option<Vec<u32>> = version.split('.').map(|number| number.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.len() == least.len() && numbers.as_slice() >= &least[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_at_a_time() {
        let cases = [
            ("v1.35.3+k3s1", "v1.36.4+k3s1", None),
            ("v1.36.3+k3s1", "v1.36.4+k3s1", None),
            ("v1.36.4+k3s1", "v1.36.4+k3s2", None),
            ("v1.36.4+k3s1", "v1.36.4+k3s1", None),
            ("v1.36.4+k3s1", "v1.36.3+k3s1", Some("earlier")),
            ("v1.36.4+k3s2", "v1.36.4+k3s1", Some("earlier")),
            ("v1.34.9+k3s1", "v1.36.4+k3s1", Some("more than one minor")),
            ("v1.36.4+k3s1", "v2.0.0+k3s1", Some("more than one minor")),
        ];
        for (here, wanted, refused) in cases {
            let said = expect_one_step(&here.parse().unwrap(), &wanted.parse().unwrap());
            match (said, refused) {
                (Ok(()), None) => {}
                (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
                other => panic!("{here} to {wanted}: {other:?}"),
            }
        }
    }

    #[test]
    fn etcd_has_to_be_late_enough() {
        for (version, is_good) in [
            ("3.5.26", true),
            ("3.6.0", true),
            ("3.5.25", false),
            ("3.5", false),
            ("3.5.x", false),
            ("", false),
        ] {
            assert_eq!(is_at_least(version, LEAST_ETCD), is_good, "{version}");
        }
    }
}
