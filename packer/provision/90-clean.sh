#!/bin/sh
# Takes out all that is of this build and not of the image. `packer/scan` looks at the finished disk for what was forgotten.
set -eu

apt-get clean
rm -rf "$SEALIFT_WORK" /var/lib/apt/lists/*

# What cloud-init knows of this machine, and what the installer left to it: with that, the first boot would find no seed.
cloud-init clean --logs --machine-id --seed
rm -f /etc/cloud/cloud.cfg.d/*installer* /etc/cloud/cloud.cfg.d/50-curtin-networking.cfg \
  /etc/cloud/cloud.cfg.d/20-disable-cc-dpkg-grub.cfg /etc/cloud/ds-identify.cfg /etc/cloud/cloud-init.disabled \
  /etc/netplan/* /etc/sudoers.d/90-cloud-init-users
rm -rf /var/log/installer /var/lib/cloud /run/cloud-init /autoinstall-user-data /root/snap

# What every machine makes for itself.
printf 'uninitialized\n' >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/credential.secret
rm -f /var/lib/dhcp/* /var/lib/systemd/network/* /etc/nvme/hostid /etc/nvme/hostnqn
if [ -e /etc/iscsi/initiatorname.iscsi ]; then echo 'GenerateName=yes' >/etc/iscsi/initiatorname.iscsi; fi
printf 'localhost\n' >/etc/hostname

# The rest is done when Packer asks for the end, by a script in memory: from then on nobody can log in, and nothing may be
# written that a stopping service would write.
cat >/run/sealift-last-step <<END
set -eu
builder='$SEALIFT_BUILDER'
END
cat >>/run/sealift-last-step <<'END'
systemctl stop systemd-random-seed.service rsyslog.service syslog.socket 2>/dev/null || true
journalctl --relinquish-var 2>/dev/null || true
if [ "$builder" != root ]; then userdel --force --remove "$builder" 2>/dev/null || true; fi
rm -f /etc/sudoers.d/90-build /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /boot/efi/loader/random-seed
rm -rf /root/.ssh /root/.cache /root/.bash_history /root/.viminfo /root/.lesshst /root/.wget-hsts /var/lib/sudo
find /var/log -type f -delete
rm -rf /var/log/journal/* /tmp/* /var/tmp/* /var/crash/*
fstrim --all || true
sync
# Without the services' own endings, which write logs and seeds; file systems are unmounted all the same.
systemctl poweroff --force
END
