"""install.sh and uninstall.sh on faked roots: what they would do on boards that are not here.

The real thing, on a booted Debian, is in tests/system/test_systemd_boot.py.
"""

import subprocess
from pathlib import Path

import pytest

from edge.config_file import load_config

SYSTEMD = Path(__file__).resolve().parent.parent / "systemd"
TEGRA = "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64\n"
NANO = ["nvmap", "nvhost-ctrl", "nvhost-gpu", "nvhost-dbg-gpu", "nvhost-prof-gpu", "nvhost-ctxsw-gpu", "snd/controlC0"]
ORIN = ["nvmap", "nvgpu/igpu0/as", "nvgpu/igpu0/channel", "nvgpu/igpu0/prof", "dri/renderD128", "host1x-fence"]
GROUPS = "root:x:0:\naudio:x:29:\nvideo:x:44:\n"


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "soundclr_node-1.0-py3-none-any.whl"
    path.write_bytes(b"not opened here")
    return path


def lay_out(root, *, system="Ubuntu 18.04.6 LTS", tegra="", nodes=(), groups=GROUPS):
    files = {"etc/os-release": 'PRETTY_NAME="%s"\n' % system, "etc/group": groups}
    if tegra:
        files["etc/nv_tegra_release"] = tegra
    files.update(("dev/" + node, "") for node in nodes)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def python_of(tmp_path, version):
    """An interpreter that says that it is this version; nothing more is asked of it on a faked root."""
    path = tmp_path / ("python" + version)
    path.write_text('#!/bin/sh\ncase "$2" in *prefix*) echo /usr;; *) echo "Python %s";; esac\n' % version)
    path.chmod(0o755)
    return path


def install(root, wheel, *options, python=None, status=0):
    python = python or python_of(wheel.parent, "3.11")
    command = [
        str(SYSTEMD / "install.sh"),
        "--root",
        str(root),
        "--wheel",
        str(wheel),
        "--python",
        str(python),
        *options,
    ]
    return run(command, status)


def uninstall(root, *options):
    return run([str(SYSTEMD / "uninstall.sh"), "--root", str(root), *options], 0)


def run(command, status):
    found = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert found.returncode == status, found.stdout
    return found.stdout


def drop_in_of(root):
    return (root / "etc/systemd/system/soundclr-edge.service.d/10-devices.conf").read_text().splitlines()


def test_jetpack_4_gets_python_3_6_s_pip_and_tensorrt_s_module(tmp_path, wheel):
    root = lay_out(tmp_path / "nano", tegra=TEGRA, nodes=NANO)
    said = install(root, wheel, "--node-name", "corner-1", python=python_of(tmp_path, "3.6"))
    assert "Jetson, JetPack 4, Ubuntu 18.04.6 LTS, Python 3.6" in said
    assert "-m venv --system-site-packages" in said
    assert said.index("install pip==21.3.1") < said.index("install %s" % wheel)
    lines = drop_in_of(root)
    assert "SupplementaryGroups= audio video" in lines  # Ubuntu 18.04 has no group render
    allowed = [line for line in lines if line.startswith("DeviceAllow=")]
    assert allowed == [
        "DeviceAllow=%s rw" % what for what in ("char-alsa", "/dev/nvmap", "/dev/nvhost-ctrl", "/dev/nvhost-gpu")
    ]
    assert "MemoryDenyWriteExecute=no" in lines and "PrivateDevices=no" in lines


@pytest.mark.parametrize("has_nvcc", [True, False])
def test_pycuda_is_built_with_the_board_s_cuda_where_it_has_one(tmp_path, wheel, has_nvcc):
    root = lay_out(tmp_path / "nano", tegra=TEGRA, nodes=NANO)
    nvcc = root / "usr/local/cuda/bin/nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.touch(0o755 if has_nvcc else 0o644)
    said = install(root, wheel, "--node-name", "corner-1", python=python_of(tmp_path, "3.6"))
    assert ("install %s[gpu]" % wheel in said) is has_nvcc


def test_what_is_missing_of_an_installed_version_is_built_by_the_next_run(tmp_path, wheel):
    """PyAudio that did not build for want of a header, and CUDA that came later, are not given up for good."""
    root = lay_out(tmp_path / "nano", tegra=TEGRA, nodes=NANO)
    first = install(root, wheel, "--node-name", "corner-1")
    (venv,) = (line.split()[-1] for line in first.splitlines() if "software into" in line)
    asked = Path(venv) / "bin" / "python"
    asked.parent.mkdir(parents=True)
    (Path(venv) / ".complete").touch()
    asked.write_text('#!/bin/sh\n[ "$2" = "import pycuda" ]\n')
    asked.chmod(0o755)
    again = install(root, wheel)
    assert "this very software is installed" in again
    assert "install pyaudio" in again and "[gpu]" not in again
    asked.write_text("#!/bin/sh\nexit 0\n")
    assert "pip install" not in install(root, wheel)


@pytest.mark.parametrize(("release", "python", "jetpack"), [("36", "3.10", "6"), ("38", "3.12", "7")])
def test_orin_gets_its_own_gpu_and_groups(tmp_path, wheel, release, python, jetpack):
    tegra = TEGRA.replace("R32", "R" + release)
    root = lay_out(tmp_path / "orin", tegra=tegra, nodes=ORIN, groups=GROUPS + "render:x:110:\n")
    said = install(root, wheel, "--node-name", "corner-1", python=python_of(tmp_path, python))
    assert "JetPack " + jetpack in said and "pip==" not in said and "--system-site-packages" in said
    lines = drop_in_of(root)
    assert "SupplementaryGroups= audio video render" in lines
    assert "DeviceAllow=/dev/nvgpu/igpu0/as rw" in lines and "DeviceAllow=/dev/dri/renderD128 rw" in lines
    assert not [line for line in lines if "prof" in line]


