"""The images and the compose file, checked without a container engine: against the schema, the CLI and the configuration.

What runs in the containers is the same code as anywhere; that gateway and supervisor understand each other through a
shared folder alone, each in its own process namespace, is what `test_namespaces.py` shows.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.load import Loaded, load
from config.settings import known_variables
from engines import roster
from engines.roster import Roster, WorkerRecord, WorkerStatus
from tests.architecture.cli import parse
from tests.architecture.dockerfile import Stage, stages
from tests.architecture.repository import ROOT

COMPOSE = ROOT / "docker-compose.yml"
CONFIG = ROOT / "config" / "container.yaml"
IN_IMAGE = "/etc/cascadia/cascadia.yaml"
DATA = "/var/lib/cascadia"
USER = "10001:10001"
OWN_TARGETS = ("gateway", "engine")
BUILD_STAGES = ("wheels", "native")
"""Stages whose files other stages take."""
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?")
DOCUMENTED = re.compile(
    r"docker compose (?:run(?: --\S+)* (?:gateway|engine)|exec (?:gateway|engine) cascadia) (?P<command>[^`#\n]+)"
)
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\}")


@pytest.fixture(scope="module")
def images() -> dict[str, Stage]:
    return stages(ROOT / "Dockerfile")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(COMPOSE.read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def own(compose: dict[str, Any]) -> dict[str, Any]:
    """The services built from our Dockerfile."""
    return {name: service for name, service in compose["services"].items() if "build" in service}


def filled(text: Any) -> str:
    """A value with the defaults of its `${VAR:-default}` put in."""
    return VARIABLE.sub(lambda variable: variable["default"] or "", str(text))


def environment_of(service: dict[str, Any], stage: Stage) -> dict[str, str]:
    """What a process of the service finds set, when the caller's shell has set nothing."""
    given = {
        name: filled(value) for name, value in service.get("environment", {}).items() if value is not None
    }
    return {**stage.environment(), **given}


def loaded_in(environ: dict[str, str]) -> Loaded:
    """The configuration that a container loads, the mounted file standing for the one in the image."""
    assert environ["CASCADIA_CONFIG"] == IN_IMAGE
    return load(CONFIG, {name: value for name, value in environ.items() if name != "CASCADIA_CONFIG"})


# --- the Dockerfile


def test_both_targets_are_there(images: dict[str, Stage]) -> None:
    assert set(images) == {*BUILD_STAGES, *OWN_TARGETS}


def test_base_images_are_pinned_by_version(images: dict[str, Stage]) -> None:
    for stage in images.values():
        assert PINNED.fullmatch(stage.image) or stage.image in BUILD_STAGES, (
            f"{stage.name} is built on {stage.image}"
        )


def test_engine_image_has_the_engine_version_of_the_requirement_lists(images: dict[str, Stage]) -> None:
    listed = (ROOT / "engines/environment/lists/gpu.txt").read_text("utf-8")
    version = re.search(r"^vllm==(\S+)", listed, re.MULTILINE)
    assert version is not None
    assert images["engine"].image == f"vllm/vllm-openai:v{version[1]}"


def test_every_copied_path_exists_and_is_sent_to_the_builder(images: dict[str, Stage]) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for stage in images.values():
        for each in stage.all("COPY"):
            if each.flags().get("from") in BUILD_STAGES:
                continue
            for source in each.words()[:-1]:
                assert (ROOT / source).exists(), f"{stage.name} copies {source}"
                assert source.split("/")[0] in sent, f".dockerignore holds {source} back"
                assert not any(fnmatch(source, pattern) for pattern in ignored if pattern.startswith("**"))


def test_everything_the_wheel_is_built_from_is_copied(images: dict[str, Stage]) -> None:
    copied = {source for each in images["wheels"].all("COPY") for source in each.words()[:-1]}
    assert {"pyproject.toml", "README.md", "LICENSE", "gateway", "engines", "config"} <= copied


def test_dependencies_are_installed_by_hash_from_the_lock(images: dict[str, Stage]) -> None:
    download = images["wheels"].all("RUN")[0].rest
    assert "--require-hashes" in download
    assert "--requirement requirements/core.txt" in download
    for name in OWN_TARGETS:
        assert "--no-index" in images[name].all("RUN")[0].rest


@pytest.mark.parametrize("name", OWN_TARGETS)
def test_images_run_as_a_user_without_rights(images: dict[str, Stage], name: str) -> None:
    stage = images[name]
    assert stage.last("USER").rest == USER
    assert any("useradd --uid 10001" in each.rest for each in stage.all("RUN"))


@pytest.mark.parametrize("name", OWN_TARGETS)
def test_data_folder_is_private_to_that_user_in_both_images(images: dict[str, Stage], name: str) -> None:
    stage = images[name]
    assert DATA in stage.last("VOLUME").listed()
    made = [each.rest for each in stage.all("RUN") if DATA in each.rest]
    assert any("--owner=10001 --group=10001 --mode=0700" in rest for rest in made)
    assert str(loaded_in(stage.environment()).config.data_dir) == DATA


