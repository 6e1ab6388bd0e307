//! What of the appliance's configuration is told. Each key that may be has a kind, and a value that is not of that kind is
//! not shown; what has no entry here is only counted. The file is read as YAML, not as a configuration: one that is wrong
//! is what support is asked about.

use std::io::Read as _;
use std::path::Path;

use fs_err as fs;
use sealift_archive::age::Recipient;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::{DEFAULT_PATH, place};

/// Largest configuration that is read, in bytes.
const MAX_BYTES: u64 = 256 << 10;
/// What is seen in place of a value that is not told.
const IS_SET: &str = "(set)";
/// Longest word that is told.
const MAX_WORD_CHARS: usize = 64;
/// Schemes of addresses. What stands before the colon may also be an account.
const SCHEMES: [&str; 3] = ["http", "https", "oci"];

/// What is told of a value.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Yes or no.
    Flag,
    /// A number.
    Number,
    /// A name: letters, digits, `.`, `_`, `-`.
    Name,
    /// A number and its unit: `15m`, `10MB/s`.
    Amount,
    /// An address, without anything but scheme and host.
    Origin,
    /// A public key.
    Recipient,
    /// Only that it is there.
    IsSet,
}

/// All keys of which anything is told; `[]` is each entry of a list.
const KEYS: [(&str, Kind); 62] = [
    ("apiVersion", Kind::Amount),
    ("kind", Kind::Name),
    ("activation.flux.kubeconfig", Kind::IsSet),
    ("activation.flux.namespace", Kind::Name),
    ("activation.preflight[].name", Kind::Name),
    ("activation.preflight[].command", Kind::IsSet),
    ("activation.preflight[].timeout", Kind::Amount),
    ("activation.hooks[].name", Kind::Name),
    ("activation.hooks[].command", Kind::IsSet),
    ("activation.hooks[].undo", Kind::IsSet),
    ("activation.hooks[].timeout", Kind::Amount),
    ("activation.hooks[].pointOfNoReturn", Kind::Flag),
    ("activation.hooks[].rollbackWarning", Kind::IsSet),
    ("activation.health.deadline", Kind::Amount),
    ("activation.health.interval", Kind::Amount),
    ("activation.health.checks[].name", Kind::Name),
    ("activation.health.checks[].timeout", Kind::Amount),
    ("activation.health.checks[].command", Kind::IsSet),
    ("activation.health.checks[].flux", Kind::IsSet),
    ("activation.health.checks[].http.url", Kind::Origin),
    ("activation.health.checks[].http.status", Kind::Number),
    ("activation.health.checks[].http.caFile", Kind::IsSet),
    ("activation.programs.dir", Kind::IsSet),
    ("activation.programs.trustRoot", Kind::IsSet),
    ("activation.programs.restartRegistry", Kind::IsSet),
    ("activation.helper", Kind::IsSet),
    ("mirror.source", Kind::Origin),
    ("mirror.channel", Kind::Name),
    ("mirror.activate", Kind::Flag),
    ("mirror.rate", Kind::Amount),
    ("mirror.caFile", Kind::IsSet),
    ("mirror.proxy", Kind::Origin),
    ("mirror.noProxy", Kind::IsSet),
    ("mirror.dockerConfig", Kind::IsSet),
    ("mirror.plainHttp", Kind::Flag),
    ("cluster.node", Kind::Name),
    ("cluster.kubeconfig", Kind::IsSet),
    ("cluster.namespace", Kind::Name),
    ("cluster.address", Kind::Origin),
    ("cluster.caCert", Kind::IsSet),
    ("cluster.peers.caFile", Kind::IsSet),
    ("cluster.peers.identity", Kind::IsSet),
    ("cluster.peers.authority", Kind::IsSet),
    ("cluster.peers.plainHttp", Kind::Flag),
    ("cluster.times.step", Kind::Amount),
    ("cluster.times.beat", Kind::Amount),
    ("cluster.times.live", Kind::Amount),
    ("cluster.times.switch", Kind::Amount),
    ("cluster.times.lease", Kind::Amount),
    ("k3s.role", Kind::Name),
    ("k3s.server", Kind::Origin),
    ("k3s.tokenFile", Kind::IsSet),
    ("k3s.nodeIp", Kind::IsSet),
    ("k3s.endpoints", Kind::IsSet),
    ("k3s.root", Kind::IsSet),
    ("k3s.readyWithin", Kind::Amount),
    ("k3s.etcd", Kind::Origin),
    ("media.policy", Kind::Name),
    ("disk.containerd", Kind::IsSet),
    ("disk.imageGcThreshold", Kind::Number),
    ("receipt.recipient", Kind::Recipient),
    ("certificates", Kind::IsSet),
];

