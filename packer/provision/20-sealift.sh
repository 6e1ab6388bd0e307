#!/bin/sh
# Sealift itself: programs, units, settings, trust root and releases, as packer/prepare has laid them out.
set -eu

# What is a link here (/lib, /usr/sbin) stays one.
tar -C "$SEALIFT_WORK/root" -cf - . | tar -C / --no-overwrite-dir --keep-directory-symlink --no-same-owner -xf -

sealiftctl --version
sealift-registry --version
