//! Content that is named by SHA-512, is foreign, or is of Docker's own types.

use sealift_archive::{Blob, Digest, Sha512};
use sealift_lab::vendor::{Fault, Target};
use serde_json::{Value, json};

use crate::setting::{INDEX, MANIFEST, Setting, digests, image, refs};

const REPOSITORY: &str = "acme/app";
const APP: &str = "REGISTRY/acme/app:1";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Adds a blob that is named by SHA-512.
fn long(setting: &Setting, media_type: &str, bytes: &[u8]) -> Value {
    setting.registry.add_blob(REPOSITORY, bytes.to_vec()).unwrap();
    let alias = setting.registry.add_alias(bytes);
    json!({"mediaType": media_type, "digest": alias, "size": bytes.len()})
}

#[test]
fn sha512_names_everything_that_it_may_name() {
    let setting = Setting::new();
    let config = br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let (config, layer) = (long(&setting, CONFIG, config), long(&setting, LAYER, b"layer"));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let bytes = manifest.to_string();
    setting.put(REPOSITORY, None, MANIFEST, &manifest);
    let alias = setting.registry.add_alias(bytes.as_bytes());
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let child = json!({"mediaType": MANIFEST, "digest": alias, "size": bytes.len(), "platform": platform});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]});
    setting.put(REPOSITORY, Some("1"), INDEX, &index);
    let index_alias = setting.registry.add_alias(index.to_string().as_bytes());
    // Whoever signs it signs the name that it has in the index.
    let subject = json!({"mediaType": MANIFEST, "digest": alias, "size": bytes.len()});
    let empty = long(&setting, "application/x-signature", b"{}");
    let signature =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [], "subject": subject});
    let signature = setting.put(REPOSITORY, None, MANIFEST, &signature);

    for (image, names) in [(APP.to_owned(), 4), (format!("REGISTRY/acme/app@{index_alias}"), 5)] {
        setting.forget_lock();
        let locked = setting.image("[linux/amd64]", &image);
        assert_eq!(digests(&locked.blobs)[1], Digest::of(b"layer"));
        let child = &locked.manifests[0];
        assert_eq!((child.digest, child.alias), (Digest::of(bytes.as_bytes()), Some(alias)));
        let refs = refs(&locked);
        assert_eq!(refs.aliases.len(), names, "{:?}", refs.aliases);
        assert_eq!(refs.aliases[&Sha512::of(b"layer")], Digest::of(b"layer"));
        let listed = &refs.referrers[&child.digest][0];
        assert_eq!(listed.digest.to_string(), signature["digest"].as_str().unwrap());
        assert_eq!(setting.image("[linux/amd64]", &image), locked);
    }

    // Other content under such a name is found out when the lock is made.
    setting.forget_lock();
    let path = format!("/v2/{REPOSITORY}/blobs/{}", Sha512::of(b"layer"));
    setting.registry.faults().always(Target::Path(path), Fault::OtherBytes);
    let said = setting.refusal("[linux/amd64]", APP);
    assert!(said.contains("SL0215") && said.contains(&Sha512::of(b"layer").to_string()), "{said}");
}

/// An image with a foreign layer that is said to be at these addresses.
fn windows(setting: &Setting, layer: &[u8], urls: &[String]) {
    let config = setting.registry.add_blob(REPOSITORY, "{}").unwrap();
    let blob = Blob::of(layer);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config.digest, "size": 2},
        "layers": [{"mediaType": FOREIGN, "digest": blob.digest, "size": blob.size, "urls": urls}],
    });
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    setting.put(REPOSITORY, Some("1"), media_type, &manifest);
}

