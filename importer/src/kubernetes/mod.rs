//! A small client of the Kubernetes API, blocking: who to ask and who we are (a kubeconfig), one request tried again until a
//! deadline, and errors that say what was asked and what the server said.
//!
//! It knows no kinds of objects. What Flux has is the business of [`crate::flux`], what the nodes of a cluster agree on that
//! of [`crate::cluster`].

mod api;
mod error;
mod kubeconfig;

pub(crate) use api::{Api, Ask, Deadline, shown};
pub use error::Error;
