//! From the name that a client asks for to a registry host and a repository.
//!
//! A client reaches us in one of three ways:
//! - containerd sends the original host as `?ns=<host>` (its `docs/hosts.md`; distribution specification, "Registry
//!   Proxying"), and the path is the repository;
//! - others put the host into the path: `/v2/ghcr.io/acme/api/…`. It counts as a host only if it looks like one
//!   (Docker's rule: a dot, a colon, or `localhost`) and some release has content from there;
//! - what remains is our own content, under [`INTERNAL_HOST`].
//!
//! This only decides which row of a closed table is meant. Nothing is dialled, so a host is never more than a word.

use std::borrow::Cow;

use sealift_archive::reference::{INTERNAL_HOST, looks_like_host};

/// The name under which Docker Hub's content is kept.
const DOCKER_HUB: &str = "docker.io";
/// Its other names: the one in Docker's configuration files, and the one that is really dialled.
const DOCKER_HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Where Docker Hub keeps repositories that are written without a slash.
const DOCKER_HUB_LIBRARY: &str = "library";

/// The hosts that content came from.
pub(crate) trait HostTable {
    /// Whether any content came from `host`, by its canonical name.
    fn has_host(&self, host: &str) -> bool;
}

/// A registry host and a repository there, each with one spelling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address<'a> {
    host: &'a str,
    repository: Cow<'a, str>,
}

impl<'a> Address<'a> {
    /// This repository of this host.
    pub(crate) fn new(host: &'a str, repository: &'a str) -> Self {
        let host = canonical_host(host);
        let repository = if host == DOCKER_HUB && !repository.contains('/') {
            Cow::Owned(format!("{DOCKER_HUB_LIBRARY}/{repository}"))
        } else {
            Cow::Borrowed(repository)
        };
        Self { host, repository }
    }

    /// What a client means that asks for `name`, perhaps on behalf of the host `namespace`.
    pub(crate) fn resolve(name: &'a str, namespace: Option<&'a str>, table: &impl HostTable) -> Self {
        if let Some(host) = namespace {
            return Self::new(host, name);
        }
        // Our own name is always known, even while no release has content under it.
        let is_known = |host: &str| host == INTERNAL_HOST || table.has_host(canonical_host(host));
        match name.split_once('/') {
            Some((first, rest)) if looks_like_host(first) && is_known(first) => Self::new(first, rest),
            _ => Self::new(INTERNAL_HOST, name),
        }
    }

    /// The registry host.
    pub(crate) fn host(&self) -> &str {
        self.host
    }

    /// The repository there.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }
}

/// The one name of a host that has several.
pub(crate) fn canonical_host(host: &str) -> &str {
    if DOCKER_HUB_ALIASES.contains(&host) { DOCKER_HUB } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hosts(&'static [&'static str]);

    impl HostTable for Hosts {
        fn has_host(&self, host: &str) -> bool {
            self.0.contains(&host)
        }
    }

    #[test]
    fn a_name_leads_to_one_row() {
        let table = Hosts(&["docker.io", "ghcr.io", "localhost", "127.0.0.1:5000"]);
        let cases = [
            // The namespace decides, whatever the name looks like.
            ("acme/api", Some("ghcr.io"), "ghcr.io", "acme/api"),
            ("ghcr.io/acme/api", Some("quay.io"), "quay.io", "ghcr.io/acme/api"),
            ("acme/api", Some("127.0.0.1:5000"), "127.0.0.1:5000", "acme/api"),
            // Docker Hub has three names and a default folder.
            ("nginx", Some("docker.io"), "docker.io", "library/nginx"),
            ("nginx", Some("index.docker.io"), "docker.io", "library/nginx"),
            ("library/nginx", Some("registry-1.docker.io"), "docker.io", "library/nginx"),
            ("docker.io/nginx", None, "docker.io", "library/nginx"),
            ("index.docker.io/acme/api", None, "docker.io", "acme/api"),
            // Without a namespace, a known host at the front.
            ("ghcr.io/acme/api", None, "ghcr.io", "acme/api"),
            ("localhost/api", None, "localhost", "api"),
            ("127.0.0.1:5000/a/b", None, "127.0.0.1:5000", "a/b"),
            ("sealift.internal/charts/app", None, "sealift.internal", "charts/app"),
            // What is no known host is a name of our own.
            ("charts/app", None, "sealift.internal", "charts/app"),
            ("quay.io/acme/api", None, "sealift.internal", "quay.io/acme/api"),
            ("127.0.0.1:5001/a/b", None, "sealift.internal", "127.0.0.1:5001/a/b"),
            ("ghcr.io", None, "sealift.internal", "ghcr.io"),
            ("nginx", None, "sealift.internal", "nginx"),
        ];
        for (name, namespace, host, repository) in cases {
            let address = Address::resolve(name, namespace, &table);
            assert_eq!((address.host(), address.repository()), (host, repository), "{name} {namespace:?}");
        }
    }
}
