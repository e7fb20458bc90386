"""Media in messages: what a URL may be, tried with the spellings that have fooled other servers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import FieldNotAllowed, InvalidRequest
from gateway.openai.media import check_part

PIXEL = "data:image/png;base64,iVBORw0KGgo="
HOST = "media.example.org"
HOSTS = frozenset({HOST, "cdn.example.com"})
NONE: frozenset[str] = frozenset()

ADDRESSES = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0177.0.0.1",
    "017700000001",
    "0177.0x0.0.1",
    "00000177.0.0.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "0x0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[fe80::1%25eth0]",
    "[fc00::1]",
    "[::1",
    "::1",
    "10.0.0.1",
    "192.168.0.1",
    "172.16.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "224.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "ip6-localhost",
    "metadata",
    "metadata.google.internal",
    "instance-data",
    "kubernetes.default.svc",
    "engine",
    "redis",
    "127.0.0.1.nip.io",
    "localtest.me",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "loc\u00adalhost",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "127%2e0%2e0%2e1",
]
OTHER_SCHEMES = [
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "file:/etc/passwd",
    "FILE:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:6379/info",
    "ftp://example.org/a.png",
    "sftp://example.org/a.png",
    "ldap://127.0.0.1/",
    "tftp://127.0.0.1/x",
    "jar:https://media.example.org!/x",
    "netdoc:///etc/passwd",
    "unix:///run/engine.sock",
    "http+unix://%2Frun%2Fengine.sock/v1",
    "ws://127.0.0.1/",
    "blob:https://media.example.org/x",
    "javascript:alert(1)",
    "about:blank",
    "chrome://version",
    "s3://bucket/key",
    "//127.0.0.1/x",
    "//media.example.org/x",
    "/etc/passwd",
    "../../etc/passwd",
    "etc/passwd",
    "127.0.0.1",
    "media.example.org/x.png",
    "C:\\windows\\win.ini",
    "\\\\127.0.0.1\\share",
    "",
    " ",
    "https:",
    "https:/",
    "https://",
    "https:///",
    "https:///media.example.org/x",
    "https:media.example.org/x",
    "https:/media.example.org/x",
    "https:\\\\media.example.org/x",
]
NOT_QUITE_DATA = [
    "data:",
    "data:,",
    "data:image/png,x",
    "data:image/png;base64",
    "data:image/png;charset=utf-8,x",
    "data:text/html,<script>",
    "data://127.0.0.1/x;base64,",
    "data:image/png;x=http://127.0.0.1;base64,",
    "data:https://127.0.0.1/;base64,",
    "data :image/png;base64,x",
    " data:image/png;base64,x",
    "\tdata:image/png;base64,x",
    "\u00a0data:image/png;base64,x",
    "data:image/png ;base64,x",
    "data:image /png;base64,x",
    "data:\nimage/png;base64,x",
    "xdata:image/png;base64,x",
    "\uff44\uff41\uff54\uff41:image/png;base64,x",
    "data:image/p\u0131ng;base64,x",
]
CONFUSED = [
    f"http://{HOST}/a.png",
    f"HTTP://{HOST}/a.png",
    f"HTTPS://{HOST}/a.png",
    f"Https://{HOST}/a.png",
    f"https://{HOST}:443/a.png",
    f"https://{HOST}:8080/a.png",
    f"https://{HOST}:/a.png",
    f"https://{HOST}:22",
    f"https://user@{HOST}/a.png",
    f"https://user:pass@{HOST}/a.png",
    f"https://@{HOST}/a.png",
    f"https://:@{HOST}/a.png",
    f"https://{HOST}@127.0.0.1/a.png",
    f"https://{HOST}:x@127.0.0.1/a.png",
    f"https://{HOST}%40127.0.0.1/a.png",
    f"https://127.0.0.1@{HOST}/a.png",
    f"https://127.0.0.1#@{HOST}/a.png",
    f"https://127.0.0.1?@{HOST}/a.png",
    f"https://127.0.0.1/@{HOST}/a.png",
    f"https://127.0.0.1\\@{HOST}/a.png",
    f"https://{HOST}\\@127.0.0.1/a.png",
    f"https://{HOST}\\.127.0.0.1/a.png",
    f"https://{HOST}#@127.0.0.1/a.png",
    f"https://{HOST}/a.png#x",
    f"https://{HOST}/x@127.0.0.1",
    f"https://{HOST}?x=@127.0.0.1",
    f"https://{HOST}?x",
    f"https://{HOST} @127.0.0.1/a.png",
    f"https://{HOST} /a.png",
    f" https://{HOST}/a.png",
    f"https://{HOST}/a.png ",
    f"https://{HOST}/a.png\n",
    f"https://{HOST}\n/a.png",
    f"https://{HOST}\t/a.png",
    f"ht\ntps://{HOST}/a.png",
    f"https://{HOST}\x00/a.png",
    f"https://{HOST}\x00.127.0.0.1/a.png",
    f"https://{HOST}/a.png\r\nhost: 127.0.0.1",
    f"https://{HOST}/a\\b",
    f"https://{HOST}/a b",
    f"https://{HOST}/é.png",
    f"https://{HOST}/a|b",
    f'https://{HOST}/"a"',
    f"https://{HOST}/<a>",
    f"https://{HOST}/[a]",
    f"https://{HOST}/" + "a" * 3000,
    f"https://{HOST}./a.png",
    f"https://.{HOST}/a.png",
    f"https://x.{HOST}/a.png",
    f"https://{HOST}.evil.test/a.png",
    f"https://evil-{HOST}/a.png",
    f"https://evil{HOST}/a.png",
    f"https://{HOST.upper()}/a.png",
    "https://Media.example.org/a.png",
    f"https://{HOST[:-1]}/a.png",
    f"https://{HOST}.uk/a.png",
    "https://media%2eexample%2eorg/a.png",
    "https://media.example%2eorg/a.png",
    "https://media。example。org/a.png",
    "https://media\uff0eexample\uff0eorg/a.png",
    "https://m\u0435dia.example.org/a.png",
    "https://\uff4dedia.example.org/a.png",
    "https://med\u00adia.example.org/a.png",
    "https://media.example.org\u200b/a.png",
    "https://xn--media.example.org/a.png",
    "https://[media.example.org]/a.png",
    "https://media..example.org/a.png",
    "https://media.example.org,127.0.0.1/a.png",
    "https://media.example.org;127.0.0.1/a.png",
    "https://media.example.org&127.0.0.1/a.png",
    "https://media.example.org*/a.png",
    "https://*/a.png",
    "https://*.example.org/a.png",
    "https://example.org/a.png",
    "https://https://media.example.org/a.png",
    "url=https://media.example.org/a.png",
    "feed:https://media.example.org/a.png",
    "view-source:https://media.example.org/a.png",
]
HOSTILE = [
    *(f"{scheme}://{address}/x.png" for address in ADDRESSES for scheme in ("http", "https")),
    *(f"https://{address}:6379/" for address in ADDRESSES),
    *OTHER_SCHEMES,
    *NOT_QUITE_DATA,
    *CONFUSED,
]


def test_the_table_is_as_large_as_promised() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE)
    assert len(HOSTILE) >= 150


@pytest.mark.parametrize("url", HOSTILE)
def test_no_url_but_a_plain_one_of_a_named_host_passes(url) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "input_image", "image_url": url},
        {"type": "audio_url", "audio_url": {"url": url}},
        {"type": "video_url", "video_url": {"url": url, "detail": "auto"}},
        {"type": "text", "text": "x", "video_url": url},
        {"image_url": {"url": url}},
        {"type": "file", "file": {"file_url": url}},
        {"type": "file", "file_url": url},
    ]
    for part in parts:
        for hosts in (NONE, HOSTS):
            with pytest.raises(InvalidRequest) as refusal:
                check_part(part, "messages[0].content[0]", hosts)
            assert refusal.value.param is not None
            assert refusal.value.param.startswith("messages[0].content[0].")


DATA = [
    PIXEL,
    "data:;base64,AAAA",
    "data:image/jpeg;base64,",
    "DATA:IMAGE/PNG;BASE64,AAAA",
    "data:image/svg+xml;charset=utf-8;base64,AAAA",
    "data:audio/x-wav;base64,AAAA",
    "data:video/mp4;codecs=avc1.42E01E;base64,AAAA",
    "data:application/vnd.ms-excel;base64,AAAA",
]


@pytest.mark.parametrize("url", DATA)
def test_media_in_the_request_itself_pass(url) -> None:
    for hosts in (NONE, HOSTS):
        for part in (
            {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
            {"type": "image_url", "image_url": url},
            {"type": "audio_url", "audio_url": {"url": url}},
            {"type": "video_url", "video_url": {"url": url}},
            {"type": "file", "file": {"file_data": url, "filename": "a.pdf"}},
        ):
            check_part(part, "x", hosts)


REMOTE = [
    f"https://{HOST}",
    f"https://{HOST}/",
    f"https://{HOST}/a/b-c_d.png",
    f"https://{HOST}/a%20b.png",
    f"https://{HOST}/a.png?size=10&token=a%2Fb;c=(d)",
    "https://cdn.example.com/v1/x:y,z",
]


@pytest.mark.parametrize("url", REMOTE)
def test_a_plain_url_passes_where_its_host_is_named_and_only_there(url) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    check_part(part, "x", HOSTS)
    for hosts in (NONE, frozenset({"else.example.org"})):
        with pytest.raises(InvalidRequest):
            check_part(part, "x", hosts)


def test_who_may_send_no_urls_is_told_what_to_send() -> None:
    with pytest.raises(InvalidRequest, match="data:image/png;base64") as refusal:
        check_part({"type": "image_url", "image_url": {"url": f"https://{HOST}/a.png"}}, "p", NONE)
    assert refusal.value.param == "p.image_url.url"


NEVER = [
    {"type": "image_url", "image_url": {"url": PIXEL}, "uuid": "somebody-elses"},
    {"type": "text", "text": "x", "uuid": "somebody-elses"},
    {"type": "image_embeds", "image_embeds": "AAAA"},
    {"type": "text", "audio_embeds": "AAAA"},
    {"type": "text", "video_embeds": {"a": "AAAA"}},
    {"type": "prompt_embeds", "prompt_embeds": "AAAA"},
    {"type": "text", "image_pil": "x"},
    {"type": "file", "file_id": "file-1"},
    {"type": "file", "file": {"file_id": "file-1"}},
]


@pytest.mark.parametrize("part", NEVER)
def test_tensors_and_names_of_what_others_sent_are_refused(part) -> None:
    with pytest.raises(FieldNotAllowed) as refusal:
        check_part(part, "p", HOSTS)
    assert refusal.value.param is not None
    assert refusal.value.param.startswith("p.")


WRONG = [
    {"image_url": 5},
    {"image_url": [PIXEL]},
    {"image_url": {}},
    {"image_url": {"url": 5}},
    {"image_url": {"url": None}},
    {"image_url": {"url": {"url": PIXEL}}},
    {"input_audio": "AAAA"},
    {"input_audio": {"data": "AAAA"}},
    {"input_audio": {"format": "wav"}},
    {"input_audio": {"data": "AAAA", "format": "wav;base64,http://127.0.0.1"}},
    {"input_audio": {"data": "AAAA", "format": ""}},
    {"input_audio": {"data": "http://127.0.0.1/x", "format": "wav"}},
    {"input_audio": {"data": 5, "format": "wav"}},
    {"file": "x"},
    {"file": {"file_data": 5}},
    {"file": {"file_data": "http://127.0.0.1/x"}},
    {"file": {"file_data": "file:///etc/passwd"}},
]


@pytest.mark.parametrize("part", WRONG)
def test_media_of_the_wrong_form_are_refused_by_name(part) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_part(part, "p", HOSTS)
    assert refusal.value.param is not None


RIGHT = [
    {"type": "text", "text": "https://127.0.0.1/ is only text"},
    {"type": "image_url", "image_url": None, "uuid": None},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}},
    {"type": "file", "file": {"filename": "a.pdf"}},
]


@pytest.mark.parametrize("part", RIGHT)
def test_everyday_parts_pass(part) -> None:
    check_part(part, "p", NONE)
