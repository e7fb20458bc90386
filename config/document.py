"""One YAML file as plain values, with the place of every key and value, for messages that point at them.

Built from ruamel's node graph instead of its loaded objects: all duplicates are found at once, and an alias costs
nothing until it is expanded here, where the number of values is bounded ("billion laughs").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner, ScannerError

from config.interpolate import BadReference, UnsetVariable, has_reference, interpolate
from config.problems import ConfigProblem
from config.shape import KeyPath, closest, dotted

MOST_BYTES = 256 * 1024
"""Largest configuration file."""
MOST_VALUES = 10_000
"""Most keys and values of one file, with aliases expanded."""
_DEEPEST = 24

_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}
# A date is not a type of ours; whoever writes one means text.
_TEXT_TAGS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"}


@dataclass(slots=True)
class Document:
    """A parsed file: `data` as plain values, and where each key and each value stands (line, column from 1)."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[KeyPath, str] = field(default_factory=dict)
    values: dict[KeyPath, str] = field(default_factory=dict)
    texts: set[KeyPath] = field(default_factory=set)
    """Values that came out of a `${VAR}`: text, whatever type the key has."""
    broken: set[KeyPath] = field(default_factory=set)
    """Values already reported: nothing more is to be said about them."""
    problems: list[ConfigProblem] = field(default_factory=list)

    def refuse(self, code: str, where: str, what: str, why: str, **more: str | None) -> None:
        """Note a problem. `where` is a position in this file."""
        self.problems.append(ConfigProblem(code, where, what, why, **more))


def read(path: Path, name: str, environ: Mapping[str, str]) -> Document:
    """Read and parse the file at `path`, called `name` in messages. Problems are in the result, never raised."""
    document = Document(name)
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        document.refuse(
            "CFG001",
            f"{name}:1:1",
            f"cannot read {name}: {(error.strerror or str(error)).lower()}",
            "the configuration is read once, before anything starts",
            hint="give the file with --config, or run without one to use the defaults",
            next_command=f"ls -l {name}",
        )
        return document
    if len(raw) > MOST_BYTES:
        document.refuse(
            "CFG001",
            f"{name}:1:1",
            f"the file is larger than {MOST_BYTES} bytes",
            "a configuration is a few kilobytes; this is probably another file",
            next_command=f"head -c 300 {name}",
        )
        return document
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        document.refuse(
            "CFG002",
            f"{name}:{line}:{column}",
            f"byte 0x{raw[error.start]:02x} is not UTF-8",
            "the file is read as UTF-8, as YAML demands",
            hint="save the file as UTF-8",
            next_command=f"iconv -f latin1 -t utf-8 {name}",
        )
        return document
    parse(text, document, environ)
    return document


def parse(text: str, document: Document, environ: Mapping[str, str]) -> None:
    """Fill `document` from `text`."""
    # typ="safe" with pure=True: the parser written in Python, the only one that gives columns of keys.
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _BoundedScanner
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        _refuse_syntax(document, text, error)
    except (ReaderError, RecursionError, ValueError, YAMLError) as error:
        _refuse_text(document, text, error)
    else:
        if root is not None:
            _Builder(document, environ, yaml).root(root)


