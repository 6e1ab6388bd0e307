#!/bin/sh
# A stand-in for the install script of k3s @VERSION@.
set -e
root=${INSTALL_K3S_BIN_DIR%/usr/local/bin}
fault=$root/faults/install mode=
[ ! -f "$fault" ] || { mode=$(cat "$fault"); rm "$fault"; }
case $mode in
fail) echo "install does not work" >&2; exit 1 ;;
before) kill -9 $PPID; exit 1 ;;
esac
[ "$INSTALL_K3S_SKIP_DOWNLOAD" = true ] && [ "$INSTALL_K3S_SKIP_START" = true ]
"$INSTALL_K3S_BIN_DIR/k3s" --version | grep -q '@VERSION@'
cat >"$INSTALL_K3S_SYSTEMD_DIR/k3s.service" <<U
[Service]
Type=notify
ExecStart=$INSTALL_K3S_BIN_DIR/k3s $INSTALL_K3S_EXEC
U
(umask 077; env | grep '^K3S_' >"$INSTALL_K3S_SYSTEMD_DIR/k3s.service.env" || true)
cat >"$INSTALL_K3S_BIN_DIR/k3s-killall.sh" <<U
#!/bin/sh
fault=$root/faults/killall mode=
[ ! -f "\$fault" ] || { mode=\$(cat "\$fault"); rm "\$fault"; }
case \$mode in
fail) echo "killall does not work" >&2; exit 1 ;;
before) kill -9 \$PPID; exit 1 ;;
esac
rm -f "$root/run/k3s.active"
[ "\$mode" != after ] || kill -9 \$PPID
U
chmod 755 "$INSTALL_K3S_BIN_DIR/k3s-killall.sh"
systemctl daemon-reload
systemctl enable k3s
[ "$mode" != after ] || kill -9 $PPID
