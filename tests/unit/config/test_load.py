"""Where values come from, which source wins, and what is said about wrong ones."""

from pathlib import Path

import pytest

from config.load import Override, find, load
from config.problems import MOST_REPORTED, ConfigErrors


@pytest.fixture
def write(tmp_path):
    def _write(text, mode=0o600):
        file = tmp_path / "cascadia.yaml"
        file.write_text(text)
        file.chmod(mode)
        return file

    return _write


def refused(file, environ=None, **more):
    with pytest.raises(ConfigErrors) as error:
        load(file, environ or {}, **more)
    return error.value


def test_without_a_file_the_defaults_are_in_force():
    loaded = load(None, {})
    assert loaded.config.server.listen == "127.0.0.1:8000"
    assert loaded.origin(("server", "listen")) == "default"


def test_option_beats_environment_beats_file_beats_default(write):
    file = write("server:\n  listen: 127.0.0.1:1\n")
    environ = {"CASCADIA_SERVER__LISTEN": "127.0.0.1:2"}
    option = Override(("server", "listen"), "127.0.0.1:3", "--listen")
    where = ("server", "listen")
    from_file, from_variable = load(file, {}), load(file, environ)
    from_option = load(file, environ, overrides=[option])
    listens = [each.config.server.listen for each in (from_file, from_variable, from_option)]
    assert listens == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]
    assert from_file.origin(where) == f"{file}:2:11"
    assert from_variable.origin(where) == "CASCADIA_SERVER__LISTEN"
    assert from_option.origin(where) == "--listen"


def test_a_value_left_out_of_a_written_section_comes_from_nowhere_but_the_default(write):
    loaded = load(write("server:\n  listen: 127.0.0.1:1\n"), {})
    assert loaded.origin(("server", "admin_listen")) == "default"
    assert ("server",) not in loaded.origins


def test_an_appended_override_keeps_what_the_file_lists(write):
    file = write("upstreams:\n  - url: http://127.0.0.1:1\n")
    more = Override(("upstreams",), {"url": "http://127.0.0.1:2"}, "--upstream", append=True)
    loaded = load(file, {}, overrides=[more])
    assert [upstream.url for upstream in loaded.config.upstreams] == [
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    ]
    assert loaded.origin(("upstreams", 1, "url")) == "--upstream"


def test_variables_have_the_type_of_their_key():
    environ = {
        "CASCADIA_SERVER__DRAIN_SECONDS": "5",
        "CASCADIA_SERVER__INSECURE_LISTEN": "true",
        "CASCADIA_ADMISSION__MAX_QUEUE": "7",
        "CASCADIA_ENGINES": '[{"name": "a", "args": ["--x"], "env": {"A": "b"}}]',
    }
    config = load(None, environ).config
    assert (config.server.drain_seconds, config.server.insecure_listen, config.admission.max_queue) == (
        5.0,
        True,
        7,
    )
    assert (config.engines[0].args, config.engines[0].env) == (("--x",), {"A": "b"})


def test_a_variable_that_is_not_json_is_named():
    problem = refused(None, {"CASCADIA_UPSTREAMS": "http://a"}).problems[0]
    assert (problem.code, problem.where) == ("CFG012", "CASCADIA_UPSTREAMS")


def test_a_wrong_value_of_a_variable_is_reported_at_the_variable():
    problem = refused(None, {"CASCADIA_SERVER__DRAIN_SECONDS": "soon"}).problems[0]
    assert (problem.code, problem.where) == ("CFG004", "CASCADIA_SERVER__DRAIN_SECONDS")


def test_an_unknown_variable_is_a_warning_with_a_suggestion():
    loaded = load(None, {"CASCADIA_SERVER__LISTN": "127.0.0.1:1"})
    assert loaded.config.server.listen == "127.0.0.1:8000"
    assert loaded.warnings == (
        "CASCADIA_SERVER__LISTN is not a setting and is ignored: did you mean CASCADIA_SERVER__LISTEN?",
    )


def test_variables_that_are_not_settings_are_no_warning():
    assert load(None, {"CASCADIA_API_KEY": "x", "CASCADIA_CONFIG": "y", "OTHER": "z"}).warnings == ()


