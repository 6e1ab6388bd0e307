//! A kubeconfig, as far as it says where the API server is and who asks.
//!
//! Programs that would have to be run for credentials, proxies and switched-off checks are refused: an appliance has a
//! file that k3s wrote, and what activates releases is not to depend on more. Source: kubernetes.io, "kubeconfig (v1)".

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use fs_err as fs;
use serde::Deserialize;
use url::Url;

use super::Error;

/// Largest kubeconfig, certificate, key or token file, in bytes. Those of k3s have about 3 KB.
const MAX_BYTES: u64 = 1 << 20;

/// Where the API server is, and who asks.
pub(super) struct Kubeconfig {
    pub(super) server: Url,
    /// PEM of the authorities that may vouch for the server; those of this machine if there are none.
    pub(super) authorities: Option<Vec<u8>>,
    /// PEM of a certificate and its key.
    pub(super) identity: Option<Vec<u8>>,
    pub(super) token: Option<Token>,
}

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Token {
    Text(String),
    /// Read whenever it is used, since it is replaced before it expires.
    File(PathBuf),
}

impl Token {
    /// What is sent.
    pub(super) fn text(&self) -> Result<String, Error> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let bytes = read_file(path)?;
                let text = String::from_utf8(bytes).map_err(|error| bad(path, error.to_string()))?;
                Ok(text.trim().to_owned())
            }
        }
    }
}

impl Kubeconfig {
    /// Reads the current context of a kubeconfig, and the files that it names.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] and [`Error::NotDone`].
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = String::from_utf8(read_file(path)?).map_err(|error| bad(path, error.to_string()))?;
        let (server, user) = current(&text).map_err(|fault| match fault {
            Fault::Mistake(why) => bad(path, why),
            Fault::NotDone(what) => Error::NotDone { file: path.to_owned(), what },
        })?;
        // Files are named from where the kubeconfig is.
        let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
        let pem = |source: &Option<Source>| match source {
            None => Ok(None),
            Some(Source::Bytes(bytes)) => Ok(Some(bytes.clone())),
            Some(Source::File(name)) => read_file(&beside(name)).map(Some),
        };
        let identity = match (pem(&user.certificate)?, pem(&user.key)?) {
            (Some(certificate), Some(key)) => Some([certificate, b"\n".to_vec(), key].concat()),
            (None, None) => None,
            _ => return Err(bad(path, "of client certificate and key there is only one".to_owned())),
        };
        let token = user.token.map(|source| match source {
            TokenSource::Text(text) => Token::Text(text),
            TokenSource::File(name) => Token::File(beside(&name)),
        });
        Ok(Self { server: server.url, authorities: pem(&server.authorities)?, identity, token })
    }
}

