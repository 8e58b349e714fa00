#!/usr/bin/env bash
# Install the street-sound node as a service, or bring an installation up to date. Harmless when run again.
# State and configuration are kept; what is done is said.
#
# Usage: sudo ./install.sh --node-name NAME [OPTION...]
#   --node-name NAME  the node's own name, 1 to 32 of a-z, 0-9, _ and -; asked for on the first installation
#   --wheel FILE      soundclr_node-*.whl (default: the newest beside this script, or in ../dist)
#   --wheels DIR      take every Python package from this folder and none from the network
#   --python PYTHON   interpreter to install for (default: python3)
#   --no-apt          do not install system packages, only say which are missing
#   --no-start        do not start the service now (it starts with the next boot)
#   --dry-run         change nothing, say what would be done
#   --root DIR        write files below DIR and say which commands would run: to look at, and for images
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/install-board.sh"
umask 022
node_name="" wheel="" wheels="" python=python3 root="" apt=yes start=yes dry_run=no changed=no
service=soundclr-edge user=soundclr-edge
stock_names=" localhost ubuntu debian raspberrypi linux jetson nano jetson-nano orin jetson-orin jetson-orin-nano \
orin-nano xavier tegra tegra-ubuntu nvidia nvidia-desktop node main-st-5th-ave "

main() {
    read_options "$@"
    prefix=$root/opt/soundclr-edge config=$root/etc/soundclr-edge/soundclr-edge.toml
    [ -n "$root" ] || [ "$dry_run" = yes ] || [ "$(id -u)" = 0 ] || fail "not root; expected: sudo $0 ..."
    look_at_board # install-board.sh
    say "$board, $os_name, $python_version"
    find_wheel
    choose_name
    install_system_packages
    make_user
    install_software
    install_files
    switch_software
    start_service
    say "done. The configuration is $config: name the broker there, then: systemctl reload $service"
    say "see whether all is well: sudo soundclr-edge check; systemctl status $service; journalctl -fu $service"
}

say() { echo "install: $*"; }

fail() {
    echo "install: $*" >&2
    exit 2
}

# A command that changes the machine: not run where only files are wanted, or nothing at all.
run() {
    if [ "$dry_run" = yes ] || [ -n "$root" ]; then
        say "would run: $*"
    else
        "$@"
    fi
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --node-name | --wheel | --wheels | --python | --root)
            [ $# -gt 1 ] || fail "$1 without a value; see the head of $0"
            ;;&
        --node-name) node_name=$2 && shift ;;
        --wheel) wheel=$2 && shift ;;
        --wheels) wheels=$2 && shift ;;
        --python) python=$2 && shift ;;
        --root) root=${2%/} && shift ;;
        --no-apt) apt=no ;;
        --no-start) start=no ;;
        --dry-run) dry_run=yes ;;
        -h | --help)
            sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        *) fail "unknown option $1; see: $0 --help" ;;
        esac
        shift
    done
}

find_wheel() {
    if [ -z "$wheel" ]; then
        wheel=$(ls -t "$here"/soundclr_node-*.whl "$here"/../dist/soundclr_node-*.whl 2>/dev/null | head -n 1 || true)
    fi
    [ -n "$wheel" ] || fail "no soundclr_node-*.whl beside $0 or in ../dist; make it with: make wheel, or give --wheel"
    [ -r "$wheel" ] || fail "wheel $wheel cannot be read; give another with --wheel"
    say "installing $(basename "$wheel")"
}

# Cards get cloned and every Jetson's stock hostname is the same, so the name is asked for and never guessed.
choose_name() {
    if [ -e "$config" ]; then
        say "keeping $config"
        [ -z "$node_name" ] || say "--node-name is not used: the name in the configuration stays"
        return
    fi
    if [ -z "$node_name" ] && [ -t 0 ]; then
        read -r -p "install: this node's own name, 1 to 32 of a-z, 0-9, _ and - (part of all its topics): " node_name
    fi
    [ -n "$node_name" ] || fail "no name for this node; give --node-name NAME"
    [[ $node_name =~ ^[a-z0-9][a-z0-9_-]{0,31}$ ]] ||
        fail "node name '$node_name'; expected 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit"
    case $stock_names in
    *" $node_name "*) fail "node name '$node_name' is what others are called out of the box; give one of its own" ;;
    esac
}

install_system_packages() {
    local package missing=()
    [ -z "$wheels" ] || return 0
    for package in $system_packages; do
        [ "$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$apt" = no ]; then
        say "missing system packages, the microphone may not work: apt-get install ${missing[*]}"
        return 0
    fi
    say "system packages: ${missing[*]}"
    run env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}"
}

make_user() {
    put soundclr-edge.sysusers.conf /usr/lib/sysusers.d/soundclr-edge.conf 644
    run systemd-sysusers soundclr-edge.conf
}

