//! What `sealift` says to people: exit status, standard output and standard error together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use assert_cmd::Command;
use fs_err as fs;
use tempfile::TempDir;

const DEFINITION: &str = "\
apiVersion: sealift/v1
kind: Release
product: acme
version: 1.0.0
sequence: 1
platforms: all
git:
  - {name: fleet, path: gitops}
";

/// Runs `sealift` in a folder; without a terminal and with a password.
fn sealift(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::cargo_bin("sealift")
        .unwrap()
        .current_dir(dir)
        .args(arguments)
        .env("COSIGN_PASSWORD", "secret")
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap();
    // How long something took is no business of a snapshot.
    let text = |bytes: Vec<u8>| {
        let said = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = said.lines().map(|line| line.split(" after ").next().unwrap()).collect();
        if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
    };
    format!(
        "$ sealift {}\n{}--- stderr\n{}--- exit {}\n",
        arguments.join(" "),
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap()
    )
}

/// A folder with a definition, its Git folder and nothing else.
fn project(definition: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("gitops")).unwrap();
    fs::write(dir.path().join("gitops/app.yaml"), "kind: List\n").unwrap();
    fs::write(dir.path().join("RELEASE.yaml"), definition).unwrap();
    dir
}

#[test]
fn help_tells_what_to_do() {
    let dir = TempDir::new().unwrap();
    for command in [
        "",
        "trust init",
        "trust rotate",
        "trust revoke",
        "trust show",
        "lock",
        "statement",
        "sign",
        "bundle",
        "verify",
        "split",
        "join",
        "parity",
        "repair",
        "publish",
        "promote",
        "channel show",
        "inspect",
        "export",
        "sbom",
        "ova",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        insta::assert_snapshot!(
            format!("help {command}").trim().replace(' ', "-"),
            sealift(dir.path(), &arguments)
        );
    }
}

#[test]
fn a_wrong_definition_is_explained() {
    let cases = [
        ("unknown-key", DEFINITION.replace("product:", "prodcut:")),
        ("not-yet", format!("{DEFINITION}charts: []\n")),
        ("bad-version", DEFINITION.replace("1.0.0", "../1")),
        ("no-folder", DEFINITION.replace("path: gitops", "path: elsewhere")),
        ("image-twice", format!("{DEFINITION}images: [nginx, \"docker.io/library/nginx:latest\"]\n")),
        ("not-yaml", DEFINITION.replace("path: gitops}", "path: gitops")),
    ];
    for (name, definition) in cases {
        insta::assert_snapshot!(name, sealift(project(&definition).path(), &["lock", "RELEASE.yaml"]));
    }
}

#[test]
fn a_release_without_a_network_goes_from_folder_to_archive() {
    let dir = project(DEFINITION);
    let run = |arguments: &[&str]| sealift(dir.path(), arguments);
    let bundle = [
        "bundle",
        "RELEASE.yaml",
        "--trust",
        "trust/root.json",
        "--release-key",
        "trust/release.key",
        "--pack-key",
        "trust/pack.key",
        "-o",
        "out",
    ];
    insta::assert_snapshot!("no-trust", run(&bundle));
    assert!(run(&["trust", "init", "trust"]).ends_with("--- exit 0\n"));
    insta::assert_snapshot!("trust-twice", run(&["trust", "init", "trust"]));
    insta::assert_snapshot!("no-lock", run(&bundle));
    insta::assert_snapshot!("locked", run(&["lock", "RELEASE.yaml"]));
    insta::assert_snapshot!("plan", run(&[&bundle[..], &["--plan"]].concat()));
    fs::write(dir.path().join("gitops/app.yaml"), "kind: Other\n").unwrap();
    insta::assert_snapshot!("stale-folder", run(&bundle));
    fs::write(dir.path().join("gitops/app.yaml"), "kind: List\n").unwrap();
    fs::write(dir.path().join("RELEASE.yaml"), DEFINITION.replace("sequence: 1", "sequence: 2")).unwrap();
    insta::assert_snapshot!("stale-lock", run(&bundle));
    fs::write(dir.path().join("RELEASE.yaml"), DEFINITION).unwrap();
    insta::assert_snapshot!(
        "public-key",
        run(&bundle.map(|a| if a == "trust/pack.key" { "trust/pack.pub" } else { a }))
    );
    let bundled = run(&bundle);
    assert!(bundled.contains("out/acme-1.0.0.tar.zst") && bundled.ends_with("--- exit 0\n"), "{bundled}");
    let verified = run(&["verify", "out/acme-1.0.0.tar.zst", "--trust", "trust/root.json"]);
    assert!(
        verified.starts_with("$ sealift verify") && verified.contains("Good: out/acme-1.0.0.tar.zst"),
        "{verified}"
    );
    insta::assert_snapshot!("not-an-archive", run(&["verify", "RELEASE.yaml", "--trust", "trust/root.json"]));
    insta::assert_snapshot!(
        "json-error",
        run(&["--json", "verify", "nothing", "--trust", "trust/root.json"])
    );
}

#[test]
fn what_is_gone_is_told_before_anything_is_made_unless_an_earlier_bundle_has_it() {
    const FILES: [&str; 5] =
        ["chart/Chart.yaml", "chart/README.md", "policies/all.yaml", "one.txt", "two.txt"];
    let rest = "charts: [{path: chart}]\nflux: [{name: policies, path: policies}]\n\
                files: [{name: docs/one.txt, path: one.txt}, {name: docs/two.txt, path: two.txt}]\n";
    let dir = project(&format!("{DEFINITION}{rest}"));
    for file in FILES {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            path,
            if file.contains("Chart") { "apiVersion: v2\nname: web\nversion: 1.0.0\n" } else { file },
        )
        .unwrap();
    }
    let run = |arguments: &str| sealift(dir.path(), &arguments.split(' ').collect::<Vec<_>>());
    let bundle = "bundle RELEASE.yaml --trust trust/root.json --release-key trust/release.key --pack-key trust/pack.key";
    for command in ["trust init trust", "lock RELEASE.yaml", bundle] {
        let said = run(command);
        assert!(said.ends_with("--- exit 0\n"), "{said}");
    }
    for gone in ["gitops", "chart", "policies"] {
        fs::remove_dir_all(dir.path().join(gone)).unwrap();
    }
    for gone in ["one.txt", "two.txt"] {
        fs::remove_file(dir.path().join(gone)).unwrap();
    }
    for command in [format!("{bundle} -o again --plan"), format!("{bundle} -o again")] {
        let said = run(&command);
        for part in
            ["SL0465", "folder `gitops`", "chart `chart`", "folder `policies`", "`one.txt`", "`two.txt`"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.ends_with("--- exit 2\n"), "{said}");
    }
    let said = run(&format!("{bundle} -o again --previous acme-1.0.0.tar.zst"));
    assert!(said.ends_with("--- exit 0\n"), "{said}");
    let said = run("verify again/acme-1.0.0.tar.zst --trust trust/root.json");
    assert!(said.contains("Good: again/acme-1.0.0.tar.zst"), "{said}");
}

#[test]
fn the_schema_in_the_documentation_is_that_of_the_program() {
    let output = Command::cargo_bin("sealift").unwrap().arg("schema").output().unwrap();
    let documented =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/release.schema.json")).unwrap();
    assert!(output.stdout == documented, "run: sealift schema > docs/release.schema.json");
}
