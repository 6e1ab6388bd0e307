//! Lies about who made the archive.

use sealift_archive::trust::{SecretKey, Signature};
use serde_json::json;

use super::{Case, head};
use crate::forge::{HONEST, Keys, Lies, STRANGER, root};
use crate::tar_member::Member;

/// Puts what `signer` signed there as a signature of `said` over `document`.
fn add_signature(members: &mut Vec<Member>, document: &[u8], said: &SecretKey, signed: Signature) {
    let name = Signature::sign(document, said).unwrap().path();
    members.push(Member::new(&format!("signatures/{name}"), signed.bundle));
    sort_signatures(members);
}

fn sort_signatures(members: &mut [Member]) {
    let first = members.iter().position(|member| member.name().starts_with("signatures/")).unwrap();
    members[first..].sort_by_key(Member::name);
}

/// A second version of the trust root, in which a stranger may sign everything.
fn bring_a_root(members: &mut Vec<Member>, signers: &[&SecretKey]) {
    let mut document: serde_json::Value = serde_json::from_slice(root(&STRANGER).bytes()).unwrap();
    document["version"] = 2.into();
    let bytes = sealift_archive::json::to_document(&document);
    members.insert(3, Member::new("root/2.json", bytes.clone()));
    for signer in signers {
        add_signature(members, &bytes, signer, Signature::sign(&bytes, &**signer).unwrap());
    }
}

const fn signers(
    name: &'static str,
    code: u16,
    release_signers: fn(&Keys) -> Vec<&SecretKey>,
    pack_signers: fn(&Keys) -> Vec<&SecretKey>,
) -> Case {
    Case { name, code, lies: Lies { release_signers, pack_signers, ..HONEST } }
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "another-vendor", code: 115, lies: Lies { vendor: || &STRANGER, ..HONEST } },
    signers("nobody-packed-it", 114, HONEST.release_signers, |_| vec![]),
    signers("a-stranger-packed-it", 114, HONEST.release_signers, |_| vec![&STRANGER.pack]),
    signers("a-release-key-packed-it", 158, HONEST.release_signers, |keys| vec![&keys.release[0]]),
    signers("nobody-released-it", 114, |_| vec![], HONEST.pack_signers),
    signers("one-of-two-released-it", 114, |keys| vec![&keys.release[0]], HONEST.pack_signers),
    signers("the-packer-released-it", 158, |keys| vec![&keys.release[0], &keys.pack], HONEST.pack_signers),
    Case {
        name: "one-key-released-it-twice",
        code: 157,
        lies: Lies {
            release_signers: |keys| vec![&keys.release[0]],
            head: |keys, members| {
                let document = members[1].content.clone();
                let again = Signature::sign(&document, &keys.release[0]).unwrap();
                add_signature(members, &document, &keys.release[1], again);
            },
            ..HONEST
        },
    },
    Case {
        name: "signature-over-other-bytes",
        code: 156,
        lies: Lies {
            pack_signers: |_| vec![],
            head: |keys, members| {
                let document = members[0].content.clone();
                let elsewhere = Signature::sign(b"something else", &keys.pack).unwrap();
                add_signature(members, &document, &keys.pack, elsewhere);
            },
            ..HONEST
        },
    },
    head("statement-was-changed", 114, |_, members| {
        let changed = String::from_utf8(members[1].content.clone()).unwrap().replace("1.0", "1.1");
        members[1] = Member::new("releases/3/release.json", changed);
    }),
    head("root-that-a-stranger-signed", 114, |_, members| bring_a_root(members, &[&STRANGER.root])),
    head("root-that-no-owner-signed", 114, |keys, members| bring_a_root(members, &[&keys.root])),
    head("root-without-a-threshold", 107, |_, members| {
        let mut document: serde_json::Value = serde_json::from_slice(&members[2].content).unwrap();
        document["roles"]["pack"] = json!({"threshold": 0, "keys": []});
        members[2] = Member::new("root/1.json", document.to_string());
    }),
    head("root-key-with-another-role", 122, |_, members| {
        let mut document: serde_json::Value = serde_json::from_slice(&members[2].content).unwrap();
        document["roles"]["pack"] = document["roles"]["root"].clone();
        members[2] = Member::new("root/1.json", document.to_string());
    }),
    head("root-left-out", 107, |_, members| {
        let mut document: serde_json::Value = serde_json::from_slice(&members[2].content).unwrap();
        document["version"] = 3.into();
        members.insert(3, Member::new("root/3.json", document.to_string()));
    }),
    head("root-under-another-number", 107, |_, members| {
        members[2] = members[2].clone().named(b"root/2.json");
    }),
];
