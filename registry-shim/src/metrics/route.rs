//! What kind of path was asked for: few enough to count each.

/// A kind of path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// A manifest or index of the OCI API.
    Manifest,
    /// A blob of the OCI API.
    Blob,
    /// Whatever else the OCI API has: lists, referrers, the version check.
    Registry,
    /// A plain file, or the list of them.
    File,
    /// Git.
    Git,
    /// What other nodes fetch.
    Peer,
    /// What is there for people and for those who watch.
    Status,
    /// What is not there at all.
    Other,
}

impl Route {
    /// Every kind, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Manifest,
        Self::Blob,
        Self::Registry,
        Self::File,
        Self::Git,
        Self::Peer,
        Self::Status,
        Self::Other,
    ];

    /// The kind of a path.
    pub(crate) fn of(path: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        match parts.next() {
            // Names have slashes and may have such words among their parts; what is asked for stands last but one.
            Some("v2") => match path.rsplit('/').nth(1) {
                Some("manifests") => Self::Manifest,
                Some("blobs") => Self::Blob,
                _ => Self::Registry,
            },
            Some("files") => Self::File,
            Some("git") => Self::Git,
            Some("peer") => Self::Peer,
            Some("" | "healthz" | "readyz" | "metrics") if parts.next().is_none() => Self::Status,
            _ => Self::Other,
        }
    }

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Registry => "registry",
            Self::File => "file",
            Self::Git => "git",
            Self::Peer => "peer",
            Self::Status => "status",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_one_kind() {
        let cases = [
            ("/v2/", "registry"),
            ("/v2", "registry"),
            ("/v2/_catalog", "registry"),
            ("/v2/a/b/tags/list", "registry"),
            ("/v2/a/b/manifests/1", "manifest"),
            ("/v2/blobs/manifests/sha256:00", "manifest"),
            ("/v2/manifests/blobs/sha256:00", "blob"),
            ("/v2/a/referrers/sha256:00", "registry"),
            ("/files/", "file"),
            ("/files/a/blobs/b", "file"),
            ("/git/fleet.git/info/refs", "git"),
            ("/peer/releases/00.json", "peer"),
            ("/", "status"),
            ("/metrics", "status"),
            ("/healthz/x", "other"),
            ("/v22/a", "other"),
            ("", "other"),
            ("*", "other"),
        ];
        for (path, expected) in cases {
            assert_eq!(Route::of(path).name(), expected, "{path}");
        }
        for (place, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place, "{}", route.name());
        }
    }
}
