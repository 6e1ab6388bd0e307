#!/bin/sh
# The kernel has what k3s needs, now and at the next start.
set -eu

# k3s, flannel, kube-proxy; the default route; our firewall; the data disk; sticks.
MODULES='overlay br_netfilter nf_conntrack vxlan veth bridge ip_tables xt_conntrack xt_comment xt_MASQUERADE nf_tables nft_ct
nft_reject_inet dummy ext4 vfat exfat isofs'

absent=''
for module in $MODULES; do
  modprobe --dry-run "$module" 2>/dev/null || absent="$absent $module"
done
if [ -n "$absent" ]; then
  echo "this kernel ($(uname -r)) lacks:$absent" >&2
  exit 1
fi

# What these files say is what k3s will find.
systemctl restart systemd-modules-load.service systemd-sysctl.service
sed -n 's/^\([a-z0-9._-]*\) = \(.*\)$/\1 \2/p' /usr/lib/sysctl.d/90-sealift.conf | while read -r key value; do
  if [ "$(sysctl -n "$key")" != "$value" ]; then
    echo "$key is $(sysctl -n "$key"), and should be $value" >&2
    exit 1
  fi
done