@pytest.mark.parametrize("name", OWN_TARGETS)
def test_image_commands_are_commands_of_the_cli(images: dict[str, Stage], name: str) -> None:
    assert images[name].last("ENTRYPOINT").listed() == ["cascadia"]
    parse(images[name].last("CMD").listed())


@pytest.mark.parametrize("name", OWN_TARGETS)
def test_image_variables_are_settings(images: dict[str, Stage], name: str) -> None:
    ours = {variable for variable in images[name].environment() if variable.startswith("CASCADIA_")}
    assert ours <= set(known_variables())


def test_images_hold_no_secret(images: dict[str, Stage]) -> None:
    for stage in images.values():
        assert not stage.all("ARG")
        assert not [name for name in stage.environment() if re.search("KEY|TOKEN|SECRET|PASSWORD", name)]


@pytest.mark.parametrize("name", OWN_TARGETS)
def test_images_are_stopped_by_the_signal_that_drains(images: dict[str, Stage], name: str) -> None:
    assert images[name].last("STOPSIGNAL").rest == "SIGTERM"


def test_run_instructions_are_valid_shell(images: dict[str, Stage]) -> None:
    for stage in images.values():
        for each in stage.all("RUN"):
            command = re.sub(r"^--mount=\S+\s+", "", each.rest)
            subprocess.run(["sh", "-n", "-c", command], check=True)


def test_exposed_ports_are_those_of_the_configuration(images: dict[str, Stage]) -> None:
    server = loaded_in(images["gateway"].environment()).config.server
    ports = {server.listen.rpartition(":")[2], server.admin_listen.rpartition(":")[2]}
    assert set(images["gateway"].last("EXPOSE").words()) == ports


def health_command(stage: Stage) -> list[str]:
    command = stage.last("HEALTHCHECK").listed()
    assert command[0] == "/opt/cascadia/bin/python"
    return [sys.executable, *command[1:]]


def test_gateway_health_check_asks_the_port_it_listens_on(images: dict[str, Stage]) -> None:
    stage = images["gateway"]
    port = loaded_in(stage.environment()).config.server.listen.rpartition(":")[2]
    assert f"http://127.0.0.1:{port}/readyz" in health_command(stage)[-1]


def test_gateway_health_check_fails_when_nothing_answers(images: dict[str, Stage]) -> None:
    command = health_command(images["gateway"])
    command[-1] = command[-1].replace("127.0.0.1:8000", "127.0.0.1:9")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    ("status", "code"),
    [(None, 1), (WorkerStatus.STARTING, 1), (WorkerStatus.READY, 0), (WorkerStatus.FAILED, 1)],
)
def test_engine_health_check_tells_whether_a_worker_is_ready(
    images: dict[str, Stage], tmp_path: Path, status: WorkerStatus | None, code: int
) -> None:
    file = tmp_path / roster.FILE_NAME
    if status is not None:
        roster.write(file, Roster(pid=1, start_time=0.0, sequence=1, workers=(worker(status),)))
    command = health_command(images["engine"])
    assert f"{DATA}/run/{roster.FILE_NAME}" in command[-1]
    command[-1] = command[-1].replace(f"{DATA}/run/{roster.FILE_NAME}", str(file))
    assert subprocess.run(command, capture_output=True, check=False).returncode == code


def worker(status: WorkerStatus) -> WorkerRecord:
    return WorkerRecord(
        id="tiny-0",
        group="tiny",
        models={"tiny": "tiny"},
        engine="vllm",
        address="unix:/run/tiny-0.sock",
        api_key="k",
        max_in_flight=1,
        status=status,
        phase="",
        since=0.0,
    )


# --- the compose file