# A new environment beside the old one, which serves until the new one has proven itself.
install_software() {
    local digest pip install
    digest=$(sha256sum "$wheel" | cut -c 1-16)
    venv=$prefix/venv-$digest
    previous=$(readlink "$prefix/current" 2>/dev/null || true)
    pip="$venv/bin/python -m pip --disable-pip-version-check --no-input -q"
    install="install ${wheels:+--no-index --find-links $wheels}"
    if [ -e "$venv/.complete" ]; then
        say "this very software is installed"
        install_device_packages
        return
    fi
    changed=yes
    say "software into $venv"
    run rm -rf "$venv"
    run mkdir -p "$prefix"
    # shellcheck disable=SC2086
    run "$python" -m venv $venv_options "$venv"
    # shellcheck disable=SC2086
    [ -z "$pip_release" ] || run $pip $install "$pip_release"
    # shellcheck disable=SC2086
    run $pip $install "$wheel"
    install_device_packages
    if [ -e "$config" ]; then
        # shellcheck disable=SC2016
        run "$venv/bin/python" -c 'import sys, pathlib, edge.config_file; edge.config_file.load_config(pathlib.Path(sys.argv[1]))' \
            "$config" || fail "the new version does not take $config (see above); nothing has been switched"
    fi
    run touch "$venv/.complete"
}

# What is built against this board's own libraries. Tried again by each run of this script until it is there.
install_device_packages() {
    have pyaudio || add_package "pyaudio>=0.2.14" ||
        say "PyAudio did not build: no microphone until: apt-get install $system_packages, and this script again"
    [ -n "$cuda" ] || return 0
    # nvcc is on nobody's PATH on a Jetson
    have pycuda || PATH=$cuda/bin:$PATH CUDA_ROOT=$cuda add_package "${wheel}[gpu]" ||
        say "PyCUDA did not build, the node hears on the processor: see above, then this script again"
}

have() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "import $1" 2>/dev/null; }

add_package() {
    # shellcheck disable=SC2086
    run $pip $install "$1" && changed=yes
}

install_files() {
    if [ ! -e "$config" ]; then
        put_text "$(sed "s/^name = \"main-st-5th-ave\"/name = \"$node_name\"/" "$here/soundclr-edge.example.toml")" \
            /etc/soundclr-edge/soundclr-edge.toml 640
    fi
    put soundclr-edge.tmpfiles.conf /usr/lib/tmpfiles.d/soundclr-edge.conf 644
    put 60-soundclr-microphone.rules /etc/udev/rules.d/60-soundclr-microphone.rules 644
    put soundclr-edge.service /etc/systemd/system/soundclr-edge.service 644
    put_text "$(device_drop_in)" /etc/systemd/system/soundclr-edge.service.d/10-devices.conf 644
    run systemd-tmpfiles --create soundclr-edge.conf
    install_asoundrc
    if command -v udevadm >/dev/null; then # a container has none
        run udevadm control --reload || true
        run udevadm trigger --subsystem-match=sound --action=change || true
    fi
}

# Kept where there is one, but for the line of earlier versions: nothing may stand between a card and its calibration.
install_asoundrc() {
    local file=$root/var/lib/soundclr-edge/.asoundrc
    local former='pcm.streetmic { type plug  slave.pcm { type hw  card streetmic } }'
    if [ ! -e "$file" ]; then
        put asoundrc /var/lib/soundclr-edge/.asoundrc 644
    elif grep -qxF "$former" "$file"; then
        changed=yes
        say "the microphone itself instead of ALSA's plug in $file"
        [ "$dry_run" = yes ] || sed -i "s/^$former\$/$(tail -n 1 "$here/asoundrc")/" "$file"
    fi
}

switch_software() {
    run ln -sfn "$(basename "$venv")" "$prefix/current.new"
    run mv -T "$prefix/current.new" "$prefix/current"
    run ln -sfn "$prefix/current/bin/soundclr-edge" "$root/usr/local/bin/soundclr-edge"
    # the live page, where mosquitto/page.conf looks for it
    run "$prefix/current/bin/soundclr-edge" page --copy "$root/usr/local/share/soundclr-edge/page" ||
        say "the live page is not in place; all else works without it"
    run systemctl daemon-reload
    run systemctl -q enable "$service"
}

start_service() {
    local old
    if [ "$start" = no ]; then
        say "not started; it starts with the next boot, or by: systemctl start $service"
        return
    fi
    if [ "$changed" = no ] && systemctl -q is-active "$service" 2>/dev/null; then
        say "nothing has changed and the node runs: left alone"
        return
    fi
    say "starting"
    if ! run systemctl restart "$service"; then
        say "the new version does not start; see: journalctl -u $service" >&2
        if [ -n "$previous" ] && [ "$prefix/$previous" != "$venv" ]; then
            ln -sfn "$previous" "$prefix/current"
            systemctl restart "$service" && say "went back to the version before" >&2
        fi
        exit 1
    fi
    for old in "$prefix"/venv-*; do
        [ "$old" = "$venv" ] || [ ! -e "$old" ] || run rm -rf "$old"
    done
}

# put FILE TARGET MODE: install a file of this folder, if it is not there as it should be.
put() { put_text "$(cat "$here/$1")" "$2" "$3"; }

put_text() {
    local target=$root$2
    if [ -e "$target" ] && [ "$(cat "$target")" = "$1" ]; then
        return
    fi
    changed=yes
    if [ "$dry_run" = yes ]; then
        say "would write $target"
        return
    fi
    say "writing $target"
    mkdir -p "$(dirname "$target")"
    # one folder is the service's own: what it may have put there is not followed
    rm -f "$target.new"
    (umask "$(printf '%03o' $((0666 & ~0$3)))" && set -C && printf '%s\n' "$1" >"$target.new")
    mv -T "$target.new" "$target"
}

main "$@"