/// What may be told of a configuration; as words if it cannot be read.
pub(super) fn configuration(path: Option<&Path>) -> Result<Value, String> {
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    let mut text = String::new();
    match fs::File::open(file) {
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(json!({"file": null}));
        }
        Err(error) => return Err(error.to_string()),
        Ok(open) => open.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?,
    };
    // What the parser says of a mistake may repeat what is there.
    let value: Value = serde_saphyr::from_str(&text)
        .map_err(|error| format!("`{}` is not YAML{}", file.display(), place(&error)))?;
    let mut left_out = 0;
    let told = tell(value, "", &mut left_out);
    Ok(json!({"file": file, "keys": told, "leftOut": left_out}))
}

/// What is told of a value at a place; nothing if nothing may be.
fn tell(value: Value, place: &str, left_out: &mut usize) -> Option<Value> {
    if let Some((_, kind)) = KEYS.iter().find(|(key, _)| *key == place) {
        return Some(kind.show(&value));
    }
    let leads_on = |place: &str| KEYS.iter().any(|(key, _)| key.starts_with(place));
    match value {
        Value::Object(object) => {
            let mut told = Map::new();
            for (name, value) in object {
                let inner = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                told.extend(tell(value, &inner, left_out).map(|value| (name, value)));
            }
            // Also of a key that nobody knows: what is in it was counted, and its name may say anything.
            (place.is_empty() || !told.is_empty() || leads_on(&format!("{place}.")))
                .then_some(Value::Object(told))
        }
        Value::Array(values) if leads_on(&format!("{place}[]")) => {
            let place = format!("{place}[]");
            Some(values.into_iter().filter_map(|value| tell(value, &place, left_out)).collect())
        }
        Value::Null => None,
        _ => {
            *left_out += 1;
            None
        }
    }
}

impl Kind {
    fn show(self, value: &Value) -> Value {
        let text = value.as_str().filter(|text| text.chars().count() <= MAX_WORD_CHARS);
        let made_of = |more: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            text.filter(|text| text.chars().all(fits)).map(Value::from)
        };
        let shown = match self {
            Self::Flag => value.as_bool().map(Value::from),
            Self::Number => value.as_u64().map(Value::from),
            Self::Name => made_of("._-"),
            Self::Amount => made_of("./"),
            Self::Origin => value.as_str().map(|text| origin(text).into()),
            Self::Recipient => {
                text.and_then(|text| text.parse::<Recipient>().ok()).map(|key| key.to_string().into())
            }
            Self::IsSet => None,
        };
        shown.unwrap_or_else(|| IS_SET.into())
    }
}

