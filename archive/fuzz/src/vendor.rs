//! A vendor whose keys are public: they sign seeds and nothing else, and seeds stay good because the keys stay the same.

use std::sync::LazyLock;

use sealift_archive::Error;
use sealift_archive::trust::{RoleName, RootChain, SecretKey, Signature, TrustRoot};

/// Signs trust roots.
const ROOT_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEj59Q5euCM7KwE2E
xw1GXWNg6KlDDHH4N59powi6AY2hRANCAARHX7Lddp+hMhVsJ92pwuRB+gB1G4CY
OYjH3mJ/i1FrdXjXJxlujjB497DhyJmgypemABD0KaoSQoDLzyWLR0sR
-----END PRIVATE KEY-----
";
/// Signs everything else.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgy5/NKuG8HWFLnuPJ
LJfjaIhTULrb1hDO41B5UCLWoI6hRANCAATUDJsYFbzwcAmxlrZaXSMHz0dTl1L5
DjMyVhlEl/Yc/ZDk3CLR5IY4Warhf84XJlizZU5z4kYtPmVKaEleVjmH
-----END PRIVATE KEY-----
";

/// The vendor whom the reader trusts.
pub(super) static VENDOR: LazyLock<Vendor> = LazyLock::new(Vendor::new);

/// A vendor with a key for trust roots and one for everything else.
pub(super) struct Vendor {
    pub(super) key: SecretKey,
    pub(super) root: TrustRoot,
    /// The signature over the root.
    pub(super) root_signature: Signature,
}

impl Vendor {
    fn new() -> Self {
        let open = |pem: &str| SecretKey::from_pem("a key", pem.as_bytes(), || Ok::<_, Error>(Vec::new()));
        let (root_key, key) = (open(ROOT_KEY).expect("a key"), open(KEY).expect("a key"));
        let members = [(RoleName::Root, &root_key), (RoleName::Release, &key), (RoleName::Pack, &key)]
            .map(|(role, key)| (role, vec![key.public().clone()]));
        let root = TrustRoot::first(&members.into()).expect("a trust root");
        let root_signature = Signature::sign(root.bytes(), &root_key).expect("a signature");
        Self { key, root, root_signature }
    }

    pub(super) fn sign(&self, document: &[u8]) -> Signature {
        Signature::sign(document, &self.key).expect("a signature")
    }

    /// The chain of roots, with nothing in it but the first.
    pub(super) fn roots(&self) -> RootChain {
        let mut roots = RootChain::default();
        roots.insert("root.json", self.root.clone()).expect("an empty chain has room");
        roots
    }
}
