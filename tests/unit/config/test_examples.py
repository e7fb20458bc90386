"""The files that come with the program say what the program does."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from config.json_schema import json_schema, schema_text
from config.load import load
from config.schema import Config
from config.shape import sections

FOLDER = Path(__file__).parents[3] / "config"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_a_good_configuration(file):
    load(file, {})


@pytest.mark.parametrize("name", ["cascadia.yaml", "cpu.yaml", "gpu.yaml", "upstream.yaml"])
def test_every_example_fits_the_schema_and_names_it_for_editors(name):
    text = (FOLDER / name).read_text()
    assert text.startswith("# yaml-language-server: $schema=./cascadia.schema.json\n")
    jsonschema.validate(YAML(typ="safe").load(text), json_schema())


def test_the_annotated_file_names_every_key():
    text = (FOLDER / "cascadia.yaml").read_text()
    for place, name in sections():
        assert re.search(rf"^[ #-]*{name}:", text, re.MULTILINE), f"{place}.{name}"


def test_the_annotated_file_holds_the_defaults():
    config = load(FOLDER / "cascadia.yaml", {}).config
    same = {"engines": config.engines, "upstreams": ()}
    assert config == Config().model_copy(update=same)
    group = config.engines[0]
    assert group == type(group)(name="tiny", serve_as=("tiny",))


def test_the_commented_examples_are_good_too(tmp_path):
    text = (FOLDER / "cascadia.yaml").read_text()
    text = text.replace("upstreams: []", "upstreams:").replace("#  - url", "  - url")
    text = text.replace("\nmodels: {}\n#  chat:", "\nmodels:\n  chat:")
    text = re.sub(r"^#    (\w+:)", r"    \1", text, flags=re.MULTILINE)
    text = re.sub(r"^# (redis:|  \w+:)", r"\1", text, flags=re.MULTILINE)
    text = text.replace("database: {}", "database:")
    text = re.sub(r"^#  (url: postgresql|password: \${D)", r"  \1", text, flags=re.MULTILINE)
    text = re.sub(r"^ +(api_key_file|password_file): .*\n", "", text, flags=re.MULTILINE)
    file = tmp_path / "c.yaml"
    file.write_text(text)
    config = load(file, {"UPSTREAM_KEY": "a", "REDIS_PASSWORD": "b", "DATABASE_PASSWORD": "c"}).config
    assert config.upstreams[0].name == "big"
    assert config.models["chat"].split == {"stable": 95, "next": 5}
    assert config.redis is not None
    assert config.database.url is not None


def test_the_schema_file_is_up_to_date():
    assert (FOLDER / "cascadia.schema.json").read_text() == schema_text(), (
        "run: python -m gateway.cli.reference"
    )


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))
