"""The committed requirement lists and the small reader of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from engines.environment.device import Device, choose_device, has_nvidia_gpu
from engines.environment.interpreter import MACHINES, Interpreter
from engines.environment.progress import describe_installing, last_lines
from engines.environment.relock import simplify
from engines.environment.requirements import REQUIREMENTS, Pin, parse_pins

PYTHONS = [Interpreter(Path("python3"), (3, minor, 0), "CPython") for minor in (11, 12, 13, 14)]
COMMON = (
    "implementation_name == 'cpython' and ((platform_machine == 'aarch64' and sys_platform == 'linux') "
    "or (platform_machine == 'x86_64' and sys_platform == 'linux'))"
)


@pytest.mark.parametrize("device", list(Device))
@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: python.minor)
@pytest.mark.parametrize("processor", MACHINES)
def test_each_python_and_processor_gets_every_distribution_once(device: Device, python, processor: str):
    requirements = REQUIREMENTS[device]
    names = [pin.name for pin in requirements.pins() if pin.applies_to(python, processor)]
    assert len(names) == len(set(names)) > 140
    wanted = requirements.wanted(python, processor)
    assert {requirements.engine, "torch", "transformers", "numpy", "xgrammar"} <= wanted.keys()


def test_the_cpu_engine_gets_none_of_the_cuda_builds():
    names = {pin.name for pin in REQUIREMENTS[Device.CPU].pins()}
    assert not names & {"torchvision", "torchaudio", "torchcodec", "triton"}
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-"))]


@pytest.mark.parametrize("device", list(Device))
def test_every_requirement_but_pytorch_for_cpus_names_its_files_by_hash(device: Device):
    text = REQUIREMENTS[device].hashed.read_text()
    requirements = re.split(r"\n(?=[a-z0-9-]+==)", text)[1:]
    assert len(requirements) == len(parse_pins(text))
    assert all("--hash=sha256:" in requirement for requirement in requirements)


@pytest.mark.parametrize("device", list(Device))
def test_the_list_answers_its_input(device: Device):
    requirements = REQUIREMENTS[device]
    asked = tomllib.loads(requirements.hashed.with_name(f"{device.value}.pyproject.toml").read_text())
    (engine,) = asked["project"]["dependencies"]
    assert Pin(*engine.split("==")) in requirements.pins()


def test_the_lists_name_no_index_and_no_path():
    for requirements in REQUIREMENTS.values():
        for file in requirements.files():
            assert not re.search(
                r"https?://|file:|--(index|extra|find|trusted)| @ |^\s*/", file.read_text(), re.MULTILINE
            )


def test_pytorch_for_gpus_does_not_match_a_local_cpu_build():
    assert "\ntorch===" in REQUIREMENTS[Device.GPU].hashed.read_text()


def test_the_fingerprint_depends_on_list_device_python_and_processor():
    prints = {
        requirements.fingerprint(python, processor)
        for requirements in REQUIREMENTS.values()
        for python in PYTHONS
        for processor in MACHINES
    }
    assert len(prints) == 2 * len(PYTHONS) * len(MACHINES)


def test_the_fingerprint_ignores_the_patch_version():
    older, newer = (Interpreter(Path("p"), (3, 11, patch), "CPython") for patch in (2, 9))
    cpu = REQUIREMENTS[Device.CPU]
    assert cpu.fingerprint(older, "x86_64") == cpu.fingerprint(newer, "x86_64")


@pytest.mark.parametrize("line", ["numpy>=2", "numpy", "-e .", "numpy @ https://example.org/x.whl"])
def test_a_line_that_is_not_exact_is_refused(line: str):
    with pytest.raises(ValueError, match="not an exact requirement"):
        parse_pins(line)


def test_markers_choose_by_python_and_processor():
    pin = Pin("a", "1", "python_full_version >= '3.12' and platform_machine == 'x86_64'")
    assert [pin.applies_to(python, "x86_64") for python in PYTHONS[:2]] == [False, True]
    assert not pin.applies_to(PYTHONS[1], "aarch64")
    with pytest.raises(ValueError, match="only full resolvers"):
        Pin("a", "1", "os_name == 'nt'").applies_to(PYTHONS[0], "x86_64")


@pytest.mark.parametrize(
    ("exported", "listed"),
    [
        (f"a==1 ; {COMMON} \\", "a==1 \\"),
        (f"a==1 ; python_full_version < '3.12' and {COMMON} \\", "a==1 ; python_full_version < '3.12' \\"),
        (
            "a==1 ; implementation_name == 'cpython' and platform_machine == 'x86_64' and sys_platform == 'linux'",
            "a==1 ; platform_machine == 'x86_64'",
        ),
        (f"torch==2.13.0 ; {COMMON} \\", "torch===2.13.0 \\"),
        (f"torch-c-dlpack-ext==1 ; {COMMON}", "torch-c-dlpack-ext==1"),
        ("    --hash=sha256:aa \\", "    --hash=sha256:aa \\"),
    ],
)
def test_relocking_drops_what_every_environment_has_in_common(exported: str, listed: str):
    assert simplify(exported) == f"{listed}\n"


def test_a_gpu_is_seen_by_its_device_file(tmp_path: Path):
    (tmp_path / "nvidia0").touch()
    assert has_nvidia_gpu(tmp_path, nvidia_smi=lambda: pytest.fail("must not be asked"))


def test_the_drivers_other_device_files_are_no_gpu(tmp_path: Path):
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / name).touch()
    assert not has_nvidia_gpu(tmp_path, nvidia_smi=lambda: "No devices found.\n")


def test_a_gpu_without_device_file_is_seen_by_nvidia_smi(tmp_path: Path):
    assert has_nvidia_gpu(tmp_path, nvidia_smi=lambda: "GPU 0: NVIDIA RTX (UUID: GPU-1)\n")


def test_a_named_device_is_not_probed():
    assert choose_device("gpu", lambda: pytest.fail("must not be asked")) is Device.GPU


def test_progress_shows_what_is_fetched_then_what_is_unpacked(tmp_path: Path):
    log, site_packages = tmp_path / "log", tmp_path / "site-packages"
    log.write_text("Collecting numpy==2.3.5\n  Downloading numpy-2.3.5-cp311-cp311-linux.whl.metadata\n")
    assert describe_installing(log, site_packages, 148) == "downloading numpy-2.3.5"
    (site_packages / "numpy-2.3.5.dist-info").mkdir(parents=True)
    log.write_text(log.read_text() + "Installing collected packages: numpy, torch\n")
    assert describe_installing(log, site_packages, 148) == "1 of 148 distributions"


def test_the_last_lines_of_a_log_leave_out_empty_ones(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("a\n\nb\nc\n\n")
    assert last_lines(log, 2) == ["b", "c"]
    assert last_lines(tmp_path / "none", 2) == []
