//! What is wrong in several places is told in one run.

use fs_err as fs;

use sealift_archive::report;

use crate::setting::{Setting, image, tag_of};

const K3S: &str = "
kubernetes:
  distribution: k3s
  version: v1.36.4+k3s1
  files: {checksums: sums.txt, binary: k3s, images: images.txt, installScript: install.sh}
";

#[test]
fn the_images_of_a_list_are_asked_for_whatever_is_wrong_with_the_files_beside_it() {
    let setting = Setting::new();
    let definition = setting.definition("[linux/amd64]", &["REGISTRY/acme/app:1"]);
    let absent =
        definition.lines().find_map(|line| line.split_once("- ")).unwrap().1.replace("app", "absent");
    for (name, content) in [("sums.txt", ""), ("k3s", "ELF"), ("images.txt", &*absent), ("install.sh", "")] {
        fs::write(setting.path(name), content).unwrap();
    }
    let said = report(&setting.resolve(&(definition + K3S)).unwrap_err());
    assert!(said.contains("SL0462") && said.contains("acme/absent"), "{said}");
}

#[test]
fn an_image_under_the_tag_of_a_signature_is_refused_when_it_is_locked() {
    let setting = Setting::new();
    let signed = image("linux/amd64", 1);
    setting.registry.add_image("acme/app", "1", &signed).unwrap();
    let tag = tag_of(signed.digest(), ".sig");
    setting.tag("acme/app", &tag, "old signature");
    setting.registry.add_image("acme/other", "1", &image("linux/amd64", 3)).unwrap();
    let other = format!("{{reference: REGISTRY/acme/other:1, name: REGISTRY/acme/app:{tag}}}");
    let definition =
        setting.definition("[linux/amd64]", &["REGISTRY/acme/app:1", &other, "REGISTRY/acme/absent:1"]);
    let said = report(&setting.resolve(&definition).unwrap_err());
    assert!(said.contains("SL0478") && said.contains(&tag) && said.contains("acme/absent"), "{said}");
}
