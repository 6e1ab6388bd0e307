//! Credentials from Docker's configuration: `config.json`, and the helper programs that it names.

use std::io;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use crate::error::Error;

/// The registry that everybody calls `docker.io`.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// Docker Hub's name in Docker's configuration, which helper programs are asked for literally.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// What Docker's own helper programs print if they have nothing for a host.
const NOT_FOUND: &str = "credentials not found";

/// How we identify ourselves to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Password {
        user: String,
        password: String,
    },
    /// A refresh token, to be exchanged for access tokens.
    IdentityToken(String),
}

/// Looks up the credential for a registry; `None` if there is none. Reads a file and may run a program.
pub(crate) fn look_up(dir: Option<PathBuf>, host: &str) -> Result<Option<Credential>, Error> {
    let Some(path) = dir.or_else(default_dir).map(|dir| dir.join("config.json")) else { return Ok(None) };
    let file = match fs_err::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(sealift_archive::Error::from(error).into()),
    };
    let key = if host == DOCKER_HUB { DOCKER_HUB_KEY } else { host };
    match get_credential_from_reader(io::BufReader::new(file), key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credential::Password { user, password }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::IdentityToken(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains(NOT_FOUND) => Ok(None),
        Err(error) => Err(Error::Credentials {
            host: host.to_owned(),
            file: path.display().to_string(),
            why: one_line(&error.to_string()),
        }),
    }
}

fn default_dir() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    named("DOCKER_CONFIG").or_else(|| Some(named("HOME")?.join(".docker")))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl std::fmt::Debug for Credential {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Self::IdentityToken(_) => f.debug_struct("IdentityToken").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_as_docker_stores_them() {
        let dir = tempfile::tempdir().unwrap();
        let password = |user: &str, password: &str| {
            Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
        };
        let config = r#"{"auths": {
            "ghcr.io": {"auth": "dXNlcjpwYTpzcw=="},
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "quay.io": {"identitytoken": "refresh"},
            "broken.example.com": {"auth": "%%%"}
        }}"#;
        fs_err::write(dir.path().join("config.json"), config).unwrap();
        let look_up = |host: &str| look_up(Some(dir.path().to_owned()), host);

        assert_eq!(look_up("ghcr.io").unwrap(), password("user", "pa:ss"));
        assert_eq!(look_up("docker.io").unwrap(), password("hub", "pw"));
        assert_eq!(look_up("quay.io").unwrap(), Some(Credential::IdentityToken("refresh".to_owned())));
        assert_eq!(look_up("registry.example.com").unwrap(), None);
        let error = look_up("broken.example.com").unwrap_err().to_string();
        assert!(error.contains("broken.example.com") && error.contains("config.json"), "{error}");
    }

    #[test]
    fn no_configuration_is_no_error_but_a_broken_one_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look_up(Some(dir.path().to_owned()), "ghcr.io").unwrap(), None);
        fs_err::write(dir.path().join("config.json"), "{").unwrap();
        assert!(look_up(Some(dir.path().to_owned()), "ghcr.io").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credential::Password { user: "me".into(), password: "hush".into() });
        assert!(shown.contains("me") && !shown.contains("hush"), "{shown}");
    }
}
