//! Provenance files: which archive somebody signed (Helm's documentation, "Provenance and integrity").
//!
//! A `.prov` file is a PGP cleartext message (RFC 4880, 7) with `Chart.yaml`, a line `...`, and the digests of files.
//! Here it is only seen to that the digest is that of the archive beside it, so that a pair which cannot belong
//! together is not carried. Whose signature it is, and whether it is good, is checked by `helm verify` with a keyring.

use std::collections::BTreeMap;

use serde::Deserialize;

use sealift_archive::Digest;

use super::yaml;
use crate::{Error, chart};

/// Largest provenance file, in bytes: `Chart.yaml` again, and a signature.
pub(super) const MAX_PROVENANCE_BYTES: u64 = 2 << 20;

const MESSAGE_BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE_BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
/// What stands between `Chart.yaml` and the digests.
const DIVISION: &str = "...";

#[derive(Deserialize)]
struct Digests {
    files: BTreeMap<String, String>,
}

/// Refuses a provenance file that is about another archive; `name` names it in errors.
///
/// # Errors
/// [`chart::Error::Provenance`] with both digests, or [`chart::Error::BadChart`] if it is no provenance file.
pub(super) fn check(name: &str, provenance: &[u8], tgz: &[u8]) -> Result<(), Error> {
    let files = digests(name, provenance)?;
    let found = Digest::of(tgz).to_string();
    if files.values().any(|digest| *digest == found) {
        return Ok(());
    }
    let says =
        files.iter().map(|(file, digest)| format!("{digest} for {file}")).collect::<Vec<_>>().join(", ");
    Err(chart::Error::Provenance { file: name.to_owned(), says: yaml::clean(&says), found }.into())
}

fn digests(name: &str, provenance: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    let refuse = |why: &str| {
        Error::from(chart::Error::BadChart {
            chart: name.to_owned(),
            why: format!("it is no provenance file: {why}"),
        })
    };
    let text = str::from_utf8(provenance).map_err(|_| refuse("it is not text"))?;
    let mut lines = text.lines().map(str::trim_end);
    lines.find(|line| *line == MESSAGE_BEGIN).ok_or_else(|| refuse("nothing in it is signed"))?;
    // Armor headers end with an empty line.
    lines.find(|line| line.is_empty()).ok_or_else(|| refuse("nothing in it is signed"))?;
    let mut signed = lines.by_ref().take_while(|line| *line != SIGNATURE_BEGIN);
    signed.find(|line| *line == DIVISION).ok_or_else(|| refuse("it names no digests"))?;
    // A signed line that begins with a dash has `- ` in front (RFC 4880, 7.1).
    let sums: String = signed
        .map(|line| line.strip_prefix("- ").unwrap_or(line))
        .take_while(|line| *line != DIVISION)
        .flat_map(|line| [line, "\n"])
        .collect();
    let digests: Digests = yaml::parse(name, sums.as_bytes())?;
    if digests.files.is_empty() {
        return Err(refuse("it names no digests"));
    }
    Ok(digests.files)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(digest: &str) -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\napiVersion: v2\nname: web\nversion: 1.0.0\n\n...\n\
             files:\n  web-1.0.0.tgz: {digest}\n-----BEGIN PGP SIGNATURE-----\n\nwsBcBAEBCgAQBQJ\n=abcd\n\
             -----END PGP SIGNATURE-----\n"
        )
    }

    #[test]
    fn a_provenance_file_belongs_to_one_archive() {
        let tgz = b"an archive";
        let digest = Digest::of(tgz).to_string();
        let good = file(&digest);
        check("web.prov", good.as_bytes(), tgz).unwrap();
        check("web.prov", good.replace('\n', "\r\n").as_bytes(), tgz).unwrap();
        let dashed = good.replace("name: web\n", "name: web\nkeywords:\n- - a\n");
        check("web.prov", dashed.as_bytes(), tgz).unwrap();

        let said = check("web.prov", good.as_bytes(), b"another").unwrap_err().to_string();
        assert!(said.contains(&digest) && said.contains(&Digest::of(b"another").to_string()), "{said}");
        assert!(said.contains("web.prov") && said.contains("web-1.0.0.tgz"), "{said}");
    }

    #[test]
    fn what_is_no_provenance_file_is_said_to_be_none() {
        let good = file(&Digest::of(b"x").to_string());
        let cases = [
            ("<html></html>".to_owned(), "nothing in it is signed"),
            (good.replace("BEGIN PGP SIGNED", "BEGIN PGP"), "nothing in it is signed"),
            (good.replace("\n...\n", "\n"), "names no digests"),
            (good.replace("...\nfiles", "...\nimages"), "missing field `files`"),
            (good.replace("  web-1.0.0.tgz", "web-1.0.0.tgz"), "web.prov"),
            (good.replace("files:\n  web-1.0.0.tgz: ", "files: {}\n# "), "names no digests"),
            // What stands behind the signature is signed by nobody.
            (
                format!("{}...\nfiles:\n  x: {}\n", good.replace("...\n", ""), Digest::of(b"x")),
                "names no digests",
            ),
        ];
        for (text, expected) in cases {
            let said = check("web.prov", text.as_bytes(), b"x").unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(check("web.prov", b"\xff", b"x").is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..200_usize) {
            let _ = check("x", &bytes, b"");
            let mut text = file("sha256:00").into_bytes();
            text.splice(at..at, bytes);
            let _ = check("x", &text, b"");
        }
    }
}