def test_compose_file_follows_the_schema() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_default_profile_is_the_one_with_gpus(compose: dict[str, Any]) -> None:
    lines = [line for line in (ROOT / ".env").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert lines == ["COMPOSE_PROFILES=gpu"]
    assert compose["services"]["engine"]["profiles"] == ["gpu"]
    devices = compose["services"]["engine"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["driver"] == "nvidia"
    assert devices[0]["capabilities"] == ["gpu"]


def test_sim_profile_needs_no_device(compose: dict[str, Any]) -> None:
    chosen = {name for name, service in compose["services"].items() if "sim" in service["profiles"]}
    assert chosen == {"gateway", "engine-sim"}
    for name in chosen:
        assert not {"deploy", "devices", "gpus", "runtime"} & set(compose["services"][name])


def test_no_profile_has_two_engines(compose: dict[str, Any]) -> None:
    for profile in ("gpu", "sim"):
        engines = [
            name
            for name, service in compose["services"].items()
            if profile in service["profiles"] and service.get("command") == ["engines"]
        ]
        assert len(engines) == 1


def test_services_are_built_from_targets_that_exist(own: dict[str, Any], images: dict[str, Stage]) -> None:
    for service in own.values():
        assert service["build"] == {"context": ".", "target": service["build"]["target"]}
        assert service["build"]["target"] in images


def test_foreign_images_are_pinned_by_version(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert PINNED.fullmatch(service["image"])


def test_service_commands_are_commands_of_the_cli(own: dict[str, Any]) -> None:
    for service in own.values():
        parse(service["command"])


def test_references_name_what_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        assert set(service.get("networks", [])) <= set(compose["networks"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_gateway_may_start_whichever_engine_is_chosen(compose: dict[str, Any]) -> None:
    """A dependency that the profile leaves out would be an error of compose, unless it is not required."""
    depends = compose["services"]["gateway"]["depends_on"]
    assert set(depends) == {"engine", "engine-sim"}
    assert all(each["required"] is False for each in depends.values())


def test_service_variables_are_settings_or_stand_in_the_configuration(own: dict[str, Any]) -> None:
    used = {variable["name"] for variable in VARIABLE.finditer(CONFIG.read_text("utf-8"))}
    for service in own.values():
        names = set(service["environment"]) - {"HF_TOKEN"}
        assert names <= used | set(known_variables())


def test_each_service_loads_its_configuration(own: dict[str, Any], images: dict[str, Stage]) -> None:
    for service in own.values():
        assert f"./config/container.yaml:{IN_IMAGE}:ro" in service["volumes"]
        assert not loaded_in(environment_of(service, images[service["build"]["target"]])).warnings


@pytest.mark.parametrize(("name", "engine"), [("engine", "vllm"), ("engine-sim", "simulated")])
def test_each_engine_service_runs_its_engine(
    own: dict[str, Any], images: dict[str, Stage], name: str, engine: str
) -> None:
    service = own[name]
    groups = loaded_in(environment_of(service, images[service["build"]["target"]])).config.engines
    assert [group.engine for group in groups] == [engine]


def test_gateway_and_engines_serve_the_same_names(own: dict[str, Any], images: dict[str, Stage]) -> None:
    names = {
        tuple(
            group.name
            for group in loaded_in(environment_of(service, images[service["build"]["target"]])).config.engines
        )
        for service in own.values()
    }
    assert names == {("tiny",)}


def test_gateway_and_engines_share_the_data_folder(own: dict[str, Any]) -> None:
    assert all(f"data:{DATA}" in service["volumes"] for service in own.values())


def test_ports_are_those_of_the_configuration_and_for_this_machine_alone(
    compose: dict[str, Any], images: dict[str, Stage]
) -> None:
    server = loaded_in(images["gateway"].environment()).config.server
    ports = compose["services"]["gateway"]["ports"]
    targets = {str(port["target"]) for port in ports}
    assert targets == {server.listen.rpartition(":")[2], server.admin_listen.rpartition(":")[2]}
    assert all(port["host_ip"] == "127.0.0.1" for port in ports)


def test_nothing_but_the_gateway_publishes_a_port(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["gateway"]


def test_redis_has_a_health_check_and_is_not_started_unasked(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    assert redis["profiles"] == ["redis"]
    assert redis["healthcheck"]["test"] == ["CMD", "valkey-cli", "ping"]


def test_redis_service_is_what_the_comment_says_it_is_called(images: dict[str, Stage]) -> None:
    url = re.search(r"redis://redis:\d+/\d+", COMPOSE.read_text("utf-8"))
    assert url is not None
    environ = {**images["gateway"].environment(), "CASCADIA_REDIS__URL": url[0]}
    redis = loaded_in(environ).config.redis
    assert redis is not None
    assert redis.url == url[0]


def test_services_are_hardened(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["init"] is True
    writable = [name for name, service in compose["services"].items() if not service.get("read_only")]
    assert writable == ["engine"]


def test_docker_waits_longer_than_a_drain(own: dict[str, Any], images: dict[str, Stage]) -> None:
    for service in own.values():
        config = loaded_in(environment_of(service, images[service["build"]["target"]])).config
        assert int(service["stop_grace_period"].removesuffix("s")) > config.server.drain_seconds + 10


def test_simulated_engine_has_the_engine_image_s_health_check(
    own: dict[str, Any], images: dict[str, Stage]
) -> None:
    assert own["engine-sim"]["healthcheck"]["test"] == ["CMD", *images["engine"].last("HEALTHCHECK").listed()]


def test_documented_commands_are_commands_of_the_cli() -> None:
    """`docker compose run … SERVICE VERB` and `docker compose exec … SERVICE cascadia VERB` in the documentation."""
    found = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for match in DOCUMENTED.finditer(page.read_text("utf-8")):
            parse(shlex.split(match["command"]))
            found += 1
    assert found


def test_documented_docker_run_starts_no_engine_and_calls_the_upstream(images: dict[str, Stage]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8").replace("\\\n", " ")
    (line,) = [line for line in page.splitlines() if line.startswith("$ docker run ")]
    words = shlex.split(line)
    given = dict(word.split("=", 1) for flag, word in pairwise(words) if flag == "--env")
    config = loaded_in({**images["gateway"].environment(), **given}).config
    assert config.engines == ()
    assert [upstream.url for upstream in config.upstreams] == ["http://10.0.0.7:8000"]
