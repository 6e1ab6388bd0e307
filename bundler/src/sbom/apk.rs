//! apk's database: paragraphs of `X:value`, one letter a field (Alpine wiki, “Apk spec”, “Installed Database”).

use super::database::{Packages, Unreadable};
use super::package::{Package, PackageType, SourcePackage, text};

/// Reads `/lib/apk/db/installed`. Fields of files follow those of their package, under letters of their own.
///
/// # Errors
/// If there are too many.
pub(super) fn parse(database: &[u8]) -> Result<Packages, Unreadable> {
    let mut packages = Packages::default();
    let mut fields = Fields::default();
    for line in database.split(|&b| b == b'\n') {
        match line {
            [] => packages.extend(std::mem::take(&mut fields).package())?,
            [letter, b':', value @ ..] => fields.take(*letter, value),
            _ => {}
        }
    }
    packages.extend(fields.package())?;
    Ok(packages)
}

#[derive(Default)]
struct Fields {
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    origin: Option<String>,
    license: Option<String>,
}

impl Fields {
    fn take(&mut self, letter: u8, value: &[u8]) {
        let field = match letter {
            b'P' => &mut self.name,
            b'V' => &mut self.version,
            b'A' => &mut self.architecture,
            b'o' => &mut self.origin,
            b'L' => &mut self.license,
            _ => return,
        };
        *field = Some(text(value)).filter(|v| !v.is_empty());
    }

    fn package(self) -> Option<Package> {
        let name = self.name?;
        // An origin is built as a whole, so its version is that of the package.
        let source = self.origin.filter(|origin| *origin != name);
        Some(Package {
            name,
            version: self.version.unwrap_or_default(),
            epoch: None,
            kind: PackageType::Apk,
            architecture: self.architecture,
            source: source.map(|name| SourcePackage { name, version: None }),
            license: self.license,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INSTALLED: &str = "\
C:Q11lVAM7vn9XHtyClU/ZflmqTH8EU=
P:libcrypto3
V:3.3.2-r1
A:x86_64
T:P:crypto library
L:Apache-2.0
o:openssl
F:lib
R:libcrypto.so.3
a:0:0:755

P:musl
V:1.2.5-r0
o:musl
";

    #[test]
    fn packages_and_their_origins() {
        let packages = parse(INSTALLED.as_bytes()).unwrap();
        let names: Vec<&str> = packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["libcrypto3", "musl"]);
        let crypto = &packages[0];
        assert_eq!(crypto.source.as_ref().unwrap().name, "openssl");
        assert_eq!((crypto.version.as_str(), crypto.license.as_deref()), ("3.3.2-r1", Some("Apache-2.0")));
        assert_eq!((&packages[1].source, &packages[1].architecture), (&None, &None));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>, at in 0..INSTALLED.len(), noise: [u8; 3]) {
            parse(&bytes).unwrap();
            let mut damaged = INSTALLED.as_bytes().to_vec();
            damaged.splice(at..(at + 2).min(damaged.len()), noise);
            prop_assert!(parse(&damaged).unwrap().len() <= 4);
        }
    }
}
