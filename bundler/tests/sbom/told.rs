//! What the command says.

use assert_cmd::Command;

use super::*;

/// Runs `sealift sbom` on an archive, in its folder, as a snapshot sees it.
fn sbom(made: &Made, arguments: &[&str]) -> String {
    let output = Command::cargo_bin("sealift")
        .unwrap()
        .current_dir(made.dir.path())
        .args(["sbom", "acme-1.5.0.tar.zst"])
        .args(arguments)
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    // How long it took differs.
    let told = text(&output.stderr);
    let told: Vec<&str> = told.lines().filter(|line| !line.starts_with("reading")).collect();
    format!(
        "$ sealift sbom acme-1.5.0.tar.zst {}\n{}--- stderr\n{}\n--- exit {}\n",
        arguments.join(" "),
        text(&output.stdout),
        told.join("\n"),
        output.status.code().unwrap()
    )
}

#[test]
fn people_are_told_what_is_where() {
    let made = everything().pack();
    for (name, arguments) in [
        ("table", &[][..]),
        ("openssl", &["--package", "openssl"]),
        ("beginning", &["--package", "lib*"]),
        ("json", &["--package", "openssl", "--image", "ghcr.io/acme/api:1.5.0", "--json"]),
        ("no-package", &["--package", "opensssl"]),
        ("no-package-in-image", &["--package", "rpm", "--image", "ghcr.io/acme/api:1.5.0"]),
        ("no-image", &["--image", "nginx"]),
        ("part", &["--package", "openssl", "--format", "spdx"]),
    ] {
        insta::assert_snapshot!(name, sbom(&made, arguments));
    }
}

#[test]
fn documents_go_where_they_are_wanted() {
    let made = everything().pack();
    let said = sbom(&made, &["--format", "spdx", "-o", "acme.spdx.json"]);
    assert!(
        said.contains("warning: ghcr.io/acme/web:1 (linux/arm64): ") && said.ends_with("--- exit 0\n"),
        "{said}"
    );
    let document = fs_err::read(made.dir.path().join("acme.spdx.json")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    let output = Command::cargo_bin("sealift")
        .unwrap()
        .args(["sbom", "--format", "cyclonedx"])
        .arg(&made.path)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    for wrong in ["yesterday", "-99999999999999", "9999999999999999999", "253402300800"] {
        let output = Command::cargo_bin("sealift")
            .unwrap()
            .arg("sbom")
            .arg(&made.path)
            .env("SOURCE_DATE_EPOCH", wrong)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains("SL0424"), "{wrong}: {said}");
    }
}
