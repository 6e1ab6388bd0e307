#!/bin/sh
# Nothing that calls home, changes packages by itself, or listens without having been asked to.
set -eu

# Masked, also where they are not installed: so they stay quiet if something brings them in.
systemctl mask \
  apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service unattended-upgrades.service \
  snapd.service snapd.socket snapd.seeded.service snapd.refresh.timer \
  motd-news.timer motd-news.service update-notifier-download.timer update-notifier-motd.timer \
  ua-timer.timer ua-reboot-cmds.service ubuntu-advantage.service esm-cache.service apt-news.service \
  fwupd-refresh.timer fwupd.service apport.service whoopsie.service popularity-contest.timer

if [ -e /etc/default/motd-news ]; then sed -i 's/^ENABLED=.*/ENABLED=0/' /etc/default/motd-news; fi
for script in 10-help-text 50-motd-news 85-fwupd 88-esm-announce 90-updates-available 91-contract-ua-esm-status; do
  if [ -e "/etc/update-motd.d/$script" ]; then chmod a-x "/etc/update-motd.d/$script"; fi
done

# Nobody logs in over the network until a seed brings a key.
for unit in ssh.service ssh.socket; do
  if systemctl cat "$unit" >/dev/null 2>&1; then systemctl disable "$unit"; fi
done