fn bad(path: &Path, why: String) -> Error {
    Error::Kubeconfig { file: path.to_owned(), why }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    // The path stands in front of it already.
    let plain = |error: std::io::Error| match std::error::Error::source(&error) {
        Some(source) => bad(path, source.to_string()),
        None => bad(path, error.to_string()),
    };
    fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(plain)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(bad(path, format!("it is longer than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// What is wrong with a kubeconfig.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Mistake(String),
    NotDone(&'static str),
}

/// The server of the current context.
struct Server {
    url: Url,
    authorities: Option<Source>,
}

/// Its user.
struct User {
    certificate: Option<Source>,
    key: Option<Source>,
    token: Option<TokenSource>,
}

enum Source {
    Bytes(Vec<u8>),
    File(String),
}

enum TokenSource {
    Text(String),
    File(String),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: UserEntry,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    username: Option<String>,
    #[serde(rename = "as")]
    impersonated: Option<String>,
}

/// Server and user of the current context.
fn current(text: &str) -> Result<(Server, User), Fault> {
    let mistake = |why: String| Err(Fault::Mistake(why));
    let document: Document =
        serde_saphyr::from_str(text).map_err(|error| Fault::Mistake(error.without_snippet().to_string()))?;
    let Some(wanted) = filled(document.current_context) else {
        return mistake("it has no `current-context`".to_owned());
    };
    let contexts = document.contexts.unwrap_or_default();
    let Some(context) = contexts.into_iter().find(|entry| entry.name == wanted).map(|entry| entry.context)
    else {
        return mistake(format!("it has no context `{wanted}`, which is its `current-context`"));
    };
    let clusters = document.clusters.unwrap_or_default();
    let Some(cluster) = clusters.into_iter().find(|entry| entry.name == context.cluster) else {
        return mistake(format!(
            "it has no cluster `{}`, which is that of context `{wanted}`",
            context.cluster
        ));
    };
    let user = match filled(context.user) {
        None => UserEntry::default(),
        Some(name) => {
            let users = document.users.unwrap_or_default();
            let Some(entry) = users.into_iter().find(|entry| entry.name == name) else {
                return mistake(format!("it has no user `{name}`, which is that of context `{wanted}`"));
            };
            entry.user
        }
    };
    Ok((server(cluster.cluster)?, user_of(user)?))
}

fn server(entry: ClusterEntry) -> Result<Server, Fault> {
    let refused = [
        ("insecure-skip-tls-verify", entry.insecure_skip_tls_verify == Some(true)),
        ("tls-server-name", filled(entry.tls_server_name).is_some()),
        ("proxy-url", filled(entry.proxy_url).is_some()),
    ];
    refuse(&refused)?;
    let url: Url = entry
        .server
        .parse()
        .map_err(|error| Fault::Mistake(format!("`server` is no address (`{}`): {error}", entry.server)))?;
    // On this machine nobody else can read along.
    let is_fit = match url.scheme() {
        "https" => url.has_host(),
        "http" => sealift_fetch::is_loopback(&url),
        _ => false,
    };
    if !is_fit || !url.username().is_empty() || url.password().is_some() {
        let shown = sealift_fetch::without_secrets(&url);
        return Err(Fault::Mistake(format!("`server` has to be an address with `https://`, not `{shown}`")));
    }
    let authorities =
        source("certificate-authority-data", entry.certificate_authority_data, entry.certificate_authority)?;
    Ok(Server { url, authorities })
}

fn user_of(entry: UserEntry) -> Result<User, Fault> {
    refuse(&[
        ("exec", entry.exec.is_some()),
        ("auth-provider", entry.auth_provider.is_some()),
        ("username", filled(entry.username).is_some()),
        ("as", filled(entry.impersonated).is_some()),
    ])?;
    let token = match (filled(entry.token_file), filled(entry.token)) {
        (Some(file), _) => Some(TokenSource::File(file)),
        (None, text) => text.map(TokenSource::Text),
    };
    Ok(User {
        certificate: source(
            "client-certificate-data",
            entry.client_certificate_data,
            entry.client_certificate,
        )?,
        key: source("client-key-data", entry.client_key_data, entry.client_key)?,
        token,
    })
}

fn refuse(found: &[(&'static str, bool)]) -> Result<(), Fault> {
    match found.iter().find(|(_, is_there)| *is_there) {
        Some((key, _)) => Err(Fault::NotDone(key)),
        None => Ok(()),
    }
}

/// What stands in the kubeconfig itself comes before the file, as in kubectl.
fn source(key: &str, data: Option<String>, file: Option<String>) -> Result<Option<Source>, Fault> {
    match filled(data) {
        None => Ok(filled(file).map(Source::File)),
        Some(mut text) => {
            text.retain(|c| !c.is_ascii_whitespace());
            let bytes = BASE64_STANDARD.decode(text);
            let bytes = bytes.map_err(|error| Fault::Mistake(format!("`{key}` is no base64: {error}")))?;
            Ok(Some(Source::Bytes(bytes)))
        }
    }
}

/// Kubectl writes what is not there as an empty text too.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "{server: 'https://10.0.0.1:6443', certificate-authority-data: Q0E=}";
    const USER: &str = "{client-certificate-data: Q1JU, client-key-data: 'S0 VZ'}";

    fn text(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: here\n\
             clusters: [{{name: away, cluster: {{server: 'http://x'}}}}, {{name: c, cluster: {cluster}}}]\n\
             users: [{{name: u, user: {user}}}]\n\
             contexts: [{{name: here, context: {{cluster: c, user: u, namespace: x}}}}]\n"
        )
    }

    fn read(text: &str) -> Result<Kubeconfig, Error> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ca", "crt", "key", "token"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let path = dir.path().join("kubeconfig");
        fs::write(&path, text).unwrap();
        let read = Kubeconfig::read(&path)?;
        assert!(read.token.as_ref().is_none_or(|token| token.text().is_ok()), "files are beside it");
        Ok(read)
    }

    #[test]
    fn what_k3s_writes_is_read() {
        let kubeconfig = read(&text(CLUSTER, USER)).unwrap();
        assert_eq!(kubeconfig.server.as_str(), "https://10.0.0.1:6443/");
        assert_eq!(kubeconfig.authorities.as_deref(), Some(b"CA".as_slice()));
        assert_eq!(kubeconfig.identity.as_deref(), Some(b"CRT\nKEY".as_slice()));
        assert!(kubeconfig.token.is_none());
    }

    #[test]
    fn files_are_read_from_beside_it() {
        let cluster = "{server: 'https://x', certificate-authority: ca, proxy-url: '', insecure-skip-tls-verify: false}";
        let user = "{client-certificate: crt, client-key: key, tokenFile: token, token: older}";
        let kubeconfig = read(&text(cluster, user)).unwrap();
        assert_eq!(kubeconfig.authorities.as_deref(), Some(b"ca".as_slice()));
        assert_eq!(kubeconfig.identity.as_deref(), Some(b"crt\nkey".as_slice()));
        assert!(matches!(kubeconfig.token, Some(Token::File(_))), "the file is the newer one");
        let both = "{server: 'https://x', certificate-authority: nowhere, certificate-authority-data: Q0E=}";
        assert!(read(&text(both, "{token: t}")).is_ok(), "what stands in it comes first");
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            ("clusters: {", "line 1, column 11"),
            ("users: []", "it has no `current-context`"),
            ("current-context: here\ncontexts: null", "it has no context `here`"),
            ("current-context: h\ncontexts: [{name: h, context: {cluster: c}}]", "it has no cluster `c`"),
            (
                "current-context: h\ncontexts: [{name: h, context: {cluster: c, user: u}}]\n\
                 clusters: [{name: c, cluster: {server: 'https://x'}}]",
                "it has no user `u`",
            ),
            (&text("{server: 'x'}", "{}"), "`server` is no address (`x`)"),
            (&text("{server: 'http://10.0.0.1'}", "{}"), "not `http://10.0.0.1/`"),
            (&text("{server: 'https://me:secret@x'}", "{}"), "not `https://x/`"),
            (&text("{server: 'unix:/run/k3s'}", "{}"), "with `https://`"),
            (&text(CLUSTER, "{client-certificate-data: '!'}"), "`client-certificate-data` is no base64"),
            (&text(CLUSTER, "{client-certificate: crt}"), "there is only one"),
            (&text(CLUSTER, "{client-certificate: nowhere, client-key: key}"), "nowhere`: No such file"),
            (&format!("# {}", "x".repeat(1 << 20)), "it is longer than"),
        ];
        for (text, wanted) in cases {
            let Err(error) = read(text) else { panic!("{wanted}: it was taken") };
            let said = error.to_string();
            assert!(matches!(error, Error::Kubeconfig { .. }) && said.contains(wanted), "{wanted}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn what_is_not_done_is_named() {
        let cases = [
            (text(CLUSTER, "{exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}}"), "exec"),
            (text(CLUSTER, "{auth-provider: {name: gcp}}"), "auth-provider"),
            (text(CLUSTER, "{username: admin, password: x}"), "username"),
            (text(CLUSTER, "{token: t, as: admin}"), "as"),
            (text("{server: 'https://x', insecure-skip-tls-verify: true}", USER), "insecure-skip-tls-verify"),
            (text("{server: 'https://x', tls-server-name: y}", USER), "tls-server-name"),
            (text("{server: 'https://x', proxy-url: 'socks5://y'}", USER), "proxy-url"),
        ];
        for (text, key) in cases {
            let Err(error) = read(&text) else { panic!("{key}: it was taken") };
            assert!(matches!(error, Error::NotDone { what, .. } if what == key), "{key}: {error}");
        }
    }
}