/// `https://releases.acme.example:8443`; a folder is `a folder`.
fn origin(text: &str) -> String {
    match text.parse::<Url>() {
        Ok(url) if SCHEMES.contains(&url.scheme()) && url.has_host() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        Err(_) if text.starts_with('/') => "a folder".to_owned(),
        _ => IS_SET.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Value, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("appliance.yaml");
        fs::write(&file, text).unwrap();
        configuration(Some(&file))
    }

    #[test]
    fn only_what_is_known_to_be_harmless_is_told() {
        let told = told(
            "apiVersion: sealift/v1
kind: Appliance
activation:
  flux: {kubeconfig: /root/hunter2, namespace: flux-system}
  hooks: [{name: k3s, command: [/hooks/k3s, --token, hunter2], undo: [/x, hunter2], timeout: 15m, pointOfNoReturn: true}]
  health: {deadline: 10m, checks: [{name: web, http: {url: \"https://bob:hunter2@h:8443/hunter2?x=hunter2\", status: 200}}]}
  hunter2: {deep: hunter2}
mirror:
  source: oci://bob:hunter2@registry.acme.example/hunter2
  proxy: http://bob:hunter2@proxy:3128
  rate: {hunter2: hunter2}
  activate: hunter2
  noProxy: [hunter2]
hunter2: 1
receipt: {recipient: AGE-SECRET-KEY-1HUNTER2}
",
        )
        .unwrap();
        assert!(!told.to_string().to_lowercase().contains("hunter2"), "{told}");
        let keys = &told["keys"];
        assert_eq!(keys["activation"]["hooks"][0]["timeout"], "15m");
        assert_eq!(keys["activation"]["health"]["checks"][0]["http"]["url"], "https://h:8443");
        assert_eq!(
            (&keys["mirror"]["source"], &keys["mirror"]["rate"]),
            (&json!("oci://registry.acme.example"), &json!("(set)"))
        );
        assert_eq!((&keys["receipt"]["recipient"], &told["leftOut"]), (&json!("(set)"), &json!(2)));
    }

    /// Every key that a configuration may have.
    const FULL: &str = "apiVersion: sealift/v1
kind: Appliance
activation:
  flux: {kubeconfig: /k, namespace: flux-system}
  preflight: [{name: disk, command: [/c], timeout: 5s}]
  hooks: [{name: k3s, command: [/h], undo: [/h], timeout: 2h, pointOfNoReturn: true, rollbackWarning: lost}]
  health:
    deadline: 20m
    interval: 1s
    checks:
    - {name: api, command: [/c], timeout: 5s}
    - {name: web, http: {url: \"https://h/\", status: 204, caFile: /ca.pem}}
    - {name: flux, flux: {}}
  programs: {dir: /usr/bin, trustRoot: /root.json, restartRegistry: [/bin/true]}
  helper: /run/sealift/host.sock
mirror:
  source: https://releases.acme.example
  channel: stable
  activate: true
  rate: 10MB/s
  caFile: /ca.pem
  proxy: http://proxy:3128
  noProxy: [localhost]
  dockerConfig: /d
  plainHttp: false
cluster:
  node: node-a
  kubeconfig: /k
  namespace: sealift-system
  address: https://node-a:5443
  caCert: /ca.crt
  peers: {caFile: /nodes.crt, identity: {certificate: /c, key: /k}, authority: /pki, plainHttp: false}
  times: {step: 3s, beat: 10s, live: 60s, switch: 5m, lease: 30s}
k3s:
  role: join
  server: https://10.0.0.11:6443
  tokenFile: /t
  nodeIp: 10.0.0.12
  endpoints: [appliance.example]
  root: /
  readyWithin: 10m
  etcd: http://127.0.0.1:2381
disk: {containerd: /c, imageGcThreshold: 70}
media: {policy: ask}
certificates: [/registry.crt]
receipt: {recipient: age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv}
";

    #[test]
    fn every_key_of_a_configuration_is_known() {
        let config: crate::config::Config = serde_saphyr::from_str(FULL).unwrap();
        assert!(config.mirror.is_some());
        let told = told(FULL).unwrap();
        assert_eq!(told["leftOut"], 0, "{told}");
        let wanted = json!({"containerd": "(set)", "imageGcThreshold": 70});
        assert_eq!(told["keys"]["disk"], wanted);
        // And none is known that a configuration does not have.
        for (key, _) in KEYS {
            let place = key.replace("[]", "/0").replace('.', "/");
            let is_there = |entry: usize| {
                let place = format!("/{}", place.replace("checks/0", &format!("checks/{entry}")));
                told["keys"].pointer(&place).is_some()
            };
            assert!((0..3).any(is_there), "{key}");
        }
    }

    #[test]
    fn a_configuration_that_is_wrong_is_told_as_far_as_it_goes() {
        assert_eq!(
            told("mirrors: {source: hunter2}\nkind: Appliance").unwrap()["keys"],
            json!({"kind": "Appliance"})
        );
        // Without a scheme, the account is where the scheme would be.
        for proxy in ["hunter2:x@proxy:3128", "hunter2:", "file:///hunter2", "hunter2"] {
            let told = told(&format!("mirror: {{proxy: \"{proxy}\"}}")).unwrap();
            assert_eq!(told["keys"]["mirror"]["proxy"], IS_SET, "{proxy}");
        }
        let said = told("kind: [hunter2\nhunter2: }").unwrap_err();
        assert!(said.contains("is not YAML line") && !said.contains("hunter2"), "{said}");
        let said = configuration(Some(Path::new("/nowhere/appliance.yaml"))).unwrap_err();
        assert!(said.contains("/nowhere"), "{said}");
    }
}
