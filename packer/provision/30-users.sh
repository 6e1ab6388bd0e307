#!/bin/sh
# The user that everything runs as, with the number that the store on the data disk belongs to.
set -eu

SEALIFT_UID=800

systemd-sysusers
if [ "$(id -u sealift)" != "$SEALIFT_UID" ]; then
  echo "user sealift has number $(id -u sealift), and not $SEALIFT_UID: a data disk of another image would not be its own" >&2
  exit 1
fi
