#!/usr/bin/env bash
# Remove the street-sound node's service and software. Harmless when run again. What is done is said.
#
# Usage: sudo ./uninstall.sh [--purge] [--root DIR]
#   --purge     also remove configuration, passwords and everything recorded
#   --root DIR  remove below DIR and say which commands would run
#
# What the node retained at the broker stays there; before this: systemctl stop soundclr-edge, then
# sudo soundclr-edge retire
set -euo pipefail

purge=no root=""
while [ $# -gt 0 ]; do
    case $1 in
    --purge) purge=yes ;;
    --root)
        root=${2:?--root without a value}
        shift
        ;;
    *)
        echo "uninstall: unknown option $1; see the head of $0" >&2
        exit 2
        ;;
    esac
    shift
done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || { echo "uninstall: not root; expected: sudo $0" >&2 && exit 2; }

say() { echo "uninstall: $*"; }

run() {
    if [ -n "$root" ]; then say "would run: $*"; else "$@"; fi
}

drop() {
    local path
    for path in "$@"; do
        [ -e "$root$path" ] || [ -L "$root$path" ] || continue
        say "removing $root$path"
        rm -rf "$root$path"
    done
}

if [ -e "$root/etc/systemd/system/soundclr-edge.service" ]; then
    run systemctl -q disable --now soundclr-edge
fi
drop /etc/systemd/system/soundclr-edge.service /etc/systemd/system/soundclr-edge.service.d \
    /usr/lib/tmpfiles.d/soundclr-edge.conf /usr/lib/sysusers.d/soundclr-edge.conf \
    /etc/udev/rules.d/60-soundclr-microphone.rules /usr/local/bin/soundclr-edge /usr/local/share/soundclr-edge \
    /opt/soundclr-edge /var/cache/soundclr-edge
run systemctl daemon-reload
if [ "$purge" = yes ]; then
    drop /etc/soundclr-edge /var/lib/soundclr-edge
    ! grep -q "^soundclr-edge:" "$root/etc/passwd" || run userdel soundclr-edge
else
    say "kept: /etc/soundclr-edge, /var/lib/soundclr-edge and the user soundclr-edge (--purge removes them)"
fi
