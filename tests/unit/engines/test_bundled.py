"""The bundled model's folder is whole, and the corpus it was trained on makes what it promises."""

import itertools
import json
import math
import random
import re
import struct
from pathlib import Path

import pytest

from engines.bundled import MODEL_NAME, model_path
from engines.bundled.corpus import Sample, chat_samples
from engines.bundled.facts import CITIES, HELD_OUT_CITIES, HELD_OUT_SUBJECTS, SUBJECTS
from engines.bundled.names import Names
from engines.bundled.tooluse import tool_samples

CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>")


def json_file(name: str) -> dict:
    return json.loads((model_path() / name).read_text())


def weights_header() -> dict:
    raw = (model_path() / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + size])


def made(seed: int, count: int) -> list[Sample]:
    rng = random.Random(seed)
    names = Names(rng)
    chats, calls = chat_samples(rng, names), tool_samples(rng, names)
    return [*itertools.islice(chats, count), *itertools.islice(calls, count)]


def test_folder_holds_all_that_an_engine_and_a_reader_need():
    assert model_path().name == MODEL_NAME
    assert {file.name for file in model_path().iterdir()} == {
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_weights_are_small_enough_to_ship():
    assert (model_path() / "model.safetensors").stat().st_size <= 3_000_000


def test_weights_have_the_shapes_of_the_configuration():
    config, header = json_file("config.json"), weights_header()
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    layers = {name.split(".")[2] for name in tensors if name.startswith("model.layers.")}
    assert len(layers) == config["num_hidden_layers"]
    assert tensors["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    assert {entry["dtype"] for entry in tensors.values()} == {"BF16"}
    for entry in tensors.values():
        begin, end = entry["data_offsets"]
        assert end - begin == 2 * math.prod(entry["shape"])
    file_bytes = (model_path() / "model.safetensors").stat().st_size
    header_bytes = struct.unpack("<Q", (model_path() / "model.safetensors").read_bytes()[:8])[0]
    assert 8 + header_bytes + max(e["data_offsets"][1] for e in tensors.values()) == file_bytes


def test_the_end_of_a_message_ends_generation():
    tokens = {token["content"]: token["id"] for token in json_file("tokenizer.json")["added_tokens"]}
    assert json_file("config.json")["eos_token_id"] == tokens["<|im_end|>"]
    assert json_file("generation_config.json")["eos_token_id"] == tokens["<|im_end|>"]


@pytest.mark.parametrize("marker", ["<think>", "</think>", "<tool_call>", "</tool_call>"])
def test_a_marker_is_one_token_that_stays_visible(marker: str):
    (token,) = (t for t in json_file("tokenizer.json")["added_tokens"] if t["content"] == marker)
    assert not token["special"]
    assert token["id"] < json_file("config.json")["vocab_size"]


def test_nothing_of_the_machine_that_trained_it_is_in_the_folder():
    texts = (file.read_text() for file in model_path().iterdir() if file.suffix in {".json", ".jinja", ".md"})
    assert not [word for text in texts for word in re.findall(r"/(?:work|tmp|root|home)/\S*", text)]


def test_corpus_is_a_function_of_its_seed():
    assert made(1, 200) == made(1, 200)
    assert made(1, 200) != made(2, 200)


def test_every_sample_ends_with_an_answer_and_thinks_only_when_asked_to():
    for sample in made(3, 500):
        last = sample.messages[-1]
        assert last["role"] == "assistant"
        assert last["content"]
        assert last["content"].startswith("<think>") == sample.thinking
        assert not any("<think>" in m["content"] for m in sample.messages[:-1])


def test_every_call_is_valid_and_names_an_offered_tool_with_its_parameters():
    calls = [
        (sample, json.loads(text))
        for sample in made(4, 500)
        for text in CALL.findall(sample.messages[-1]["content"])
    ]
    assert len(calls) > 100
    for sample, call in calls:
        offered = {t["function"]["name"]: t["function"]["parameters"]["required"] for t in sample.tools}
        assert list(call["arguments"]) == offered[call["name"]]


def test_every_argument_can_be_copied_from_the_question():
    for sample in made(5, 500):
        for text in CALL.findall(sample.messages[-1]["content"]):
            question = sample.messages[-2]["content"]
            assert all(str(value) in question for value in json.loads(text)["arguments"].values())


def test_held_out_names_never_occur_in_training():
    assert not set(CITIES) & set(HELD_OUT_CITIES)
    assert not set(SUBJECTS) & set(HELD_OUT_SUBJECTS)
    seen, unseen = Names(random.Random(1)), Names(random.Random(1), held_out=True)
    assert not {seen.word() for _ in range(3000)} & {unseen.word() for _ in range(3000)}


def test_model_path_is_inside_the_package():
    assert model_path().parent == Path(__import__("engines.bundled").bundled.__file__).parent
