//! By whom something is done, as far as a process can tell of itself.

use std::fmt;
use std::io::Read as _;

use fs_err as fs;
use serde::{Deserialize, Serialize};

/// Names and numbers of users, a line each (passwd(5)).
const USERS_FILE: &str = "/etc/passwd";
/// Who logged in, whatever they have become since (`proc_pid_loginuid(5)`).
const LOGIN_FILE: &str = "/proc/self/loginuid";
/// Which unit of systemd a process belongs to: the last part of its path (cgroups(7)).
const UNIT_FILE: &str = "/proc/self/cgroup";
/// Where sudo says who called it; it counts only where the kernel does not know better.
const SUDO_VARIABLE: &str = "SUDO_USER";
/// What the kernel says if nobody has logged in, such as in a unit.
const NOBODY: u32 = u32::MAX;
/// How names of our own units begin and end.
const UNIT_PREFIX: &str = "sealift";
const UNIT_SUFFIX: &str = ".service";
/// Longest of these files that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Longest name that is recorded, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// By whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The process's real user.
    pub uid: u32,
    /// The name of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who logged in, if that is somebody else: behind `sudo`, the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The unit, if it was one of ours and no person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Actor {
    /// This process. What cannot be told is left out; that stops nobody from working.
    #[must_use]
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let text = |file: &str| read(file).unwrap_or_default();
        let sudo = std::env::var(SUDO_VARIABLE).ok();
        Self::of(uid, &text(USERS_FILE), &text(LOGIN_FILE), &text(UNIT_FILE), sudo)
    }

    fn of(uid: u32, users: &str, login: &str, cgroup: &str, sudo: Option<String>) -> Self {
        let user = name_of(uid, users);
        let login = match login.trim().parse() {
            Ok(NOBODY) | Err(_) => sudo.filter(|name| is_plain(name)),
            Ok(login) => Some(name_of(login, users).unwrap_or_else(|| login.to_string())),
        };
        let unit = cgroup.lines().filter_map(|line| line.rsplit('/').next()).find(|name| is_ours(name));
        Self {
            uid,
            login: login.filter(|login| Some(login) != user.as_ref()),
            user,
            unit: unit.map(Into::into),
        }
    }
}

impl fmt::Display for Actor {
    /// `anna, as root`, `root`, `sealift-mirror.service`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(unit) = &self.unit {
            return f.write_str(unit);
        }
        if let Some(login) = &self.login {
            write!(f, "{login}, as ")?;
        }
        match &self.user {
            Some(user) => f.write_str(user),
            None => write!(f, "user {}", self.uid),
        }
    }
}

fn read(file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn name_of(uid: u32, users: &str) -> Option<String> {
    let uid = uid.to_string();
    let mut named = users.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number == uid && is_plain(name)).then(|| name.to_owned())
    });
    named.next()
}

fn is_ours(unit: &str) -> bool {
    unit.starts_with(UNIT_PREFIX) && unit.ends_with(UNIT_SUFFIX) && is_plain(unit)
}

/// Whether a name can be put into a line of text: what the environment says may be anything.
fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@\\$".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nanna:x:1000:1000::/home/anna:/bin/sh\n";
    const SESSION: &str = "0::/user.slice/user-1000.slice/session-3.scope\n";

    #[test]
    fn a_person_a_unit_or_a_number() {
        let cases: [(u32, &str, &str, Option<&str>, &str); 9] = [
            (0, "0", SESSION, None, "root"),
            (1000, "1000", SESSION, None, "anna"),
            (0, "1000", SESSION, None, "anna, as root"),
            (0, "1000", SESSION, Some("bob"), "anna, as root"),
            (0, "4294967295", SESSION, Some("bob"), "bob, as root"),
            (0, "4294967295", SESSION, Some("bob\nby: eve"), "root"),
            (0, "", "", Some("root"), "root"),
            (77, "88", SESSION, None, "88, as user 77"),
            (0, "4294967295", "0::/system.slice/sealift-mirror.service\n", None, "sealift-mirror.service"),
        ];
        for (uid, login, cgroup, sudo, told) in cases {
            let actor = Actor::of(uid, USERS, login, cgroup, sudo.map(Into::into));
            assert_eq!(actor.to_string(), told, "{actor:?}");
        }
        assert_eq!(Actor::of(0, USERS, "", "0::/system.slice/cron.service", None).unit, None);
        assert_eq!(Actor::current().uid, rustix::process::getuid().as_raw());
    }
}
