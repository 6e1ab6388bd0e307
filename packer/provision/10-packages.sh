#!/bin/sh
# The packages that an appliance needs beyond the bare system: from the payload, from the distribution if that is allowed, or there
# already.
set -eu

# git: the mirror. nftables: nothing leaves. open-vm-tools: VMware's seed. systemd-timesyncd: the clock.
PACKAGES='ca-certificates cloud-init e2fsprogs git nftables open-vm-tools openssh-server sudo systemd-resolved systemd-timesyncd'

missing() {
  for package in $PACKAGES; do
    # shellcheck disable=SC2016 # dpkg-query's own variable
    state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || printf '%s ' "$package"
  done
}

if ls "$SEALIFT_WORK"/packages/*.deb >/dev/null 2>&1; then
  # All of what they need has to be among them, or there: no source is asked.
  apt-get install --yes --no-install-recommends -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/dev/null \
    "$SEALIFT_WORK"/packages/*.deb
fi
if [ "$SEALIFT_OFFLINE" = false ] && [ -n "$(missing)" ]; then
  apt-get update
  # shellcheck disable=SC2046 # names of packages have no spaces
  apt-get install --yes --no-install-recommends $(missing)
fi
if [ -n "$(missing)" ]; then
  echo "these packages are missing: $(missing)" >&2
  echo 'hint: packer/prepare --packages takes a folder of them; or build with -var offline=false' >&2
  exit 1
fi
