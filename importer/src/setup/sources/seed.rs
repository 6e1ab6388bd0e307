//! What cloud-init has found, wherever it has found it: on a disc, in a folder, in guestinfo, in OVF's properties.
//!
//! cloud-init puts together all parts of user-data (MIME, gzip, templates) in `cloud-config.txt`, and writes down what it read as
//! meta-data in `instance-data-sensitive.json` (cloud-init, "Instance metadata"). What stands under `sealift:` in either is ours, all else is
//! none of our business.

use serde::Deserialize;
use serde_json::Value;

use crate::config::place;
use crate::setup::given::Given;

/// Largest user-data or meta-data, in bytes. cloud-init passes on what others than Sealift have written, too.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// A document of which one key is ours.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    sealift: Option<Given>,
}

/// What is ours in user-data.
///
/// # Errors
/// In words, with the place, what is wrong with it.
pub fn user_data(bytes: &[u8]) -> Result<Given, String> {
    let text = text(bytes)?;
    // A document of nothing but remarks is what cloud-init writes if there is no user-data.
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#') || line == "---") {
        return Ok(Given::default());
    }
    let document: Option<Document> = serde_saphyr::from_str(text).map_err(|error| {
        // The text around a mistake may hold the token.
        let place = place(&error);
        let why = error.without_snippet().to_string();
        let why = why.strip_suffix(&format!(" at{place}")).unwrap_or(&why).to_owned();
        if place.is_empty() { why } else { format!("{}: {why}", place.trim_start()) }
    })?;
    Ok(document.and_then(|document| document.sealift).unwrap_or_default())
}

/// What is ours in what cloud-init knows of this instance.
///
/// # Errors
/// In words what is wrong with it.
pub fn instance_data(bytes: &[u8]) -> Result<Given, String> {
    let document: Value = serde_json::from_str(text(bytes)?).map_err(|error| error.to_string())?;
    match document.pointer("/ds/meta_data/sealift") {
        None | Some(Value::Null) => Ok(Given::default()),
        Some(ours) => Given::deserialize(ours).map_err(|error| error.to_string()),
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::setup::given::RoleName;

    const SEED: &str = "#cloud-config
write_files: [{path: /x, content: y}]
sealift:
  hostname: appliance-1
  role: single
  network: {mode: static, address: 192.0.2.10/24, gateway: 192.0.2.1, dns: [192.0.2.2], search: [acme.example]}
  endpoints: [appliance.example.internal, 192.0.2.9]
  nodes: [192.0.2.11, 192.0.2.16/28]
  time: {servers: [192.0.2.3]}
  online: {source: 'https://releases.acme.example/acme'}
  publicKeys: [ssh-ed25519 AAAA me]
";

    #[test]
    fn everything_that_can_be_said() {
        let given = user_data(SEED.as_bytes()).unwrap();
        assert_eq!(given.keys().len(), 8, "{given:?}");
        assert_eq!((given.hostname.unwrap().as_str(), given.role), ("appliance-1", Some(RoleName::Single)));
        let network = given.network.unwrap();
        assert_eq!(network.fixed.unwrap().address.to_string(), "192.0.2.10/24");
        // What is written down is read again, and says the same.
        let again = user_data(SEED.as_bytes()).unwrap();
        let json = serde_json::json!({"ds": {"meta_data": {"sealift": &again, "instance-id": "x"}}});
        assert_eq!(instance_data(json.to_string().as_bytes()).unwrap(), again);
    }

    #[test]
    fn who_says_nothing_says_nothing() {
        for text in [
            "",
            "#cloud-config\n",
            "# from 0 files\n\n---\n",
            "{}",
            "hostname: x\n",
            "sealift:\n",
            "sealift: {}\n",
        ] {
            assert_eq!(user_data(text.as_bytes()), Ok(Given::default()), "{text}");
        }
        for text in ["{}", "{\"ds\": {}}", "{\"ds\": {\"meta_data\": {\"sealift\": null}}}"] {
            assert_eq!(instance_data(text.as_bytes()), Ok(Given::default()), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place_and_without_the_token() {
        let bomb = {
            let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
            for n in 1..12 {
                let below = format!("*a{}, ", n - 1).repeat(9);
                text = format!("{text}a{n}: &a{n} [{below}]\n");
            }
            text + "sealift: *a11\n"
        };
        let deep = "[".repeat(100_000);
        let long = "#".repeat((1 << 20) + 1);
        let cases = [
            ("sealift: {rolle: single}", "unknown field `rolle`"),
            ("a: 1\nsealift:\n  role: server\n", "line 3"),
            ("sealift: {hostname: Node_A}", "no name of a node"),
            ("sealift: {network: {mode: static}}", "an address is needed"),
            ("sealift: {network: {mode: dhcp, address: 10.0.0.1/24}}", "come from the network"),
            ("sealift: {network: {mode: static, address: 10.0.0.1/24, gateway: 'fd00::1'}}", "same kind"),
            ("sealift: {network: {mode: dhcp, search: [10.0.0.1]}}", "no domain"),
            ("sealift: {online: {source: 'http://a.example'}}", "https:// or oci://"),
            ("sealift: {publicKeys: ['-----BEGIN OPENSSH PRIVATE KEY-----']}", "no public key"),
            ("sealift: {role: single, role: join}", "uplicate"),
            ("sealift: [hunter2", "line"),
            (&bomb, ""),
            (&deep, ""),
            (&long, "longer than"),
        ];
        for (text, wanted) in cases {
            let said = user_data(text.as_bytes()).unwrap_err();
            assert!(said.contains(wanted), "{text:.60}: {said}");
        }
        for text in [
            "sealift: {token: 'hunter2 hunter2'}",
            "sealift: {token: [hunter2]}",
            "sealift:\n  token: hunter2\n  x: 1\n",
        ] {
            let said = user_data(text.as_bytes()).unwrap_err();
            assert!(!said.contains("hunter2"), "{said}");
        }
        assert!(user_data(b"\xff").unwrap_err().contains("UTF-8"));
        assert!(instance_data(b"{\"ds\": {\"meta_data\": {\"sealift\": {\"role\": 1}}}}").is_err());
        assert!(instance_data(b"{").is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(sealift:)?[ -~\\n]{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = user_data(text.as_bytes());
            let _ = user_data(&bytes);
            let _ = instance_data(text.as_bytes());
        }
    }
}
