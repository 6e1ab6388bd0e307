//! Three nodes, or as many as there are: each has a store and a registry of its own, and all agree in Kubernetes on which
//! release is active.
//!
//! What is written down there, in the namespace of the configuration:
//!
//! | object | written by | what it says |
//! | --- | --- | --- |
//! | Lease `sealift` | whoever takes it | who coordinates, and in which term |
//! | `ConfigMap` `sealift-release` | a person's command, then the coordinator | the [`Agreement`]: release, phase, run |
//! | `ConfigMap` `sealift-node-<name>` | that node alone | its [`Report`]: what is here, what is active, where its peers find it |
//!
//! Every write replaces the edition that was seen, or nothing. A person names a release; all live nodes fetch it from each
//! other; then one coordinator holds Flux still, the nodes switch, Flux goes on, and when all is well the release is active.
//! What fails goes back by a run of its own; behind a point of no return of any node it stops, and a person decides. A node that was away sees that something else is agreed on than what it runs,
//! and catches up; until then its registry answers Git with 503 (`sealift_store::Agreed`).
//!
//! Nothing of this says what may be believed: every node verifies what it fetches against the trust root that is pinned in its
//! own store, by the policy of its own store. If Kubernetes does not answer, nothing changes here, and what runs goes on.
//!
//! [`decide`] is all the cleverness there is, and does nothing; [`Member`] goes its steps.

mod agreement;
mod board;
mod decide;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod hands;
mod home;
mod member;
#[cfg(test)]
mod model;
mod point;
mod record;
mod view;
mod work;

pub use agreement::{Agreement, Phase};
pub use board::Kubernetes;
pub use decide::{Act, decide};
pub use error::Error;
pub use hands::{Engines, Hands};
pub use home::NodeHome;
pub use member::{Board, Failure, Home, Member};
pub use record::{Lease, NodeName, Report, Trouble};
pub use view::{Hold, LeftFlux, Observer, Snapshot, Times, Versioned, View};
pub use work::{Peer, Work};
