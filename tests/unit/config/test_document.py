"""The file as text: what YAML is taken, and what is refused before it can hurt."""

from hypothesis import given
from hypothesis import strategies as st

from config.document import MOST_VALUES, Document, parse, read


def parsed(text, environ=None):
    document = Document("f.yaml")
    parse(text, document, environ or {})
    return document


def first(text, environ=None):
    problem = parsed(text, environ).problems[0]
    return problem.code, problem.where


def test_keys_and_values_know_their_places():
    document = parsed("server:\n  listen: x\nengines:\n  - name: a\n")
    assert document.data == {"server": {"listen": "x"}, "engines": [{"name": "a"}]}
    assert document.keys[("server", "listen")] == "f.yaml:2:3"
    assert document.values[("server", "listen")] == "f.yaml:2:11"
    assert document.values[("engines", 0, "name")] == "f.yaml:4:11"


def test_scalars_are_those_of_yaml_1_2():
    document = parsed("a: yes\nb: true\nc: 0x10\nd: 1.5\ne: ~\nf: 2026-01-01\ng: '5'\n")
    assert document.data == {"a": "yes", "b": True, "c": 16, "d": 1.5, "e": None, "f": "2026-01-01", "g": "5"}


def test_an_empty_file_is_an_empty_table():
    assert parsed("# nothing\n").data == {}
    assert parsed("").problems == []


def test_every_duplicate_is_found_and_the_first_kept():
    document = parsed("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n")
    assert [(p.code, p.where) for p in document.problems] == [
        ("CFG008", "f.yaml:2:1"),
        ("CFG008", "f.yaml:5:3"),
    ]
    assert document.data == {"a": 1, "b": {"c": 1}}


def test_a_tab_in_the_indentation_is_named():
    problem = parsed("a:\n\tb: 1\n").problems[0]
    assert (problem.where, problem.what) == ("f.yaml:2:1", "a tab in the indentation")


def test_a_list_at_the_top_is_refused():
    assert first("- a\n") == ("CFG004", "f.yaml:1:1")


def test_a_table_as_a_key_is_refused():
    assert first("{a: 1}: b\n")[0] == "CFG004"


def test_tags_are_refused():
    assert first("a: !!python/object:os.system x\n") == ("CFG004", "f.yaml:1:4")


def test_two_documents_are_refused():
    assert first("a: 1\n---\nb: 1\n")[0] == "CFG002"


def test_control_characters_are_refused_at_their_place():
    assert first("a: 1\nb: \x07\n") == ("CFG002", "f.yaml:2:4")


def test_aliases_may_repeat_a_value():
    assert parsed("a: &x [1, 2]\nb: *x\n").data == {"a": [1, 2], "b": [1, 2]}


def test_a_billion_laughs_is_refused_quickly():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    problem = parsed(text).problems[0]
    assert problem.code == "CFG002"
    assert str(MOST_VALUES) in problem.what


def test_an_alias_of_itself_is_refused():
    assert parsed("a: &a [*a]\n").problems[0].code == "CFG002"


def test_deep_nesting_is_refused():
    assert parsed("a: " + "[" * 40 + "]" * 40 + "\n").problems[0].code == "CFG002"
    assert parsed("[" * 20_000).problems[0].code == "CFG002"


def test_text_that_is_not_utf_8_is_refused_at_its_byte(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    problem = read(file, "f.yaml", {}).problems[0]
    assert (problem.code, problem.where) == ("CFG002", "f.yaml:2:7")


def test_a_byte_order_mark_is_nothing():
    assert parsed("a: 1".encode("utf-8-sig").decode("utf-8-sig")).data == {"a": 1}


def test_an_unset_variable_is_refused_and_a_like_one_suggested():
    document = parsed("a: ${GPU_KYE}\n", {"GPU_KEY": "x"})
    problem = document.problems[0]
    assert (problem.code, problem.where, problem.hint) == ("CFG009", "f.yaml:1:4", "did you mean 'GPU_KEY'?")


def test_a_reference_that_is_none_is_refused():
    assert first("a: ${1x}\n") == ("CFG009", "f.yaml:1:4")
    assert first("a: 'x ${OPEN'\n") == ("CFG009", "f.yaml:1:4")


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused_and_never_an_exception(text):
    document = parsed(text)
    assert all(problem.where.startswith("f.yaml:") for problem in document.problems)
