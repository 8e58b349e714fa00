# What install.sh has to know about the machine: sourced by it. Looks below $root, so that it can be tried on a copy.

# Sets board, os_name, python_version, venv_options, pip_release, system_packages, groups, device_nodes, has_gpu, cuda.
look_at_board() {
    local release=""
    os_name=$(. "$root/etc/os-release" 2>/dev/null && echo "${PRETTY_NAME:-unknown system}")
    python_version=$("$python" -c 'import sys; print("Python %d.%d" % sys.version_info[:2])') ||
        fail "no Python: $python does not run; apt-get install python3, or give --python"
    case $("$python" -c 'import sys; print(sys.base_prefix)') in
    /root/* | /home/*) fail "$python lives in somebody's home, which the service cannot see; give another: --python /usr/bin/python3" ;;
    esac
    board="$(uname -m)" venv_options="" pip_release=""
    if [ -e "$root/etc/nv_tegra_release" ]; then
        release=$(sed -n 's/^# R\([0-9]*\) .*/\1/p' "$root/etc/nv_tegra_release")
        case $release in
        32) board="Jetson, JetPack 4" ;;
        35) board="Jetson, JetPack 5" ;;
        36) board="Jetson, JetPack 6" ;;
        3[89]) board="Jetson, JetPack 7" ;;
        *) board="Jetson, L4T ${release:-unknown}" ;;
        esac
        venv_options=--system-site-packages # TensorRT's Python module comes with JetPack alone
    fi
    case $python_version in
    "Python 3."[0-5]) fail "$python_version is too old; expected 3.6 or later, give --python" ;;
    # its own pip knows neither today's wheels nor its own end: the last for 3.6
    "Python 3.6") pip_release="pip==21.3.1" ;;
    esac
    cuda="" # where nvcc is, with which PyCUDA is built
    system_packages="python3-venv libportaudio2 libsndfile1 portaudio19-dev python3-dev gcc"
    find_devices
    if [ "$has_gpu" = yes ] && [ -x "$root/usr/local/cuda/bin/nvcc" ]; then
        cuda=/usr/local/cuda
        system_packages="$system_packages g++"
    fi
}

# Groups and nodes differ from board to board: only what is there is named.
find_devices() {
    local node
    groups="" device_nodes="" has_gpu=no
    for node in "$root"/dev/nvmap "$root"/dev/nvhost-* "$root"/dev/nvgpu/*/* "$root"/dev/host1x-fence \
        "$root"/dev/nvsciipc "$root"/dev/nvidia[0-9]* "$root"/dev/nvidiactl "$root"/dev/nvidia-uvm*; do
        case $node in
        *nvhost-dbg* | *nvhost-prof* | *nvhost-ctxsw* | */prof*) continue ;; # for debuggers
        esac
        [ -e "$node" ] || continue
        has_gpu=yes
        device_nodes="$device_nodes ${node#"$root"}"
    done
    if [ "$has_gpu" = yes ]; then
        for node in "$root"/dev/dri/renderD*; do
            [ ! -e "$node" ] || device_nodes="$device_nodes ${node#"$root"}"
        done
    fi
    for node in audio $([ "$has_gpu" = no ] || echo video render); do
        ! grep -q "^$node:" "$root/etc/group" || groups="$groups $node"
    done
}

# The drop-in for the service: what it may open on this board, and why the unit's own lines are relaxed.
device_drop_in() {
    local node
    echo "# Written by install.sh for this board ($board); written anew by each installation."
    echo "[Service]"
    [ -z "$groups" ] || echo "SupplementaryGroups=$groups"
    echo "# The microphone and its controls, also of one that is plugged in later; PrivateDevices would hide them."
    echo "PrivateDevices=no"
    echo "DeviceAllow=char-alsa rw"
    if [ "$has_gpu" = yes ]; then
        echo "# The GPU."
        for node in $device_nodes; do
            echo "DeviceAllow=$node rw"
        done
        echo "# CUDA maps memory that it writes and executes."
        echo "MemoryDenyWriteExecute=no"
    elif [ "$python_version" = "Python 3.6" ]; then
        echo "# ONNX Runtime 1.10, the last for Python 3.6, asks for an executable stack."
        echo "MemoryDenyWriteExecute=no"
    fi
}