def _refuse_syntax(document: Document, text: str, error: MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    # ruamel notices a forgotten colon or quote where it can go on no longer: past the end, sometimes.
    line = min(line, max(len(lines) - 1, 0))
    shown = lines[line] if lines else ""
    indent = shown[: len(shown) - len(shown.lstrip())]
    what = (error.problem or error.context or "not YAML").strip()
    if "\t" in indent:
        what, hint = "a tab in the indentation", "indent with spaces"
        column = indent.index("\t")
    else:
        hint = _syntax_hint(what)
    document.refuse(
        "CFG002",
        f"{document.name}:{line + 1}:{column + 1}",
        what,
        (error.context or "the text is not YAML").strip(),
        hint=hint,
    )


def _syntax_hint(what: str) -> str:
    hints = {
        "mapping values are not allowed": "check the indentation here, and quote text that holds ': '",
        "could not find expected ':'": "write 'key: value' with a colon and a space",
        "expected <block end>": "indent this line like the lines it belongs with",
        "expected a single document": "keep one document in the file: remove the '---'",
        "found undefined alias": "define the anchor (&name) before its alias (*name)",
        "found unexpected end of stream": "close the quote or the bracket that begins here",
        "cannot start any token": "quote this value",
    }
    return next(
        (hint for part, hint in hints.items() if part in what), "check indentation, quotes and brackets"
    )


def _refuse_text(document: Document, text: str, error: Exception) -> None:
    position = error.position if isinstance(error, ReaderError) else 0
    before = text[:position]
    line = before.count("\n") + 1
    what = (
        "nested too deeply" if isinstance(error, RecursionError) else "a character that YAML does not allow"
    )
    document.refuse(
        "CFG002",
        f"{document.name}:{line}:{position - (before.rfind(chr(10)) + 1) + 1}",
        what,
        "the text is not YAML",
        hint="remove it",
    )


class _BoundedScanner(Scanner):
    """Refuses deep [[[[ before it is parsed: ruamel's time grows with the square of the depth (8 s for 20,000)."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803 - ruamel's name
        """Open a bracket or brace, unless too many are open."""
        if self.flow_level >= _DEEPEST:
            raise ScannerError(None, None, f"nested more than {_DEEPEST} deep", self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class _Stop(Exception):
    """The file is too large or too deep to go on."""


class _Builder:
    """Turns nodes into values, noting where each stands."""

    def __init__(self, document: Document, environ: Mapping[str, str], yaml: YAML) -> None:
        self._document = document
        self._environ = environ
        self._constructor = yaml.constructor
        self._values = 0

    def root(self, node: Node) -> None:
        document = self._document
        if not isinstance(node, MappingNode):
            if isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null":
                return
            document.refuse(
                "CFG004",
                self._at(node),
                "the file must hold 'key: value' lines",
                "the top level of a configuration is a table of sections",
                hint="begin with a section such as 'server:'",
            )
            return
        try:
            document.data = self._mapping(node, ())
        except _Stop as stop:
            document.refuse(
                "CFG002",
                self._at(node),
                str(stop),
                "no real configuration is that large; aliases (*name) multiply what they stand for",
                hint="write the values out, without aliases",
            )

    def _at(self, node: Node) -> str:
        mark = node.start_mark
        return f"{self._document.name}:{mark.line + 1}:{mark.column + 1}"

    def _value(self, node: Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _Stop(f"more than {MOST_VALUES} values")
        if len(path) > _DEEPEST:
            raise _Stop(f"nested more than {_DEEPEST} deep")
        self._document.values[path] = self._at(node)
        if str(node.tag) not in _PLAIN_TAGS | _TEXT_TAGS:
            return self._refuse_tag(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _refuse_tag(self, node: Node, path: KeyPath) -> None:
        self._document.broken.add(path)
        self._document.refuse(
            "CFG004",
            self._at(node),
            f"the tag {node.tag} is not accepted",
            "values are text, numbers, true, false, lists and tables",
            hint="remove the '!'",
        )

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                self._refuse_key(key_node)
                continue
            here = (*path, key)
            if key in result:
                self._document.refuse(
                    "CFG008",
                    self._at(key_node),
                    f"the key '{dotted(here)}' is written twice",
                    f"its first place is {self._document.keys[here]}; which of the two counts would be a guess",
                    hint="remove one of them",
                )
                continue
            self._document.keys[here] = self._at(key_node)
            result[key] = self._value(value_node, here)
        return result

    def _refuse_key(self, node: Node) -> None:
        self._document.refuse(
            "CFG004", self._at(node), "a list or table stands where a key belongs", "keys are plain text"
        )

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        text = str(node.value)
        if str(node.tag) in _TEXT_TAGS:
            return text
        if str(node.tag) != "tag:yaml.org,2002:str":
            try:
                return self._constructor.construct_object(node)
            except (ValueError, YAMLError):
                return text
        return self._interpolated(node, text, path) if has_reference(text) else text

    def _interpolated(self, node: ScalarNode, text: str, path: KeyPath) -> str:
        self._document.texts.add(path)
        try:
            return interpolate(text, self._environ)
        except UnsetVariable as unset:
            near = closest(unset.name, self._environ)
            self._document.refuse(
                "CFG009",
                self._at(node),
                f"the variable {unset.name} is not set",
                f"'{dotted(path)}' takes its value from it, and it has no default",
                hint=f"did you mean '{near}'?" if near else f"set it, or write ${{{unset.name}:-default}}",
                next_command=f"export {unset.name}=VALUE",
            )
        except BadReference as bad:
            self._document.refuse(
                "CFG009",
                self._at(node),
                f"'{bad}' is not a reference to a variable",
                "a reference is ${NAME} or ${NAME:-default}",
                hint="write $${ for a plain ${",
            )
        self._document.broken.add(path)
        return ""
