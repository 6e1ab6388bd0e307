//! A vendor for tests, with a key for each role; none of them costs a password.

use sigstore_crypto::KeyPair;

use super::{PublicKey, RoleName, SecretKey, Signature, TrustRoot};

pub(crate) struct Vendor {
    pub(crate) root: SecretKey,
    pub(crate) release: SecretKey,
    pub(crate) pack: SecretKey,
    pub(crate) trust: TrustRoot,
}

impl Vendor {
    pub(crate) fn new() -> Self {
        let [root, release, pack] = [(); 3].map(|()| fresh());
        let members = [(RoleName::Root, &root), (RoleName::Release, &release), (RoleName::Pack, &pack)];
        let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
        let trust = TrustRoot::first(&members.into()).unwrap();
        Self { root, release, pack, trust }
    }
}

/// A new key.
pub(crate) fn fresh() -> SecretKey {
    let pair = KeyPair::generate_ecdsa_p256().unwrap();
    let public = PublicKey::from_spki(pair.public_key_der().unwrap()).unwrap();
    SecretKey { pair, public }
}

pub(crate) fn sign(document: &[u8], key: &SecretKey) -> Signature {
    Signature::sign(document, key).unwrap()
}
