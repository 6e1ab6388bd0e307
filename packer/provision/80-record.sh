#!/bin/sh
# What this image is made of: a build record, and its packages as CycloneDX 1.6. Both stay in the image, and go to whoever builds.
set -eu

OUT=${SEALIFT_RECORD:-/usr/share/sealift/image}
PROGRAMS='sealiftctl sealift-registry'

main() {
  SEALIFT_COMMIT=unknown
  # shellcheck disable=SC1091 # packer/prepare writes it
  . "$SEALIFT_WORK/build.env"
  # shellcheck disable=SC1091 # every system has it
  . /etc/os-release
  mkdir -p "$OUT"
  packages >"$OUT/packages.cdx.json"
  record >"$OUT/build.json"
}

record() {
  cat <<END
{
  "schema": "sealift/image/v1",
  "recorded": "$(date --utc +%Y-%m-%d)",
  "commit": $(text "$SEALIFT_COMMIT"),
  "os": {"id": $(text "$ID"), "version": $(text "${VERSION_ID-}"), "name": $(text "${PRETTY_NAME-}")},
  "kernel": $(text "$(uname -r)"),
  "architecture": $(text "$(dpkg --print-architecture)"),
  "from": {"url": $(text "${SEALIFT_FROM-}"), "checksum": $(text "${SEALIFT_FROM_CHECKSUM-}")},
  "packageSources": [$(package_sources | list)],
  "packages": {"count": $(installed | wc -l), "sha256": "$(digest "$OUT/packages.cdx.json")"},
  "programs": [$(for program in $PROGRAMS; do program "$program"; done | paste -sd,)],
  "files": [$(carried | paste -sd,)]
}
END
}

# Where packages come from, as it is configured, with no word of who was let in there.
package_sources() {
  {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}//p'
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *//p'
  } | sed 's,//[^/@]*@,//,' | sort -u
}

program() {
  path=$(command -v "$1" || true)
  [ -n "$path" ] || return 0
  printf '{"name": %s, "version": %s, "sha256": "%s"}\n' "$(text "$1")" "$(text "$("$path" --version)")" "$(digest "$path")"
}

# The trust root and the releases.
carried() {
  find /usr/share/sealift/trust /usr/share/sealift/releases -type f 2>/dev/null | sort | while read -r path; do
    printf '{"path": %s, "sha256": "%s"}\n' "$(text "$path")" "$(digest "$path")"
  done
}

installed() {
  # shellcheck disable=SC2016 # dpkg-query's own variables
  dpkg-query --show --showformat \
    '${db:Status-Status}|${Package}|${Version}|${Architecture}|${source:Package}|${source:Version}\n' |
    sed -n 's/^installed|//p' | LC_ALL=C sort
}

# Package URLs are spelled as in `sealift sbom`: with the source package where it has another name or version.
packages() {
  printf '{\n  "bomFormat": "CycloneDX",\n  "specVersion": "1.6",\n  "version": 1,\n'
  printf '  "metadata": {"component": {"type": "operating-system", "name": "%s", "version": "%s"}},\n' "$ID" "${VERSION_ID-}"
  printf '  "components": [\n'
  installed | awk -F'|' -v id="$ID" -v release="${VERSION_ID-}" '
    function quoted(s) { gsub(/%/, "%25", s); gsub(/\+/, "%2B", s); gsub(/:/, "%3A", s); return s }
    {
      purl = "pkg:deb/" id "/" quoted($1) "@" quoted($2) "?arch=" $3 "&distro=" id "-" release
      if ($4 != $1 || $5 != $2) purl = purl "&upstream=" quoted($4) ($5 != $2 ? "%40" quoted($5) : "")
      printf "%s    {\"type\": \"library\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"}", \
        (NR > 1 ? ",\n" : ""), purl, $1, $2, purl
    }
    END { printf "\n" }'
  printf '  ]\n}\n'
}

digest() { sha256sum <"$1" | cut -d' ' -f1; }

# A string of JSON.
text() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }

# Lines as strings of JSON, with commas between them.
list() {
  while read -r line; do
    text "$line"
    echo
  done | paste -sd,
}

main
