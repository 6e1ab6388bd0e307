"""The documents (FORMAT.md 3): JSON that can be read in one way only."""

import json
from typing import Any

import words
from refused import Refused, expect
from words import digest, list_of, map_of, number, record, sequence, size, text

KIB = 1024

BLOB = record({"digest": digest, "size": size})
DESCRIPTOR = record(
    {"mediaType": text, "digest": digest, "size": size},
    {"artifactType": text, "annotations": map_of(text, text)},
)
REQUIRES = list_of(record({"feature": text, "since": text}))
META = {"apiVersion": text, "kind": text}

STATEMENT = record(
    META
    | {
        "product": words.product,
        "version": words.version,
        "sequence": sequence,
        "floor": sequence,
        "platforms": list_of(words.platform),
        "upgradeFrom": list_of(words.version),
        "blobList": record({"digest": digest, "count": size, "contentBytes": size}),
        "refs": BLOB,
    },
    {
        "kubernetes": record({"distribution": text, "version": words.version}),
        "os": record({"base": text}, {"artifacts": map_of(words.file_name, BLOB)}),
        "waivers": list_of(record({"name": words.line, "reason": words.line, "until": words.day})),
        "requires": REQUIRES,
    },
)

REFS = record(
    META
    | {
        "images": map_of(words.reference, DESCRIPTOR, words.reference_order),
        "manifests": map_of(digest, record({"mediaType": text, "size": size})),
    },
    {
        "referrers": map_of(digest, list_of(DESCRIPTOR)),
        "aliases": map_of(words.sha512, digest),
        "files": map_of(words.file_name, DESCRIPTOR),
        "git": map_of(
            words.repository,
            record({"head": text, "refs": map_of(words.git_ref, words.object_id), "packs": list_of(digest)}),
        ),
    },
)

PACKING = record(
    META
    | {
        "format": number(1, 1),
        "statements": list_of(digest),
        "length": number(0, 1 << 50),
        "dataOffset": size,
        "pages": list_of(record({"offset": size, "length": size, "plainLength": size, "digest": digest})),
    },
    {
        "requires": REQUIRES,
        "needs": list_of(
            record(
                {
                    "statement": digest,
                    "product": words.product,
                    "version": words.version,
                    "sequence": sequence,
                }
            )
        ),
    },
)

ROLE = record({"threshold": number(1, 1 << 32), "keys": list_of(words.key_id)})
TRUST_ROOT = record(
    META
    | {
        "version": sequence,
        "keys": map_of(words.key_id, text),
        "roles": record({"root": ROLE, "release": ROLE, "pack": ROLE}, {"channel": ROLE}),
    }
)


def parse(name: str, data: bytes, limit: int, kind: str, check: words.Check) -> dict:
    """Reads a document of this kind."""
    try:
        expect(len(data) <= limit, f"it is larger than {limit} bytes")
        value = strict_json(data)
        expect(isinstance(value, dict), "it is no object")
        for wanted in value.get("requires", []):
            raise Refused(f"it needs {wanted}, which is not known here")
        expect(value.get("apiVersion") == "sealift/v1" and value.get("kind") == kind, f"it is no {kind}")
        return check(value)
    except Refused as refused:
        raise Refused(f"`{name}`: {refused}") from None


def strict_json(data: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict:
        found = dict(pairs)
        expect(len(found) == len(pairs), "a key stands twice in one object")
        return found

    def never(what: str) -> None:
        raise Refused(f"`{what}` is no number of these documents")

    def natural(digits: str) -> int:
        expect(digits.isdigit() and len(digits) <= 20, f"`{digits}` is no number of these documents")
        return int(digits)

    try:
        value = json.loads(
            data.decode(), object_pairs_hook=once, parse_int=natural, parse_float=never, parse_constant=never
        )
        # Half a surrogate pair is no text.
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):
        raise Refused("it is no JSON in UTF-8") from None


def parse_refs(name: str, data: bytes) -> dict:
    """Reads refs.json, of which there is one form."""
    refs = parse(name, data, 16 * KIB * KIB, "Refs", REFS)
    one_form = json.dumps(refs, indent=2, ensure_ascii=False) + "\n"
    expect(one_form.encode() == data, f"`{name}` is not in its one form")
    names = [file.lower() for file in refs.get("files", {})]
    expect(len(names) == len(set(names)), f"`{name}` has files that differ only in case")
    for repository in refs.get("git", {}).values():
        expect(repository["head"] in repository["refs"], f"`{name}` has a HEAD that leads nowhere")
    return refs


def parse_blob_list(name: str, data: bytes) -> dict[str, int]:
    """The blobs of a release: digest and size."""
    blobs: dict[str, int] = {}
    try:
        lines = data.decode("ascii").split("\n")
        expect(lines.pop() == "", "its last line does not end")
        before = ""
        for line in lines:
            found, _, number = line.partition(" ")
            expect(number.isdigit() and str(int(number)) == number, "a size is no number")
            expect(digest(found) > before, "it is not sorted, or has a blob twice")
            blobs[found] = size(int(number))
            before = found
        return blobs
    except (Refused, ValueError) as refused:
        raise Refused(f"`{name}`: {refused}") from None
