"""Requests as bytes, right and wrong, and what may be said to each: a table, judged by `wire` (A1-A9, G17).

`@KEY@` stands for a key that is good. Behind each request a canary is sent in the same write, a request that is right:
where the framing of what came before it is in doubt it must never be answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from tests.support.gateway import MODEL


class Fate(Enum):
    """What becomes of the connection."""

    CLOSED = "closed"  # nothing behind the request is read
    KEPT = "kept"  # the canary is answered
    EITHER = "either"  # closed, or kept and in step
    WAITING = "waiting"  # the request is not complete: what is sent behind it is part of it, or is refused


@dataclass(frozen=True)
class Case:
    """One row. `statuses` are those that may be answered; `dispatches` is how many calls it is worth to an engine."""

    name: str
    raw: bytes
    statuses: frozenset[int]
    fate: Fate
    dispatches: int = 0
    is_head: bool = False
    """The answer has no body, whatever its length says."""


BODY = json.dumps(
    {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}, separators=(",", ":")
).encode()
CHAT, MODELS = b"/v1/chat/completions", b"/v1/models"
HOST = b"Host: localhost"
KEY = b"Authorization: Bearer @KEY@"
JSON = b"Content-Type: application/json"
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
CANARY_ID = b"canary"


def request(
    *lines: bytes,
    body: bytes = BODY,
    first: bytes = b"POST " + CHAT + b" HTTP/1.1",
    host: bytes | None = HOST,
    key: bytes | None = KEY,
    end: bytes = b"\r\n",
) -> bytes:
    """A request from its lines. What frames the body is among `lines`, or is forgotten."""
    head = [line for line in (first, host, key, JSON, *lines) if line is not None]
    return end.join(head) + 2 * end + body


def get(*lines: bytes, path: bytes = MODELS, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return request(*lines, first=b"%b %b %b" % (method, path, version), body=b"")


CANARY = request(LENGTH, b"X-Request-Id: " + CANARY_ID)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = request(LENGTH, b"X-Request-Id: smuggled")


def refused(name: str, raw: bytes, *statuses: int) -> Case:
    """Not HTTP as we speak it: 400, and the connection is closed."""
    return Case(name, raw, frozenset(statuses or {400}), Fate.CLOSED)


def denied(name: str, raw: bytes, *statuses: int) -> Case:
    """Well-formed, and not served: nothing reaches an engine, the connection may live on if it is in step."""
    return Case(name, raw, frozenset(statuses), Fate.EITHER)


def served(name: str, raw: bytes) -> Case:
    """Right: dispatched, and the connection is kept."""
    return Case(name, raw, frozenset({200}), Fate.KEPT, 1)


def lenient(name: str, raw: bytes) -> Case:
    """Odd, and harmless when read in the one way that there is: served in step, or refused."""
    return Case(name, raw, frozenset({200, 400}), Fate.EITHER, 1)


def unfinished(name: str, raw: bytes, *statuses: int) -> Case:
    """Its end has not come: no answer yet, or a refusal; never a dispatch."""
    return Case(name, raw, frozenset(statuses or {400}), Fate.WAITING)


def _shown(value: bytes) -> str:
    return ascii(value.decode("latin-1"))[1:-1][:40]


# --- two framings in one request


def both_framings() -> Iterator[Case]:
    values = (
        b"chunked", b"Chunked", b"identity", b"chunked, identity", b"gzip, chunked", b"xchunked", b"", b"chunked;q=1",
        b"chunked, chunked", b"\tchunked", b"chunked\t", b"\x0bchunked", b"'chunked'",
    )  # fmt: skip
    smuggling = b"0\r\n\r\n" + SMUGGLED
    for value in values:
        coding = b"Transfer-Encoding: " + value
        length = b"Content-Length: %d" % len(smuggling)
        yield refused(f"length, then {_shown(value)}", request(length, coding, body=smuggling))
        yield refused(f"{_shown(value)}, then length", request(coding, length, body=smuggling))
        yield refused(
            f"{_shown(value)} and a short length", request(b"Content-Length: 4", coding, body=CHUNKS)
        )
    for name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"Transfer_Encoding"):
        odd = name + b": chunked"
        yield refused(f"length and {_shown(name)}", request(LENGTH, odd, body=smuggling))
    yield refused(
        "length and a folded coding", request(LENGTH, b"Transfer-Encoding:\r\n chunked", body=smuggling)
    )


def lengths() -> Iterator[Case]:
    size = len(BODY)
    for value in (
        b"+%d", b"-%d", b"0x%d", b"%d %d", b"%d,%d", b"%d, %d", b"%d,", b",%d", b"%d;", b"%d.0", b"%de0", b"'%d'",
        b"%d\x00", b"\x0b%d", b"%da", b"a%d", b"\xb2%d", b"%d-", b"%d_0", b"%d\t%d",
    ):  # fmt: skip
        text = value.replace(b"%d", b"%d" % size)
        yield refused(f"length {_shown(value)}", request(b"Content-Length: " + text))
    for value in (b"", b" ", b"99999999999999999999", b"18446744073709551616", b"9" * 400):
        yield refused(f"length {_shown(value)!r}", request(b"Content-Length: " + value), 400, 413)
    for pair in ((size, size), (size, 0), (0, size), (size, 1000), (size, size + 1)):
        lines = [b"Content-Length: %d" % each for each in pair]
        yield refused(f"lengths {pair}", request(*lines))
        yield refused(f"lengths {pair} apart", request(lines[0], b"X-A: b", lines[1]))
        yield refused(f"lengths {pair} in two cases", request(lines[0], lines[1].lower()))
    for name in (
        b"Content-Length ",
        b"Content-Length\t",
        b" Content-Length",
        b"Content_Length",
        b"Content-Length\x00",
    ):
        yield refused(f"length in {_shown(name)}", request(b"%b: %d" % (name, size)))
        yield refused(f"length and another in {_shown(name)}", request(LENGTH, b"%b: 0" % name))
    yield refused("length over two lines", request(b"Content-Length: 1\r\n 0"))
    yield refused("length on the next line", request(b"Content-Length:\r\n %d" % size))
    yield lenient("length with zeros before it", request(b"Content-Length: 00%d" % size))
    yield lenient("length with spaces around it", request(b"Content-Length:   %d  " % size))
    yield lenient("length with a tab before it", request(b"Content-Length:\t%d" % size))
    yield served("length without a space", request(b"Content-Length:%d" % size))
    yield served("length", request(LENGTH))
    yield denied("no framing at all", request(body=b""), 400)
    yield Case("a body without a framing", request(), frozenset({400}), Fate.CLOSED)
    yield unfinished("length above what comes", request(b"Content-Length: %d" % (size + len(CANARY) + 1)))


def too_long() -> Iterator[Case]:
    for value in (b"9223372036854775808", b"10737418240", b"8388609"):
        yield refused(f"length {_shown(value)}", request(b"Content-Length: " + value), 400, 413)


def codings() -> Iterator[Case]:
    for value in (b"chunked", b"Chunked", b"CHUNKED"):
        yield served(f"coding {_shown(value)}", request(b"Transfer-Encoding: " + value, body=CHUNKS))
    for value in (b"chunked ", b"  chunked", b"chunked\t", b"\tchunked"):
        yield lenient(f"coding {_shown(value)!r}", request(b"Transfer-Encoding: " + value, body=CHUNKS))
    for value in (
        b"identity", b"gzip", b"identity, chunked", b"gzip, chunked", b",chunked", b"trailers, chunked", b"xchunked", b"chunkedx", b"chunked, identity", b"chunked, gzip",
        b"chunked, chunked", b"chunked;a=b", b"chunked ;a", b"chunked,", b'"chunked"',
        b"'chunked'", b"chunked\x00", b"ch\x00unked", b"\x0bchunked", b"\x0cchunked", b"ch unked", b"chunked chunked",
        b"\xc3\xa7hunked", b"", b"deflate", b"chunked\x0b", b"chun\rked",
    ):  # fmt: skip
        raw = request(b"Transfer-Encoding: " + value, body=CHUNKS)
        yield refused(f"coding {_shown(value)!r}", raw, 400, 501)
    for first, second in (
        (b"chunked", b"chunked"),
        (b"chunked", b"identity"),
        (b"chunked", b"x"),
        (b"identity", b"chunked"),
        (b"x", b"chunked"),
    ):
        lines = [b"Transfer-Encoding: " + value for value in (first, second)]
        yield refused(f"codings {_shown(first)} and {_shown(second)}", request(*lines, body=CHUNKS), 400, 501)
    for name in (
        b"Transfer-Encoding ",
        b"Transfer-Encoding\t",
        b" Transfer-Encoding",
        b"Transfer_Encoding",
        b"Transfer-Encoding\x00",
    ):
        yield refused(f"coding in {_shown(name)!r}", request(name + b": chunked", body=CHUNKS))
    yield refused("coding on the next line", request(b"Transfer-Encoding:\r\n chunked", body=CHUNKS))
    yield refused("coding behind a bare LF", request(b"X-A: b\nTransfer-Encoding: chunked", body=CHUNKS))
    yield refused("coding behind a bare CR", request(b"X-A: b\rTransfer-Encoding: chunked", body=CHUNKS))
    first = b"POST " + CHAT + b" HTTP/1.0"
    raw = request(CHUNKED, body=CHUNKS, first=first)
    yield Case("coding in HTTP/1.0", raw, frozenset({200, 400}), Fate.CLOSED, 1)


def chunks() -> Iterator[Case]:
    size, rest = b"%x" % len(BODY), BODY + b"\r\n0\r\n\r\n"
    for value in (
        b"g", b"-%s", b"+%s", b"0x%s", b" %s", b"\t%s", b"", b"%s,", b"%s%%", b"%sg", b"'%s'", b"%s\x00", b"\x00%s",
        b"1_0", b"\xff", b"ffffffffffffffffff", b"-1", b"%s %s", b"0x", b"\x0b%s",
    ):  # fmt: skip
        text = value.replace(b"%s", size)
        yield refused(f"chunk of {_shown(value)!r}", request(CHUNKED, body=text + b"\r\n" + rest))
    for value in (b"ffffffffffffffff", b"fffffffffffffff", b"7fffffffffffffff", b"100000000"):
        yield unfinished(f"chunk of {_shown(value)}", request(CHUNKED, body=value + b"\r\n" + rest), 400, 413)
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x00\r\n"):
        yield refused(f"chunk size ends with {_shown(end)}", request(CHUNKED, body=size + end + rest))
    for end in (b"\n", b"\r", b"XX", b"", b"\n\r", b" \r\n", b"\r\r\n", b"0\r\n"):
        body = b"%b\r\n%b%b0\r\n\r\n" % (size, BODY, end)
        yield refused(f"chunk ends with {_shown(end)!r}", request(CHUNKED, body=body))
    for longer in (b"X", b"\x00", b"}"):
        body = b"%b\r\n%b%b\r\n0\r\n\r\n" % (size, BODY, longer)
        yield refused(f"chunk longer than its size by {_shown(longer)}", request(CHUNKED, body=body))
    for last in (
        b"0\n\n",
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\n\rX",
        b"0\r\r\n\r\n",
        b"-0\r\n\r\n",
        b"0 0\r\n\r\n",
    ):
        body = b"%b\r\n%b\r\n%b" % (size, BODY, last)
        yield refused(f"last chunk {_shown(last)}", request(CHUNKED, body=body))
    for extension in (b";", b";a", b";a=b", b';a="b"', b"; a = b", b";a;b;c", b" ;a"):
        body = b"%b%b\r\n%b" % (size, extension, rest)
        yield lenient(f"extension {_shown(extension)}", request(CHUNKED, body=body))
    for extension in (b";\x00", b";a\n", b";a\rb", b";a=\x01", b';a="\r\n"'):
        body = b"%b%b\r\n%b" % (size, extension, rest)
        yield refused(f"extension {_shown(extension)}", request(CHUNKED, body=body))
    yield refused("extension of 200 KB", request(CHUNKED, body=size + b";" + b"a" * 200_000 + b"\r\n" + rest))
    for zero in (b"00", b"000000000", b"0" * 17):
        body = b"%b\r\n%b\r\n%b\r\n\r\n" % (size, BODY, zero)
        yield lenient(f"last chunk {_shown(zero)}", request(CHUNKED, body=body))
    yield lenient("size with zeros before it", request(CHUNKED, body=b"000" + size + b"\r\n" + rest))
    yield served("size in upper case", request(CHUNKED, body=size.upper() + b"\r\n" + rest))
    yield served(
        "one byte a chunk", request(CHUNKED, body=b"".join(b"1\r\n%c\r\n" % c for c in BODY) + b"0\r\n\r\n")
    )
    yield refused("no last chunk", request(CHUNKED, body=b"%b\r\n%b\r\n" % (size, BODY)))
    yield refused("no blank line behind the last chunk", request(CHUNKED, body=CHUNKS[:-2]))
    behind = Case(
        "bytes behind the last chunk", request(CHUNKED, body=CHUNKS + b"X"), frozenset({200}), Fate.CLOSED, 1
    )
    yield behind


def trailers() -> Iterator[Case]:
    for line in (
        b"X-Admin: 1", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: evil.example", b"X-Request-Id: t",
        b"Authorization: Bearer x", b"Content-Encoding: gzip", b"Connection: close", b"Trailer: x",
    ):  # fmt: skip
        raw = request(CHUNKED, body=CHUNKS[:-2] + line + b"\r\n\r\n")
        yield lenient(f"trailer {_shown(line)}", raw)
    keyless = request(CHUNKED, body=CHUNKS[:-2] + KEY + b"\r\n\r\n", key=None)
    yield denied("the key in a trailer", keyless, 400, 401)
    for line in (
        b"no colon",
        b": no name",
        b"a b: c",
        b" folded: x",
        b"X: \x00",
        b"X-A: b\nX-B: c",
        b"X\x00: y",
    ):
        raw = request(CHUNKED, body=CHUNKS[:-2] + line + b"\r\n\r\n")
        yield refused(f"trailer {_shown(line)}", raw)


# --- lines


def line_ends() -> Iterator[Case]:
    yield refused("bare LF everywhere", request(LENGTH, end=b"\n"))
    yield refused("bare CR everywhere", request(LENGTH, end=b"\r"))
    whole = request(LENGTH)
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for number, line in enumerate(lines):
        for end in (b"\n", b"\r", b"\r\r\n", b"\n\r"):
            spoilt = (
                [*lines[:number], line + end + lines[number + 1], *lines[number + 2 :]]
                if number + 1 < len(lines)
                else None
            )
            if spoilt is not None:
                name = line.split(b" ")[0].decode()
                yield refused(f"{_shown(end)} behind {name}", b"\r\n".join(spoilt) + b"\r\n\r\n" + body)
    for blank in (b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\r", b"\r\n\r", b"\r\n \r\n\r\n"):
        yield refused(f"head ends with {_shown(blank)}", head + blank + body)
    for before in (b"\r\n", b"\r\n\r\n", b"\n", b"\r"):
        yield lenient(f"{_shown(before)} before the request", before + whole)
    for before in (
        b" ",
        b"\t",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ):
        yield refused(f"{_shown(before)} before the request", before + whole)


def folds() -> Iterator[Case]:
    for line in (b"X-A: b\r\n c", b"X-A: b\r\n\tc", b"X-A:\r\n b", b"X-A: b\r\n ", b"X-A: b\r\n c\r\n d"):
        yield refused(f"fold {_shown(line)}", request(line, LENGTH))
    yield refused("fold in the first line of headers", request(LENGTH, host=b" X: y\r\n" + HOST))
    yield refused("fold in Host", request(LENGTH, host=b"Host:\r\n localhost"))
    yield refused("fold in the key", request(LENGTH, key=b"Authorization: Bearer\r\n @KEY@"))


def names_and_values() -> Iterator[Case]:
    for char in b'()<>@,;\\"/[]?={} \t\x00\x01\x0b\x1f\x7f\x80\xff':
        name = b"X%cA: b" % char
        yield refused(f"name with {_shown(bytes([char]))}", request(name, LENGTH))
    for char in b"\x00\x01\x02\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f":
        yield refused(f"value with {_shown(bytes([char]))}", request(b"X-A: b%cc" % char, LENGTH))
    for line in (b": no name", b"no colon", b"", b" : x", b"X-A : b", b"X-A\t: b", b"X_A: b"):
        if line:
            yield refused(f"line {_shown(line)}", request(line, LENGTH))
    for value in (b"", b"\xe9\xa9", b"a\tb", b"  a  ", b'"a"'):
        yield served(f"value {_shown(value)!r}", request(b"X-A: " + value, LENGTH))


# --- the first line


def hosts() -> Iterator[Case]:
    yield refused("no Host", request(LENGTH, host=None))
    for value in (
        b"", b" ", b"a b", b"localhost/v1", b"localhost/v1/models?x=", b"localhost?x", b"localhost#x", b"user@localhost",
        b"localhost, localhost", b"localhost:99999999", b"localhost:x", b"localhost:-1", b"localhost:80:80", b"[::1",
        b"::1", b"[localhost]", b"%6cocalhost", b"evil.example", b"evil.example:80", b"localhost.evil.example", b"\xe9",
        b"a" * 300, b"localhost\\x", b"127.0.0.1.evil.example", b"..", b"@evil.example", b"localhost\x0b", b"http://localhost",
    ):  # fmt: skip
        yield refused(f"Host {_shown(value)!r}", request(LENGTH, host=b"Host: " + value))
    for two in (
        (b"localhost", b"localhost"),
        (b"localhost", b"evil.example"),
        (b"evil.example", b"localhost"),
    ):
        for name in (b"Host", b"hOST"):
            lines = b"Host: %b\r\n%b: %b" % (two[0], name, two[1])
            yield refused(f"two Hosts {_shown(b', '.join(two))} {_shown(name)}", request(LENGTH, host=lines))
    yield refused("another Host at the end", request(LENGTH, b"Host: evil.example"))
    for value in (
        b"localhost",
        b"LOCALHOST",
        b"localhost:8000",
        b"127.0.0.1",
        b"127.0.0.1:8000",
        b"[::1]",
        b"[::1]:80",
    ):
        yield served(f"Host {_shown(value)}", request(LENGTH, host=b"Host: " + value))
    yield lenient("Host with an empty port", request(LENGTH, host=b"Host: localhost:"))


def targets() -> Iterator[Case]:
    for target in (
        b"http://localhost" + CHAT, b"https://localhost" + CHAT, b"http://evil.example" + CHAT, b"HTTP://localhost" + CHAT,
        b"//evil.example" + CHAT, b"@evil.example" + CHAT, b"localhost:80", b"*", b"v1/chat/completions", b"?x", b"",
        b"http:" + CHAT, b"file://" + CHAT, b"\\v1\\chat\\completions", CHAT + b"\x00", CHAT + b"\xff", CHAT + b"\x7f",
        b"/v1/chat completions", CHAT + b"\tx", b"/\x01",
    ):  # fmt: skip
        raw = request(LENGTH, first=b"POST %b HTTP/1.1" % target)
        closed = Case(f"target {_shown(target)!r}", raw, frozenset({400, 404}), Fate.EITHER)
        yield closed
    for end in (b"?", b"?x=1", b"?/../", b"?/v1/models"):
        raw = request(LENGTH, first=b"POST %b%b HTTP/1.1" % (CHAT, end))
        yield Case(f"query {_shown(end)}", raw, frozenset({200, 400, 404}), Fate.EITHER, 1)
    for end in (b"%3f", b"%23", b"&x", b"#", b"#x"):
        yield denied(
            f"target ends with {_shown(end)}",
            request(LENGTH, first=b"POST %b%b HTTP/1.1" % (CHAT, end)),
            400,
            404,
        )


PATH_TRICKS = (
    b"/%b", b"/x/..%b", b"/.%b", b"/%%2e%b", b"/x/%%2e%%2e%b", b"%b/", b"%b//", b"%b/.", b"%b/..", b"%b%%2f", b"%b%%00",
    b"%b%%0d%%0a", b"%b;x=1", b"%b..;/", b"%b%%20", b"%b.json", b"%b%%23", b"%b%%3f", b"%b/%%2e%%2e", b"%b%%c0%%ae",
)  # fmt: skip
ROUTES = (CHAT, b"/v1/completions", b"/livez", b"/readyz")


def paths() -> Iterator[Case]:
    tricks = [
        trick.replace(b"%b", route, 1).replace(b"%%", b"%") for trick in PATH_TRICKS for route in ROUTES
    ]
    for route in (CHAT, MODELS):
        start, name = route[:4], route[4:]
        tricks += [
            route.upper(), b"/V1/" + name, start + b"/" + name, b"/v1%2f" + name, b"/%76%31/" + name, b"/v1/./" + name,
            b"/v1/x/../" + name, b"/v1\\" + name, start + b"%%%02x" % name[0] + name[1:],
        ]  # fmt: skip
    for path in tricks:
        yield denied(f"POST {_shown(path)}", request(LENGTH, first=b"POST %b HTTP/1.1" % path), 400, 404)
        yield denied(f"GET {_shown(path)}", get(path=path), 400, 404)
    for path in (
        b"/metrics", b"/docs", b"/openapi.json", b"/redoc", b"/sleep", b"/wake_up", b"/collective_rpc", b"/invocations",
        b"/v1/load_lora_adapter", b"/tokenize", b"/server_info", b"/reset_prefix_cache", b"/admin", b"/", b"/v1",
        b"/.env", b"/start_profile", b"/abort_requests", b"/sim/script", b"/sim/log", b"/health", b"/version", b"/load",
    ):  # fmt: skip
        for method in (b"GET", b"POST"):
            yield denied(
                f"{method.decode()} {_shown(path)}", get(LENGTH, path=path, method=method) + BODY, 404
            )


def methods() -> Iterator[Case]:
    for method in (
        b"FOO", b"post", b"Post", b"P\x00ST", b"POST\x00", b"", b"G T", b"A" * 100, b"A" * 20_000, b"\xe9", b"PRI", b"POST,",
        b"GETT", b"(", b"SMUGGLE",
    ):  # fmt: skip
        raw = request(LENGTH, first=b"%b %b HTTP/1.1" % (method, CHAT))
        yield refused(f"method {_shown(method)!r} of {len(method)}", raw, 400, 405, 431, 501)
    for method in (
        b"GET",
        b"PUT",
        b"DELETE",
        b"PATCH",
        b"OPTIONS",
        b"TRACE",
        b"PROPFIND",
        b"M-SEARCH",
        b"PURGE",
        b"LINK",
    ):
        for path in (CHAT, MODELS):
            if (method, path) != (b"GET", MODELS):
                yield denied(
                    f"{method.decode()} {_shown(path)}",
                    get(LENGTH, path=path, method=method) + BODY,
                    400,
                    405,
                    501,
                )
    yield Case("HEAD of chat", get(method=b"HEAD", path=CHAT), frozenset({405}), Fate.EITHER, is_head=True)
    for target in (b"localhost:80", b"evil.example:443", CHAT, b"*"):
        raw = get(path=target, method=b"CONNECT")
        yield refused(f"CONNECT {_shown(target)}", raw, 400, 405)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    yield refused("HTTP/2 preface", preface, 400, 505)


def versions() -> Iterator[Case]:
    for version in (
        b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/1", b"HTTP/1.",
        b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.1.1", b"HTTP/+1.1", b"HTTP/-1.1", b"http/1.1", b"Http/1.1", b"HTTPS/1.1",
        b"HTTP 1.1", b"HTTP/1,1", b"HTTP/\xb9.1", b"HTTP/1.1 x", b"HTTP/1.1\x00", b"HTTP/1.1x", b"XHTTP/1.1", b"ICE/1.0",
    ):  # fmt: skip
        raw = request(LENGTH, first=b"POST %b %b" % (CHAT, version))
        yield refused(f"version {_shown(version)!r}", raw, 400, 505)
    yield refused("no version", request(LENGTH, first=b"POST " + CHAT), 400, 505)
    yield refused("HTTP/0.9, simple", b"GET /v1/models\r\n", 400, 505)
    yield lenient("two spaces in the first line", request(LENGTH, first=b"POST  %b HTTP/1.1" % CHAT))
    yield lenient("two spaces before the version", request(LENGTH, first=b"POST %b  HTTP/1.1" % CHAT))
    yield lenient("a space behind the version", request(LENGTH, first=b"POST %b HTTP/1.1 " % CHAT))
    yield refused("a tab in the first line", request(LENGTH, first=b"POST\t%b HTTP/1.1" % CHAT))
    old = b"POST %b HTTP/1.0" % CHAT
    yield Case("HTTP/1.0", request(LENGTH, first=old), frozenset({200}), Fate.CLOSED, 1)
    kept = request(LENGTH, b"Connection: keep-alive", first=old)
    yield Case("HTTP/1.0 kept", kept, frozenset({200}), Fate.EITHER, 1)
    yield refused("HTTP/1.0 without Host", request(LENGTH, first=old, host=None))
    last = Case("the last request", request(LENGTH, b"Connection: close"), frozenset({200}), Fate.CLOSED, 1)
    yield last


# --- sizes


def sizes() -> Iterator[Case]:
    for size in (17_000, 70_000, 2_000_000):
        yield refused(f"value of {size}", request(b"X-A: " + b"a" * size, LENGTH), 431)
        yield refused(f"name of {size}", request(b"a" * size + b": x", LENGTH), 400, 431)
        yield refused(f"target of {size}", get(path=b"/" + b"a" * size), 414, 431)
        yield refused(f"query of {size}", get(path=MODELS + b"?" + b"a" * size), 414, 431)
        yield refused(f"key of {size}", request(LENGTH, key=b"Authorization: Bearer " + b"a" * size), 431)
    for count in (101, 200, 20_000):
        yield refused(f"{count} fields", request(*(b"X-%d: a" % n for n in range(count)), LENGTH), 431)
        yield refused(f"one field {count} times", request(*[b"X: a"] * count, LENGTH), 431)
    yield refused(
        "17 KB in 90 fields", request(*(b"X-%d: %b" % (n, b"a" * 200) for n in range(90)), LENGTH), 431
    )
    yield served("10 KB in 50 fields", request(*(b"X-%d: %b" % (n, b"a" * 200) for n in range(50)), LENGTH))


# --- headers that mean something


def upgrades() -> Iterator[Case]:
    for protocol in (b"websocket", b"h2c", b"TLS/1.0", b"foo", b"WebSocket"):
        lines = [b"Upgrade: " + protocol, b"Connection: Upgrade"]
        both = frozenset({200, 400, 426, 501})
        yield Case(f"GET upgrade to {protocol.decode()}", get(*lines), both, Fate.EITHER)
        yield Case(f"POST upgrade to {protocol.decode()}", request(*lines, LENGTH), both, Fate.EITHER, 1)
    key = [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13"]
    both = frozenset({200, 400, 426})
    yield Case(
        "a whole websocket", get(b"Upgrade: websocket", b"Connection: Upgrade", *key), both, Fate.EITHER
    )
    settings = [b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAAP__"]
    yield Case("a whole h2c", get(*settings), both, Fate.EITHER)
    yield served("upgrade without a connection", request(b"Upgrade: websocket", LENGTH))
    yield served("connection names a header", request(b"Connection: keep-alive, X-A", b"X-A: b", LENGTH))
    yield Case(
        "connection names the key",
        request(b"Connection: Authorization", LENGTH),
        frozenset({200, 400}),
        Fate.EITHER,
        1,
    )


def expectations() -> Iterator[Case]:
    yield served("100-continue", request(b"Expect: 100-continue", LENGTH))
    yield served("100-Continue", request(b"Expect: 100-Continue", LENGTH))
    for value in (b"200-ok", b"100-continue, x", b"", b"100"):
        either = frozenset({200, 400, 417})
        yield Case(f"expects {_shown(value)!r}", request(b"Expect: " + value, LENGTH), either, Fate.EITHER, 1)
    bad = b"Authorization: Bearer nobody"
    yield denied("100-continue without a key", request(b"Expect: 100-continue", LENGTH, key=None), 401)
    yield denied("100-continue with a bad key", request(b"Expect: 100-continue", LENGTH, key=bad), 401)
    yield refused(
        "100-continue and 10 GB", request(b"Expect: 100-continue", b"Content-Length: 10737418240"), 413
    )


def credentials() -> Iterator[Case]:
    for line in (
        None, b"Authorization: Bearer nobody", b"Authorization: Basic @KEY@", b"Authorization: Bearer", b"Authorization:",
        b"Authorization: @KEY@", b"Authorization: Bearer@KEY@", b"Authorization: Bearer \xe9@KEY@", b"X-Api-Key: nobody",
        b"Authorization: Bearer @KEY@x", b"Authorization: Bearer " + b"a" * 300, b"Authorization: Bearer @KEY@,@KEY@",
        b"Authorization: Bearer @KEY@ x", b"Authorization: Digest username=x", b"Cookie: key=@KEY@",
        b"Authorization: Bearer " + b"a" * 10_000, b"Proxy-Authorization: Bearer @KEY@",
    ):  # fmt: skip
        shown = "none" if line is None else f"{_shown(line)} ({len(line)})"
        yield denied(f"credential {shown}", request(LENGTH, key=line), 400, 401)
    for second in (
        b"Authorization: Bearer @KEY@",
        b"Authorization: Bearer nobody",
        b"authorization: bearer @KEY@",
    ):
        yield denied(f"and {_shown(second)}", request(LENGTH, key=KEY + b"\r\n" + second), 400, 401)
        yield denied(f"{_shown(second)} first", request(LENGTH, key=second + b"\r\n" + KEY), 400, 401)
    for value in (b"@KEY@", b"nobody", b""):
        yield denied(
            f"and x-api-key {_shown(value)!r}",
            request(LENGTH, key=KEY + b"\r\nX-Api-Key: " + value),
            400,
            401,
        )
    yield lenient("bearer in lower case", request(LENGTH, key=b"authorization: bearer @KEY@"))
    double = request(LENGTH, key=b"Authorization: Bearer  @KEY@")
    yield Case("two spaces", double, frozenset({200, 400, 401}), Fate.EITHER, 1)


def encodings() -> Iterator[Case]:
    for value in (
        b"gzip",
        b"br",
        b"deflate",
        b"zstd",
        b"x-gzip",
        b"identity, gzip",
        b"gzip, identity",
        b"GZIP",
        b"foo",
        b"*",
    ):
        yield denied(f"encoding {_shown(value)}", request(b"Content-Encoding: " + value, LENGTH), 415)
        yield denied(
            f"chunked {_shown(value)}", request(b"Content-Encoding: " + value, CHUNKED, body=CHUNKS), 415
        )
    two = request(b"Content-Encoding: identity", b"Content-Encoding: gzip", LENGTH)
    yield denied("two encodings", two, 400, 415)
    yield served("encoding identity", request(b"Content-Encoding: identity", LENGTH))
    for value in (
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"x",
    ):
        raw = request(LENGTH).replace(JSON, b"Content-Type: " + value)
        yield denied(f"type {_shown(value)}", raw, 415)


def forwarded() -> Iterator[Case]:
    for name in (b"X_Forwarded_For", b"Content_Type", b"_", b"X__A"):
        yield refused(f"name {_shown(name)}", request(name + b": 10.0.0.1", LENGTH))
    for line in (
        b"X-Forwarded-For: 10.0.0.1", b"Forwarded: for=10.0.0.1", b"X-Real-IP: 10.0.0.1", b"X-Forwarded-Host: evil.example",
        b"X-Original-URL: /admin", b"X-Rewrite-URL: /admin", b"X-HTTP-Method-Override: DELETE", b"Range: bytes=0-1",
        b"X-Forwarded-Proto: x", b"Via: 1.1 x", b"TE: trailers", b"X-Request-Id: \xe9", b"Keep-Alive: timeout=1",
    ):  # fmt: skip
        yield served(f"{_shown(line)}", request(line, LENGTH))


GROUPS = {
    function.__name__: tuple(function())
    for function in (
        both_framings, lengths, too_long, codings, chunks, trailers, line_ends, folds, names_and_values, hosts, targets, paths,
        methods, versions, sizes, upgrades, expectations, credentials, encodings, forwarded,
    )
}  # fmt: skip
"""Group → its rows."""


def rows() -> Iterable[Case]:
    """The whole table."""
    for cases in GROUPS.values():
        yield from cases
