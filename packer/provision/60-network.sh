#!/bin/sh
# The network by systemd alone, a firewall that lets nothing out, and the registry's sockets.
set -eu

# Ubuntu's netplan writes for networkd; Debian's ifupdown would be in its way.
systemctl enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service
if systemctl cat networking.service >/dev/null 2>&1; then systemctl mask networking.service; fi

# Not Debian's nftables.service, which begins and ends by removing all rules, those of k3s too.
systemctl disable nftables.service
nft --check --file /usr/share/sealift/nftables/base.nft
systemctl enable sealift-firewall.service

# The units of the registry, of k3s and of the cluster are switched on by the first boot, in its order.
systemctl enable sealift-host.socket sealift-resume.service sealift-first-boot.service
