"""Who may sign (FORMAT.md 3.3, 3.4)."""

import base64
import binascii
import hashlib

import documents
import ecdsa_p256
from documents import KIB
from refused import Refused, expect

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# More signatures over one document are not looked at.
MAX_TRIED = 64


class Signatures:
    """All signatures that came along: hexadecimal SHA-256 of a document → bundles, by name."""

    def __init__(self) -> None:
        self.bundles: dict[str, list[bytes]] = {}

    def add(self, document: str, bundle: bytes) -> None:
        expect(len(bundle) <= 16 * KIB, "a signature is too large")
        self.bundles.setdefault(document, []).append(bundle)

    def signers(self, document: bytes, keys: dict[str, bytes]) -> set[str]:
        """Which of these keys signed a document: what a bundle says about its key is not believed."""
        digest = hashlib.sha256(document)
        found: set[str] = set()
        for bundle in self.bundles.get(digest.hexdigest(), [])[:MAX_TRIED]:
            signature = signature_of(bundle)
            for key_id in keys.keys() - found:
                if ecdsa_p256.verifies(keys[key_id], digest.digest(), signature):
                    found.add(key_id)
                    break
        return found


def signature_of(bundle: bytes) -> bytes:
    """The signature in a bundle; nothing, which is nobody's signature, if it is no such bundle."""
    try:
        value = documents.strict_json(bundle)
        material, message = value["verificationMaterial"], value["messageSignature"]
        if value["mediaType"] == BUNDLE and isinstance(material["publicKey"]["hint"], str):
            return base64.b64decode(message["signature"], validate=True)
    except (Refused, LookupError, TypeError, ValueError, binascii.Error):
        pass
    return b""


class Root:
    """A version of the trust root."""

    def __init__(self, name: str, data: bytes) -> None:
        document = documents.parse(name, data, 64 * KIB, "TrustRoot", documents.TRUST_ROOT)
        self.name, self.data, self.version = name, data, document["version"]
        self.keys: dict[str, bytes] = {}
        for key_id, pem in document["keys"].items():
            spki = ecdsa_p256.spki_of_pem(pem)
            expect(spki and hashlib.sha256(spki).hexdigest() == key_id, f"`{name}`: key {key_id} is another key")
            self.keys[key_id] = spki
        self.roles: dict[str, tuple[int, dict[str, bytes]]] = {}
        for role, entry in document["roles"].items():
            members = set(entry["keys"])
            expect(members <= self.keys.keys(), f"`{name}`: role {role} has a key that is not there")
            expect(entry["threshold"] <= len(members), f"`{name}`: role {role} wants more keys than it has")
            self.roles[role] = entry["threshold"], {key_id: self.keys[key_id] for key_id in members}
        others = {key_id for role, (_, keys) in self.roles.items() if role != "root" for key_id in keys}
        expect(not others & self.roles["root"][1].keys(), f"`{name}`: a root key has another role")

    def check(self, name: str, document: bytes, role: str, signatures: Signatures) -> None:
        """Makes sure that enough keys of a role signed exactly these bytes."""
        threshold, keys = self.roles[role]
        have = len(signatures.signers(document, keys))
        expect(have >= threshold, f"`{name}` has {have} of {threshold} signatures of role {role}")


def follow(roots: dict[int, Root], trusted: bytes, signatures: Signatures) -> Root:
    """The newest root that follows from the one that is trusted."""
    expect(roots and len(roots) == max(roots) - min(roots) + 1, "a version of the trust root is left out")
    newest = Root("the trusted root", trusted)
    same = roots.get(newest.version)
    expect(same and same.data == trusted, "it is of another vendor")
    newest.check(same.name, trusted, "root", signatures)
    while following := roots.get(newest.version + 1):
        for judge in (newest, following):
            judge.check(following.name, following.data, "root", signatures)
        newest = following
    return newest