#[test]
fn foreign_layers_are_refused_or_taken_from_where_they_are() {
    let setting = Setting::new();
    let layer = b"layer of another vendor".as_slice();
    let carry = format!("{{reference: \"{APP}\", foreignLayers: carry}}");
    let here = setting.registry.url("/layers/base");
    let urls = ["ftp://example.com/x".to_owned(), setting.registry.url("/layers/gone"), here.clone()];
    windows(&setting, layer, &urls);
    let name = format!("{}/acme/app:1", setting.registry.addr());

    let said = setting.refusal("all", APP);
    let expected = format!("error[SL0474]: `{name}` has a foreign layer, {}", Digest::of(layer));
    assert!(said.contains(&expected) && said.contains("`foreignLayers: carry`"), "{said}");

    let said = setting.refusal("all", &carry);
    assert!(said.contains("SL0475") && said.contains(&urls.join(", ")), "{said}");
    setting.registry.add_file("/layers/base", layer);
    for status in [403, 500] {
        setting
            .registry
            .faults()
            .always(Target::Path("/layers/base".to_owned()), Fault::Status(status, None));
        let said = setting.refusal("all", &carry);
        assert!(said.contains(&status.to_string()), "{said}");
        setting.registry.faults().clear();
    }

    let locked = setting.image("all", &carry);
    assert_eq!(locked.blobs[1].url.as_ref(), Some(&here));
    assert_eq!(locked.wanted().unwrap()[2].origin.to_string(), here);
    // Another size than the image says is other content.
    setting.registry.add_file("/layers/base", &b"shorter"[..]);
    setting.forget_lock();
    let said = setting.refusal("all", &carry);
    assert!(said.contains("SL0213"), "{said}");

    // The registry's own copy needs no address.
    setting.registry.add_blob(REPOSITORY, layer).unwrap();
    assert_eq!(setting.image("all", &carry).blobs[1].url, None);
    // And is refused all the same if nobody asks for it, whatever an earlier lock had.
    assert!(setting.refusal("all", APP).contains("SL0474"));
    for status in [401, 403, 500] {
        setting.forget_lock();
        setting.registry.faults().always(Target::Blob(Digest::of(layer)), Fault::Status(status, None));
        assert!(setting.refusal("all", &carry).contains(&status.to_string()), "{status} is not absent");
        setting.registry.faults().clear();
    }
}

#[test]
fn what_has_another_name_or_another_place_is_bundled_by_it() {
    let setting = Setting::new();
    windows(&setting, b"foreign", &[setting.registry.url("/layers/base")]);
    setting.registry.add_file("/layers/base", &b"foreign"[..]);
    let (config, layer) =
        (long(&setting, "application/x-config", b"config"), long(&setting, LAYER, b"layer"));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    setting.put(REPOSITORY, None, MANIFEST, &manifest);
    let alias = setting.registry.add_alias(manifest.to_string().as_bytes());
    let carry = format!("{{reference: \"{APP}\", foreignLayers: carry}}");
    let named = format!("REGISTRY/acme/app@{alias}");
    let definition = setting.definition("all", &[&carry, &named]);
    fs_err::write(setting.path("RELEASE.yaml"), definition).unwrap();
    // The registry knows all this by its other name only.
    for bytes in [b"config".as_slice(), b"layer", manifest.to_string().as_bytes()] {
        let digest = Digest::of(bytes);
        for target in [Target::Blob(digest), Target::Manifest(digest.to_string())] {
            setting.registry.faults().always(target, Fault::Status(404, None));
        }
    }
    setting.bundle_and_export();
    for bytes in [b"foreign".as_slice(), b"config", b"layer", manifest.to_string().as_bytes()] {
        assert_eq!(setting.exported(Digest::of(bytes)), bytes);
    }
}

#[test]
fn a_chart_is_read_by_the_name_that_its_registry_knows() {
    let setting = Setting::new();
    let part = |media_type: &str, bytes: &[u8]| {
        let blob = setting.registry.add_blob("acme/charts/api", bytes.to_vec()).unwrap();
        json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
    };
    let config = part(
        "application/vnd.cncf.helm.config.v1+json",
        br#"{"apiVersion":"v2","name":"api","version":"1.0.0"}"#,
    );
    let content = part("application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"chart");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [content]});
    setting.put("acme/charts/api", None, MANIFEST, &manifest);
    let manifest = manifest.to_string();
    let alias = setting.registry.add_alias(manifest.as_bytes());
    let target = Target::Manifest(Digest::of(manifest.as_bytes()).to_string());
    setting.registry.faults().always(target, Fault::Status(404, None));
    let text = format!(
        "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 1.0.0\nsequence: 1\nplatforms: all\n\
         charts:\n- 'oci://{}'\n",
        setting.registry.name(&format!("acme/charts/api@{alias}"))
    );
    let lock = setting.resolve(&text).unwrap_or_else(|error| panic!("{}", sealift_archive::report(&error)));
    assert_eq!(lock.charts[0].name, "api");
}

#[test]
fn a_name_with_a_digest_leads_to_that_digest() {
    let setting = Setting::new();
    let one = image("linux/amd64", 1);
    setting.registry.add_image(REPOSITORY, "1", &one).unwrap();
    let named = |name: String| format!("{{reference: \"{APP}\", name: \"{name}\"}}");
    setting.image("all", &named(format!("ghcr.io/acme/app@{}", one.digest())));
    let other = Digest::of(b"other");
    let said = setting.refusal("all", &named(format!("ghcr.io/acme/app@{other}")));
    assert!(said.contains("it leads to"), "{said}");
}
