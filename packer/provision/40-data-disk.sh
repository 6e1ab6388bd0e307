#!/bin/sh
# Where the data disk is mounted. The disk itself comes with the appliance; sealift-data.service looks at it at each start.
set -eu

FSTAB=/usr/share/sealift/fstab

if ! grep -q '^LABEL=sealift-data' /etc/fstab; then
  cat "$FSTAB" >>/etc/fstab
fi
awk '$1 ~ /^(LABEL=|\/)/ { print $2 }' "$FSTAB" | while read -r folder; do
  mkdir -p "$folder"
  # What lay there would be hidden, and be lost with the next system disk.
  if [ -n "$(ls -A "$folder")" ]; then
    echo "\`$folder\` is for the data disk, but holds something" >&2
    exit 1
  fi
done
