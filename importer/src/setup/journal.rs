//! How far setup has come, in `/etc/sealift/setup/journal.json`; and by what this node is known for good.
//!
//! A step is done if what it consists of was done before, all of it, on this system disk: the journal keeps a digest of that.
//! Other answers, another release or a new system disk make another digest, and the step is done again.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;

use sealift_archive::{Digest, bounded, durable, json};
use serde::{Deserialize, Serialize};

use super::Error;
use super::given::RoleName;
use super::places::Places;
use super::plan::StepName;
use crate::cluster::NodeName;

const FILE: &str = "journal.json";
const API_VERSION: &str = "sealift/v1";
const KIND: &str = "SetupJournal";
const MAX_BYTES: usize = 64 << 10;

/// How far setup has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    api_version: String,
    kind: String,
    /// What was done last of each step.
    #[serde(default)]
    steps: BTreeMap<StepName, Digest>,
    /// What Kubernetes knows this node by, once it has begun to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
}

/// What a node is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its address.
    pub address: IpAddr,
    /// What it is among its nodes.
    pub role: RoleName,
}

impl Default for Journal {
    fn default() -> Self {
        let (api_version, kind) = (API_VERSION.to_owned(), KIND.to_owned());
        Self { api_version, kind, steps: BTreeMap::new(), node: None }
    }
}

impl Journal {
    /// Reads it; one that is not there says that nothing was done.
    ///
    /// # Errors
    /// [`Error::Damaged`], or I/O.
    pub fn read(places: &Places) -> Result<Self, Error> {
        let path = places.own(FILE);
        let bytes = match bounded::read(&path, MAX_BYTES as u64) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        let damaged = |why: String| Error::Damaged { file: path.clone(), why };
        let journal: Self = json::parse(&path.display().to_string(), &bytes, MAX_BYTES)
            .map_err(|error| damaged(error.to_string()))?;
        if (journal.api_version.as_str(), journal.kind.as_str()) != (API_VERSION, KIND) {
            return Err(damaged(format!("it is no `{KIND}` of `{API_VERSION}`")));
        }
        Ok(journal)
    }

    /// Whether exactly this was done last.
    pub(super) fn has(&self, step: StepName, digest: Digest) -> bool {
        self.steps.get(&step) == Some(&digest)
    }

    /// Whether a step was ever done to its end.
    #[must_use]
    pub fn has_ever(&self, step: StepName) -> bool {
        self.steps.contains_key(&step)
    }

    /// Writes down that this is done.
    pub(super) fn conclude(&mut self, places: &Places, step: StepName, digest: Digest) -> Result<(), Error> {
        self.steps.insert(step, digest);
        self.write(places)
    }

    /// Writes down what this node is known by from now on.
    pub(super) fn know(&mut self, places: &Places, node: Node) -> Result<(), Error> {
        if self.node.as_ref() == Some(&node) {
            return Ok(());
        }
        self.node = Some(node);
        self.write(places)
    }

    fn write(&self, places: &Places) -> Result<(), Error> {
        let path = places.own(FILE);
        durable::create_dir_all(durable::parent_of(&path))?;
        Ok(durable::write(&path, &json::to_document(self))?)
    }
}
