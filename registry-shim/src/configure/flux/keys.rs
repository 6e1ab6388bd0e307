//! Public keys for Flux, and which sources it verifies by them.
//!
//! A key that is given for all is for all that carry a signature of its kind: the rest is left unverified, and told. A key that
//! is given for one source by name is for that one alone, which then has to be there and to be signed: whoever names it wants it
//! verified, and Flux would wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use super::active::Form;
use super::object_name;
use crate::Error;

/// A file with a public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// The one source that it is for, as Flux calls it.
    source: Option<String>,
    file: PathBuf,
}

impl FromStr for Key {
    type Err = std::convert::Infallible;

    /// `vendor.pub`, or `charts/web=other.pub`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, file) = match text.split_once('=') {
            // The name of a folder may have this sign in it, too.
            Some((source, file)) if !source.is_empty() && !source.starts_with(['/', '.']) => {
                (Some(object_name(source)), file)
            }
            _ => (None, text),
        };
        Ok(Self { source, file: file.into() })
    }
}

/// Files' texts by their names, as they stand in a Secret.
type Texts = BTreeMap<String, String>;

/// Keys of one kind.
#[derive(Debug)]
pub(super) struct Keys {
    option: &'static str,
    /// The Secret of the keys for all.
    secret: &'static str,
    for_all: Texts,
    /// By the source's name.
    for_one: BTreeMap<String, Texts>,
    /// The sources that the release has.
    asked: BTreeSet<String>,
}

/// How a source is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed {
    /// How the names end of keys that fit.
    ending: &'static str,
}

impl Signed {
    /// By cosign.
    pub(super) const COSIGN: Self = Self { ending: "pub" };
}

impl From<Form> for Signed {
    fn from(form: Form) -> Self {
        Self { ending: if form == Form::Pgp { "asc" } else { "sshpub" } }
    }
}

impl Keys {
    /// Reads the files of an option; their names end in one of `endings`, by which Flux knows what they are.
    pub(super) fn read(
        option: &'static str,
        secret: &'static str,
        endings: &[&str],
        keys: &[Key],
    ) -> Result<Self, Error> {
        let mut read =
            Self { option, secret, for_all: Texts::new(), for_one: BTreeMap::new(), asked: BTreeSet::new() };
        for Key { source, file } in keys {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            if !is_allowed || !endings.contains(&ending(name)) {
                let names = endings.join(" or NAME.");
                let why = format!("`{}` has to be called NAME.{names}", file.display());
                return Err(Error::Configure { why });
            }
            let texts = match source {
                Some(source) => read.for_one.entry(source.clone()).or_default(),
                None => &mut read.for_all,
            };
            if texts.insert(name.to_owned(), fs_err::read_to_string(file)?).is_some() {
                return Err(Error::Configure { why: format!("two keys are called `{name}`") });
            }
        }
        Ok(read)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.for_all.is_empty() && self.for_one.is_empty()
    }

    /// By which Secret a source is verified; or why it is not, in words.
    pub(super) fn secret_for(
        &mut self,
        source: &str,
        signed: Result<Signed, String>,
    ) -> Result<Result<String, String>, Error> {
        self.asked.insert(source.to_owned());
        let for_one = self.for_one.get(source);
        let mut names = for_one.unwrap_or(&self.for_all).keys();
        let fits = match signed {
            Ok(Signed { ending: wanted }) if names.any(|name| ending(name) == wanted) => Ok(()),
            Ok(Signed { ending }) => Err(format!("it is signed by a key that belongs into NAME.{ending}")),
            Err(why) => Err(why),
        };
        match (fits, for_one) {
            (Ok(()), Some(_)) => Ok(Ok(self.secret_of(source))),
            (Ok(()), None) => Ok(Ok(self.secret.to_owned())),
            (Err(why), None) => Ok(Err(why)),
            (Err(why), Some(_)) => {
                let why = format!("`{} {source}=…` would make Flux wait for ever: {why}", self.option);
                Err(Error::Configure { why })
            }
        }
    }

    /// Every source that somebody named has to be there.
    pub(super) fn expect_all_there(&self) -> Result<(), Error> {
        let Some(name) = self.for_one.keys().find(|name| !self.asked.contains(*name)) else { return Ok(()) };
        let known: Vec<&str> = self.asked.iter().map(String::as_str).collect();
        let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        let option = self.option;
        let why =
            format!("`{option} {name}=…` is for what the active release does not have; there is {known}");
        Err(Error::Configure { why })
    }

    /// All Secrets, by name.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (String, &Texts)> {
        let for_all = Some(&self.for_all).filter(|texts| !texts.is_empty());
        let for_one = self.for_one.iter().map(|(source, texts)| (self.secret_of(source), texts));
        for_all.map(|texts| (self.secret.to_owned(), texts)).into_iter().chain(for_one)
    }

    fn secret_of(&self, source: &str) -> String {
        format!("{}-{source}", self.secret)
    }
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_all_or_for_a_source_by_name() {
        let cases = [
            ("vendor.pub", None, "vendor.pub"),
            ("charts/web=other.pub", Some("charts-web"), "other.pub"),
            ("fleet=/srv/a=b/alice.asc", Some("fleet"), "/srv/a=b/alice.asc"),
            ("/srv/a=b/alice.asc", None, "/srv/a=b/alice.asc"),
            ("./a=b.asc", None, "./a=b.asc"),
        ];
        for (text, source, file) in cases {
            let expected = Key { source: source.map(str::to_owned), file: file.into() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }
}
