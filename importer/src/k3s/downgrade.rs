//! Back to the k3s before an upgrade: only by what the upgrade wrote down. If the new program was never started, the program before
//! just takes its place again. If it was, its data are no use to the one before: the snapshot is restored on the first server,
//! what came later is lost, and the others give up theirs and join again.

use sealift_archive::Sequence;

use super::before::Before;
use super::edition::Edition;
use super::state::{State, UnderWay};
use super::{Error, Node, Plan, Step, What};
use crate::config::Role;

impl Node<'_> {
    /// What going back to the k3s of this release would do; of none: to before the first activation.
    ///
    /// # Errors
    /// What is in the way.
    pub fn plan_downgrade(&self, release: Option<Sequence>) -> Result<Plan, crate::Error> {
        let state = self.state()?;
        let to = match release.map(|release| Edition::of(self.store, self.programs, release)) {
            None => None,
            Some(Err(crate::Error::K3s(error))) if error.is_no_k3s() => None,
            Some(to) => Some(to?),
        };
        match state.under_way.clone() {
            Some(under_way) if under_way.what == What::Downgrade => {
                if to.as_ref().is_some_and(|to| !to.is(&under_way.to)) {
                    return Err(
                        Error::UnderWay { what: under_way.what, version: under_way.to.version }.into()
                    );
                }
                self.go_back(&state, under_way)
            }
            Some(UnderWay { what: What::Upgrade, to: left, from: Some(from), record, is_beyond })
                if to.as_ref().is_none_or(|to| to.is(&from)) =>
            {
                self.give_up(&state, left, from, record, is_beyond)
            }
            Some(other) => Err(Error::UnderWay { what: other.what, version: other.to.version }.into()),
            None => self.begin_downgrade(&state, to),
        }
    }

    fn begin_downgrade(&self, state: &State, to: Option<Edition>) -> Result<Plan, crate::Error> {
        let (Some(to), Some(here)) = (to, state.installed.clone()) else {
            return Ok(self.nothing(What::Downgrade, state, None));
        };
        if here.is(&to) {
            return Ok(self.nothing(What::Downgrade, state, Some(to)));
        }
        let all = Before::all(&self.own())?;
        let leads_there =
            |before: &&Before| before.is_whole() && before.from().is_some_and(|from| from.is(&to));
        let before = all
            .iter()
            .rev()
            .find(leads_there)
            .ok_or_else(|| Error::NoWayBack { wanted: to.version.clone() })?;
        let record = Some(before.name());
        self.go_back(
            state,
            UnderWay { what: What::Downgrade, to, from: Some(here), record, is_beyond: false },
        )
    }

    /// An upgrade that has not come to its end.
    fn give_up(
        &self,
        state: &State,
        left: Edition,
        from: Edition,
        record: Option<String>,
        is_beyond: bool,
    ) -> Result<Plan, crate::Error> {
        if is_beyond {
            let (to, from) = (from, Some(left));
            return self
                .go_back(state, UnderWay { what: What::Downgrade, to, from, record, is_beyond: false });
        }
        let before = Before::at(&self.own(), record.as_deref().unwrap_or_default())?;
        // Without what is kept, nothing has changed yet.
        let steps = if before.is_kept() { self.last_steps(state, &from)? } else { Vec::new() };
        let (what, node) = (What::Downgrade, self.name.clone());
        Ok(Plan { what, node, to: Some(from), from: Some(left), steps, record, is_beyond: false })
    }

    fn go_back(&self, state: &State, under_way: UnderWay) -> Result<Plan, crate::Error> {
        let UnderWay { to, from, record, is_beyond, .. } = under_way;
        // Another build of the same version reads the same data.
        let is_other = from.as_ref().is_none_or(|from| from.version != to.version);
        let mut steps = self.last_steps(state, &to)?;
        if is_other && !is_beyond {
            let data = match self.config.role {
                Role::Single | Role::First => Step::Restore,
                Role::Join(_) => Step::Rejoin,
            };
            steps.retain(|step| !matches!(step, Step::Start | Step::Ready));
            steps.insert(0, Step::Stop);
            steps.extend([data, Step::Start, Step::Ready]);
        }
        let (what, node) = (What::Downgrade, self.name.clone());
        Ok(Plan { what, node, to: Some(to), from, steps, record, is_beyond })
    }
}
