//! Files that `age` encrypts, and the keys that open them.

use std::sync::LazyLock;

use sealift_archive::age::{self, Identity, MAX_CONTENT_BYTES, MAX_IDENTITIES};

/// Keys as `age-keygen` wrote them, for nothing else.
pub(super) const KEYS: &str = "\
# created: 2026-11-23T12:45:36Z
# public key: age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv
AGE-SECRET-KEY-1FKPG6CFLMG28A4WSZ74SACKSKNL293VMSKXR05H3P42AAUL2FJMSWJRSGX
";
const CONTENT: &[u8] = b"a receipt";

static IDENTITIES: LazyLock<Vec<Identity>> =
    LazyLock::new(|| Identity::parse_file(KEYS).expect("keys that `age-keygen` wrote"));

/// A file that is opened is one of `age`, and not larger than is read.
pub fn age_file(bytes: &[u8]) -> bool {
    let Ok(content) = age::open(&IDENTITIES, bytes) else { return false };
    assert!(age::is_sealed(bytes) && content.len() <= MAX_CONTENT_BYTES);
    true
}

/// Keys that are taken open what is encrypted for them, and do not show what they are.
pub fn identities(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(identities) = Identity::parse_file(text) else { return false };
    assert!((1..=MAX_IDENTITIES).contains(&identities.len()), "{} keys", identities.len());
    for identity in &identities {
        let sealed = age::seal(identity.recipient(), CONTENT).expect("a short text, for a good key");
        let opened = age::open(std::slice::from_ref(identity), &sealed);
        assert!(opened.is_ok_and(|content| content == CONTENT), "{identity:?} does not fit itself");
        assert!(
            !format!("{identity:?}").to_ascii_lowercase().contains("age-secret-key"),
            "a secret is shown"
        );
    }
    true
}
