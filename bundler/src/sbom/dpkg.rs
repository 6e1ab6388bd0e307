//! dpkg's database: paragraphs of `Field: value` (deb-control(5), dpkg(1) “Package states”).

use super::database::{Packages, Unreadable};
use super::package::{Package, PackageType, SourcePackage, text};

/// States of packages whose files are there, the last word of `Status`. What is left of the others is configuration at most.
const PRESENT: [&str; 5] =
    ["installed", "triggers-pending", "triggers-awaited", "half-configured", "unpacked"];

/// Reads `/var/lib/dpkg/status`, or a file of `status.d`, which has no `Status`: what lies there is installed.
///
/// # Errors
/// If there are too many.
pub(super) fn parse(database: &[u8]) -> Result<Packages, Unreadable> {
    let mut packages = Packages::default();
    let mut paragraph = Paragraph::default();
    for line in database.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            packages.extend(std::mem::take(&mut paragraph).package())?;
        } else if !line[0].is_ascii_whitespace() {
            paragraph.take_field(line);
        }
    }
    packages.extend(paragraph.package())?;
    Ok(packages)
}

/// The fields that count, of one package.
#[derive(Default)]
struct Paragraph {
    package: Option<String>,
    status: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    source: Option<String>,
}

impl Paragraph {
    fn take_field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&b| b == b':') else { return };
        let name = &line[..colon];
        let fields = [
            ("Package", &mut self.package),
            ("Status", &mut self.status),
            ("Version", &mut self.version),
            ("Architecture", &mut self.architecture),
            ("Source", &mut self.source),
        ];
        for (field, value) in fields {
            if name.eq_ignore_ascii_case(field.as_bytes()) {
                *value = Some(text(line[colon + 1..].trim_ascii()));
            }
        }
    }

    fn package(self) -> Option<Package> {
        let is_present =
            |status: &String| status.split_whitespace().next_back().is_some_and(|s| PRESENT.contains(&s));
        if !self.status.as_ref().is_none_or(is_present) {
            return None;
        }
        let name = self.package.filter(|name| !name.is_empty())?;
        let version = self.version.unwrap_or_default();
        let source = self.source.map(|source| source_package(&source, &version));
        let is_other =
            |source: &SourcePackage| source.name != name || source.version.as_ref() != Some(&version);
        let source = source.filter(is_other);
        let architecture = self.architecture;
        Some(Package {
            name,
            version,
            epoch: None,
            kind: PackageType::Deb,
            architecture,
            source,
            license: None,
        })
    }
}

/// `openssl (3.0.15-1)`, or only a name if the version is that of the package.
fn source_package(source: &str, version: &str) -> SourcePackage {
    let (name, own) = match source.split_once('(') {
        Some((name, own)) => (name, own.trim_end_matches(')')),
        None => (source, version),
    };
    SourcePackage { name: name.trim().to_owned(), version: Some(own.trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "\
Package: libssl3
Status: install ok installed
Priority: optional
Architecture: amd64
Multi-Arch: same
Source: openssl
Version: 3.0.15-1~deb12u1
Description: Secure Sockets Layer toolkit
 Package: not-a-field
 .
 Version: 0

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

package: gcc-12-base
STATUS: hold ok installed
architecture: amd64
SOURCE: gcc-12 (12.2.0-14)
version:12.2.0-14+b1
\r
Package: same
Status: deinstall ok triggers-pending
Source: same
Version: 2

Package: broken
Status: install reinstreq half-installed
Version: 3

Status: install ok installed
Version: 4
";

    #[test]
    fn what_is_there_is_listed_and_what_is_gone_is_not() {
        let listed: Vec<String> = parse(STATUS.as_bytes())
            .unwrap()
            .into_iter()
            .map(|p| {
                let source = p.source.map(|s| format!("{} {}", s.name, s.version.unwrap()));
                format!("{} {} {:?} {source:?}", p.name, p.version, p.architecture)
            })
            .collect();
        assert_eq!(
            listed,
            [
                r#"libssl3 3.0.15-1~deb12u1 Some("amd64") Some("openssl 3.0.15-1~deb12u1")"#,
                r#"gcc-12-base 12.2.0-14+b1 Some("amd64") Some("gcc-12 12.2.0-14")"#,
                "same 2 None None",
            ]
        );
    }

    #[test]
    fn a_part_without_a_status_is_installed() {
        let packages = parse(b"Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all").unwrap();
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].name, "tzdata");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>, at in 0..STATUS.len(), noise: [u8; 3]) {
            parse(&bytes).unwrap();
            let mut damaged = STATUS.as_bytes().to_vec();
            damaged.splice(at..(at + 2).min(damaged.len()), noise);
            prop_assert!(parse(&damaged).unwrap().len() <= 6);
        }
    }
}