def test_a_secret_can_come_from_a_file_that_a_variable_names(tmp_path):
    environ = {
        "CASCADIA_UPSTREAMS_FILE": str(tmp_path / "upstreams.json"),
        "CASCADIA_LOGGING__LEVEL_FILE": str(tmp_path / "level"),
    }
    for name, text in (
        ("upstreams.json", '[{"url": "http://h", "api_key": "hunter2"}]'),
        ("level", "debug\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o400)
    config = load(None, environ).config
    assert config.upstreams[0].api_key.get_secret_value() == "hunter2"
    assert config.logging.level == "debug"


def test_a_secret_file_of_a_variable_that_others_can_read_is_refused(tmp_path):
    secret = tmp_path / "level"
    secret.write_text("debug")
    secret.chmod(0o644)
    problem = refused(None, {"CASCADIA_LOGGING__LEVEL_FILE": str(secret)}).problems[0]
    assert (problem.code, problem.next_command) == ("CFG010", f"chmod 600 {secret}")


def test_relative_paths_of_the_file_are_meant_from_its_folder_and_others_from_the_working_folder(
    write, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = write("data_dir: state\nengines:\n  - {name: a, model: ./weights, python: bin/python}\n")
    config = load(file, {}).config
    assert config.data_dir == tmp_path / "state"
    assert (config.engines[0].model, config.engines[0].python) == (
        str(tmp_path / "weights"),
        tmp_path / "bin" / "python",
    )
    environ = {"CASCADIA_DATA_DIR": "state", "CASCADIA_ENGINES": '[{"name": "a", "python": "bin/python"}]'}
    config = load(file, environ).config
    assert (config.data_dir, config.engines[0].python) == (elsewhere / "state", elsewhere / "bin" / "python")


def test_a_hugging_face_id_is_not_taken_for_a_path(write):
    assert load(write("engines: [{name: a, model: org/name}]"), {}).config.engines[0].model == "org/name"


def test_an_interpolated_number_is_a_number(write):
    file = write("server:\n  drain_seconds: ${DRAIN:-7}\nengines:\n  - {name: a, replicas: '${N}'}\n")
    config = load(file, {"N": "3"}).config
    assert (config.server.drain_seconds, config.engines[0].replicas) == (7.0, 3)


def test_an_interpolated_secret_of_digits_stays_text(write):
    file = write("upstreams:\n  - {url: 'http://h', api_key: '${K}'}\n", mode=0o644)
    assert load(file, {"K": "12345"}).config.upstreams[0].api_key.get_secret_value() == "12345"


def test_a_variable_does_not_mend_a_section_of_the_wrong_type(write):
    problems = refused(write("server: 5\n"), {"CASCADIA_SERVER__LISTEN": "127.0.0.1:1"}).problems
    assert [(problem.code, problem.where.rsplit(":", 2)[1]) for problem in problems] == [("CFG004", "1")]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(write):
    file = write(
        "server:\n  lisen: x\n  drain_seconds: soon\ntimeouts:\n  connect: -1\nadmission:\n  policy: best\n"
        "upstreams:\n  - url: ftp://h\n    api_key: ${UNSET_VARIABLE}\n"
    )
    error = refused(file)
    assert [problem.code for problem in error.problems] == [
        "CFG003",
        "CFG004",
        "CFG006",
        "CFG005",
        "CFG006",
        "CFG009",
    ]
    assert [int(problem.where.split(":")[-2]) for problem in error.problems] == [2, 3, 5, 7, 9, 10]


def test_no_more_than_twenty_problems_are_listed_and_the_rest_is_counted(write):
    error = refused(write("".join(f"key{number}: 1\n" for number in range(25))))
    assert len(error.problems) == 25
    assert error.report().count("CFG003") == MOST_REPORTED
    assert "... and 5 more" in error.report()


def test_the_last_line_is_what_mends_the_only_problem_else_what_checks_again(write):
    assert (
        refused(write("upstreams: [{url: 'http://h', api_key: '${UNSET}'}]"))
        .report()
        .endswith("\nnext: export UNSET=VALUE")
    )
    file = write("a: 1\nb: 2\n")
    assert refused(file).report().endswith(f"\nnext: cascadia check --config {file}")


def test_a_key_at_the_wrong_place_is_told_its_right_one(write):
    assert refused(write("maxQueue: 3\n")).problems[0].hint == "did you mean 'max_queue' under 'admission'?"


def test_an_empty_section_says_so(write):
    problem = refused(write("auth:\n")).problems[0]
    assert "nothing stands there" in problem.what


def test_a_secret_written_in_an_open_file_is_refused_and_never_repeated(write):
    file = write("upstreams:\n  - url: http://h\n    api_key: sk-topsecret\n", mode=0o640)
    error = refused(file)
    assert [problem.code for problem in error.problems] == ["CFG010"]
    assert "sk-topsecret" not in error.report()
    file.chmod(0o600)
    assert "sk-topsecret" not in repr(load(file, {}))


def test_a_wrong_secret_is_not_quoted(write):
    report = refused(
        write("upstreams:\n  - url: http://user:sk-topsecret@h\n    api_key: [sk-topsecret]\n")
    ).report()
    assert "sk-topsecret" not in report


def test_an_open_key_file_is_refused(write, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text("{}")
    keys.chmod(0o644)
    assert refused(write("auth: {keys_file: keys.json}")).next_command == f"chmod 600 {keys}"


def test_a_key_file_that_does_not_exist_yet_is_accepted(write, tmp_path):
    assert load(write("auth: {keys_file: keys.json}"), {}).config.auth.keys_file == tmp_path / "keys.json"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("server: {listen: '0.0.0.0:80'}\n", "server.listen"),
        ("server: {admin_listen: 'gpu1:80'}\n", "server.admin_listen"),
        ("server: {admin_listen: '127.0.0.1:8000'}\n", "server.admin_listen"),
        ("upstreams: [{url: 'http://h', api_key: '${K}', api_key_file: k}]\n", "api_key_file"),
        ("engines: [{name: a}, {name: a}]\n", "'a' is used twice"),
        (
            "engines: [{name: a, replicas: 2}]\nupstreams: [{url: 'http://h', name: a-1}]\n",
            "'a-1' is that of a",
        ),
        ("engines: [{name: upstream}]\nupstreams: [{url: 'http://h'}]\n", "'upstream-0' is that of a"),
        ("redis: {url: 'redis://h', password: '${K}', password_file: k}\n", "password_file"),
        ("redis: {url: 'redis://h', kind: sentinel}\n", "'master'"),
        ("redis: {url: 'redis://h', master: m}\n", "'master'"),
        ("redis: {url: 'redis://h', others: ['h:1']}\n", "'others'"),
        ("redis: {url: 'unix:///s', kind: cluster}\n", "unix socket"),
        ("redis: {url: 'redis://h/1', kind: cluster}\n", "a database"),
        ("redis: {url: 'redis://h', ca_file: c}\n", "'ca_file'"),
    ],
)
def test_contradictions_are_refused_with_the_reason(write, text, at):
    problem = refused(write(text), {"K": "v"}).problems[0]
    assert problem.code == "CFG011"
    assert at in problem.what


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:80", "[::1]:80", "unix:/run/cascadia.sock"])
def test_addresses_of_this_machine_alone_are_accepted(listen):
    assert load(None, {"CASCADIA_SERVER__LISTEN": listen}).config.server.listen == listen


def test_a_file_that_is_missing_a_folder_or_too_large_is_refused(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_text("#" * (256 * 1024 + 1))
    for file in (tmp_path / "none.yaml", tmp_path, large):
        error = refused(file)
        assert [problem.code for problem in error.problems] == ["CFG001"]
        assert error.problems[0].where == f"{file}:1:1"


def test_the_file_is_the_named_one_else_the_variables_else_the_usual_one(tmp_path):
    named = Path("named.yaml")
    assert find(named, {"CASCADIA_CONFIG": "variable.yaml"}, tmp_path) == named
    assert find(None, {"CASCADIA_CONFIG": "variable.yaml"}, tmp_path) == Path("variable.yaml")
    assert find(None, {}, tmp_path) is None
    (tmp_path / "cascadia.yaml").touch()
    assert find(None, {}, tmp_path) == Path("cascadia.yaml")