def test_files_get_their_modes_and_nothing_that_the_service_left_in_its_folder_is_followed(tmp_path, wheel):
    root = lay_out(tmp_path / "pc")
    state, victim = root / "var/lib/soundclr-edge", tmp_path / "shadow"
    state.mkdir(parents=True)
    victim.write_text("root's own\n")
    victim.chmod(0o600)
    (state / ".asoundrc.new").symlink_to(victim)
    (state / ".asoundrc").symlink_to(tmp_path / "absent")
    install(root, wheel, "--node-name", "corner-1")
    assert victim.read_text() == "root's own\n" and victim.stat().st_mode & 0o777 == 0o600
    assert not (state / ".asoundrc").is_symlink() and "streetmic" in (state / ".asoundrc").read_text()
    modes = {".asoundrc": 0o644, "../../../etc/soundclr-edge/soundclr-edge.toml": 0o640}
    assert {name: (state / name).stat().st_mode & 0o777 for name in modes} == modes
    assert not list(root.rglob("*.new"))


def test_any_debian_gets_an_environment_of_its_own_and_sound_alone(tmp_path, wheel):
    root = lay_out(tmp_path / "pc", system="Debian GNU/Linux 12 (bookworm)", nodes=["dri/renderD128"])
    said = install(root, wheel, "--node-name", "corner-1")
    assert "--system-site-packages" not in said and "Debian GNU/Linux 12" in said
    lines = drop_in_of(root)
    assert "SupplementaryGroups= audio" in lines and "DeviceAllow=char-alsa rw" in lines
    assert not [line for line in lines if "/dev/" in line or "MemoryDeny" in line]


def test_the_configuration_names_the_node_and_loads(tmp_path, wheel):
    root = lay_out(tmp_path / "root")
    install(root, wheel, "--node-name", "corner-1")
    path = root / "etc/soundclr-edge/soundclr-edge.toml"
    assert load_config(path).node.name == "corner-1"
    assert path.stat().st_mode & 0o777 == 0o640


def test_again_writes_nothing_and_keeps_what_the_operator_has_changed(tmp_path, wheel):
    root = lay_out(tmp_path / "root")
    first = install(root, wheel, "--node-name", "corner-1")
    config = root / "etc/soundclr-edge/soundclr-edge.toml"
    config.write_text('[node]\nname = "mine"\n')
    again = install(root, wheel, "--node-name", "other")
    assert "writing" in first and "writing" not in again
    assert config.read_text() == '[node]\nname = "mine"\n'


def test_the_plug_of_earlier_versions_gives_way_to_the_microphone_itself_and_other_lines_stay(tmp_path, wheel):
    root = lay_out(tmp_path / "root")
    file = root / "var/lib/soundclr-edge/.asoundrc"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\npcm.streetmic { type plug  slave.pcm { type hw  card streetmic } }\npcm.x { type null }\n")
    assert "instead of ALSA's plug" in install(root, wheel, "--node-name", "corner-1")
    expected = "# mine\npcm.streetmic { type hw  card streetmic }\npcm.x { type null }\n"
    assert file.read_text() == expected
    install(root, wheel)
    assert file.read_text() == expected


def test_a_dry_run_writes_nothing_at_all(tmp_path, wheel):
    root = lay_out(tmp_path / "root")
    before = sorted(root.rglob("*"))
    said = install(root, wheel, "--node-name", "corner-1", "--dry-run")
    assert "would write" in said and "would run: systemctl restart soundclr-edge" in said
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "no name for this node"),
        (("--node-name", "jetson-nano"), "what others are called out of the box"),
        (("--node-name", "main-st-5th-ave"), "what others are called out of the box"),
        (("--node-name", "Main Street"), "expected 1 to 32 of a-z"),
        (("--node-name", "x" * 33), "expected 1 to 32 of a-z"),
        (("--node-name",), "without a value"),
        (("--frobnicate",), "unknown option"),
        (("--node-name", "corner-1", "--wheel", "/none.whl"), "cannot be read"),
        (("--node-name", "corner-1", "--python", "/none"), "no Python"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_before_anything_is_written(tmp_path, wheel, options, complaint):
    root = lay_out(tmp_path / "root")
    said = install(root, wheel, *options, status=2)
    assert complaint in said.splitlines()[-1]
    assert not (root / "etc/systemd").exists() and not (root / "opt").exists()


def test_an_interpreter_that_the_service_could_not_see_is_refused(tmp_path, wheel):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$2" in *prefix*) echo /home/me/.pyenv;; *) echo "Python 3.11";; esac\n')
    python.chmod(0o755)
    root = lay_out(tmp_path / "root")
    assert "somebody's home" in install(root, wheel, "--node-name", "corner-1", python=python, status=2)


def test_uninstalling_takes_back_what_was_written_and_keeps_what_is_the_operators(tmp_path, wheel):
    root = lay_out(tmp_path / "root")
    before = {path for path in root.rglob("*") if path.is_file()}
    install(root, wheel, "--node-name", "corner-1")
    calibration = root / "var/lib/soundclr-edge/calibration/mic/0001-2026-10-01.json"
    calibration.parent.mkdir(parents=True)
    calibration.write_text("{}")
    uninstall(root)
    kept = {path for path in root.rglob("*") if path.is_file()} - before
    assert {str(path.relative_to(root)) for path in kept} == {
        "etc/soundclr-edge/soundclr-edge.toml",
        "var/lib/soundclr-edge/.asoundrc",
        "var/lib/soundclr-edge/calibration/mic/0001-2026-10-01.json",
    }
    uninstall(root, "--purge")
    uninstall(root, "--purge")
    assert {path for path in root.rglob("*") if path.is_file()} == before
