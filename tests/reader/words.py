"""The words and numbers in documents (FORMAT.md 3): what each may be. A check gives its value back, or refuses it."""

import re
from collections.abc import Callable
from typing import Any

from refused import Refused, expect

Check = Callable[[Any], Any]

MAX_SEQUENCE = (1 << 53) - 1


def matching(what: str, pattern: str, forbidden: str = "") -> Check:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> str:
        fits = isinstance(value, str) and compiled.fullmatch(value) and not (forbidden and re.search(forbidden, value))
        expect(fits, f"{value!r} is not {what}")
        return value

    return check


def number(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        expect(type(value) is int and low <= value <= high, f"{value!r} is not a number from {low} to {high}")
        return value

    return check


def list_of(item: Check) -> Check:
    def check(value: Any) -> list:
        expect(isinstance(value, list), "this should be a list")
        return [item(each) for each in value]

    return check


def map_of(key: Check, item: Check, order: Callable[[str], Any] = str) -> Check:
    """An object whose keys are words; what comes back is sorted."""

    def check(value: Any) -> dict:
        expect(isinstance(value, dict), "this should be an object")
        return {key(name): item(value[name]) for name in sorted(value, key=lambda name: order(key(name)))}

    return check


def record(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """An object with just these keys; what comes back has them in this order, without what is optional and empty."""
    optional = optional or {}
    fields = required | optional

    def check(value: Any) -> dict:
        expect(isinstance(value, dict), "this should be an object")
        expect(required.keys() <= value.keys(), f"{sorted(required.keys() - value.keys())} are missing")
        expect(value.keys() <= fields.keys(), f"{sorted(value.keys() - fields.keys())} are unknown")
        found = {}
        for name in (name for name in fields if name in value):
            try:
                found[name] = fields[name](value[name])
            except Refused as refused:
                raise Refused(f"`{name}`: {refused}") from None
        return {name: each for name, each in found.items() if each or name not in optional}

    return check


def reference(value: Any) -> str:
    """A complete reference: host, repository, and a tag, a digest or both."""
    parts = isinstance(value, str) and REFERENCE.fullmatch(value)
    expect(parts, f"{value!r} is not a complete reference")
    host, repository = parts["host"], parts["repository"]
    expect(len(host) + 1 + len(repository) <= 255, f"{value!r} is too long")
    looks_like_host = re.search("[.:A-Z]", host) or host == "localhost"
    expect(looks_like_host and host != "index.docker.io", f"{value!r} has no registry")
    expect(host != "docker.io" or "/" in repository, f"{value!r} is not complete")
    expect(parts["tag"] or parts["digest"], f"{value!r} has neither a tag nor a digest")
    return value


def reference_order(value: str) -> tuple:
    """What references are sorted by."""
    parts = REFERENCE.fullmatch(value)
    digest = parts["digest"] or ""
    return parts["host"], parts["repository"], parts["tag"] or "", len(digest), digest


LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
COMPONENT = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
REFERENCE = re.compile(
    f"(?P<host>({LABEL}(\\.{LABEL})*|\\[[0-9A-Fa-f:]+\\])(:[0-9]+)?)"
    f"/(?P<repository>{COMPONENT}(/{COMPONENT})*)"
    "(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    "(@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)

text = matching("text", "(?s:.*)")
line = matching("a line of text", r"[^\x00-\x1f\x7f-\x9f]{1,300}")
day = matching("a day", r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
digest = matching("a digest", "sha256:[0-9a-f]{64}")
sha512 = matching("a SHA-512 digest", "sha512:[0-9a-f]{128}")
key_id = matching("a key id", "[0-9a-f]{64}")
object_id = matching("a Git object", "[0-9a-f]{40}")
size = number(0, (1 << 64) - 1)
sequence = number(1, MAX_SEQUENCE)
product = matching("a product", "[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", r"\.\.")
version = matching("a version", "[A-Za-z0-9]([A-Za-z0-9.+_-]{0,61}[A-Za-z0-9])?", r"\.\.")
repository = matching("a repository", "[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", r"\.\.|\.git$")
platform = matching(
    "a platform",
    "W(/W){1,2}".replace("W", "[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?"),
    r"\.\.",
)
file_name = matching("a file name", r"(?=.{1,255}$)W(/W)*".replace("W", "[A-Za-z0-9_+=@~,][A-Za-z0-9._+=@~,-]*"))
git_ref = matching(
    "a ref",
    r"refs(/[!-.0-~]+)+",
    r"[~^:?*\[\\]|@\{|\.\.|/\.|\.(/|$)|\.lock(/|$)",
)
