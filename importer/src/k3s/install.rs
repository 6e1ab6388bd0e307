//! The first installation, and one that mends: a lost program, a new system disk on an old data disk, changed settings.

use sealift_archive::Sequence;
use sealift_store::State as ReleaseState;

use super::edition::Edition;
use super::{Error, Node, Plan, Step, What};
use crate::config::Role;

impl Node<'_> {
    /// What an installation would do: of this release, or of the active one, or else of the newest that is staged.
    ///
    /// # Errors
    /// What is in the way.
    pub fn plan_install(&self, release: Option<Sequence>) -> Result<Plan, crate::Error> {
        let release = match release {
            Some(release) => release,
            None => self.usual_release()?,
        };
        let to = Edition::of(self.store, self.programs, release)?;
        let state = self.state()?;
        match &state.under_way {
            Some(other) if other.what != What::Install => {
                return Err(Error::UnderWay { what: other.what, version: other.to.version.clone() }.into());
            }
            _ => {}
        }
        // One that has never run may be replaced by any other.
        if let Some(installed) =
            state.installed.as_ref().filter(|here| !here.is(&to) && state.started.is_some())
        {
            let (here, wanted) = (installed.version.clone(), to.version.clone());
            return Err(Error::Step {
                what: "installing k3s".to_owned(),
                why: format!("{here} runs here, and the release brings {wanted}: another k3s comes with `sealiftctl activate`"),
            }
            .into());
        }
        let mut steps = Vec::new();
        if !self.places.token().exists() {
            match &self.config.role {
                Role::Single | Role::First => steps.push(Step::Token),
                Role::Join(_) => {
                    let (file, why) = (self.places.token().to_owned(), "is not there".to_owned());
                    return Err(Error::Token { file, why }.into());
                }
            }
        }
        steps.extend(self.last_steps(&state, &to)?);
        Ok(Plan {
            what: What::Install,
            node: self.name.clone(),
            to: Some(to),
            from: state.installed,
            steps,
            record: None,
            is_beyond: false,
        })
    }

    fn usual_release(&self) -> Result<Sequence, crate::Error> {
        if let Some(active) = self.store.active()? {
            return Ok(active);
        }
        let releases = self.store.releases()?;
        let staged = releases.iter().filter(|release| matches!(release.state(), ReleaseState::Staged));
        Ok(staged.map(sealift_store::StoredRelease::sequence).max().ok_or(Error::NoRelease)?)
    }
}
