"""Images, sound, video and files in messages: in the request itself, or from hosts that the operator named.

An engine fetches what a URL names, from inside the operator's network: whoever may write a URL may reach what the
engine reaches. And two readers of one URL can see two hosts in it. So a URL is never parsed here: it must match one
pattern, of which there is one reading - `https`, a host by name, no port, no user, no escapes before the path.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.core.errors import FieldNotAllowed, InvalidRequest
from gateway.openai.complaints import invalid

_DATA = re.compile(
    r"data:(?:[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*)?(?:;[a-z0-9-]+=[a-z0-9.+-]+)*;base64,",
    re.ASCII | re.IGNORECASE,
)
"""How a `data:` URL begins (RFC 2397); media are never sent in any other encoding."""
_REMOTE = re.compile(
    r"https://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?:/[A-Za-z0-9._~!$&'()*+,;=:%/-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:%/?-]*)?)?"
)
"""RFC 3986 without user, port and fragment, and without `@` anywhere."""
_LONGEST_REMOTE = 2048
_FORMAT = re.compile(r"[a-z0-9.+-]{1,32}", re.ASCII | re.IGNORECASE)

_URLS = frozenset({"image_url", "audio_url", "video_url", "input_image", "file_url"})
_NEVER = frozenset(
    {"image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil", "file_id", "uuid"}
)
"""What a part may not have: tensors, and names of media that another caller may have sent before."""
_JUDGED = _URLS | _NEVER | {"input_audio", "file"}


def check_part(part: dict[str, Any], place: str, hosts: frozenset[str]) -> None:
    """Judge one part of a message's content, whatever type it says it has: engines go by its keys, too.

    Raises `InvalidRequest` and `FieldNotAllowed`, which name the part by `place`.
    """
    for name in part.keys() & _JUDGED:
        value = part[name]
        path = f"{place}.{name}"
        if value is None:
            continue
        if name in _NEVER:
            raise FieldNotAllowed(
                f"The field {path!r} is not allowed here: send the media themselves.", param=path
            )
        if name == "input_audio":
            _check_audio(value, path)
        elif name == "file":
            _check_file(value, path, hosts)
        else:
            _check_url(value, path, hosts)


def _check_url(value: Any, path: str, hosts: frozenset[str]) -> None:
    """A URL, alone or as the `url` of an object."""
    if value.__class__ is dict:
        value, path = value.get("url"), f"{path}.url"
    if value.__class__ is not str:
        raise invalid(path, "expected a URL")
    if _DATA.match(value):
        return
    if not hosts:
        raise _not_sent_along(path)
    found = _REMOTE.fullmatch(value) if len(value) <= _LONGEST_REMOTE else None
    if found is None or found["host"] not in hosts:
        raise invalid(
            path, "expected a data: URL, or a plain https:// URL of a host that the operator allows"
        )


def _check_audio(value: Any, path: str) -> None:
    if value.__class__ is not dict:
        raise invalid(path, "expected an object")
    if value.get("data").__class__ is not str:
        raise invalid(f"{path}.data", "expected base64")
    kind = value.get("format")
    if kind.__class__ is not str or not _FORMAT.fullmatch(kind):
        raise invalid(f"{path}.format", "expected the name of a format, such as wav")
    if ":" in value["data"]:
        raise invalid(f"{path}.data", "expected base64, not a URL")


def _check_file(value: Any, path: str, hosts: frozenset[str]) -> None:
    if value.__class__ is not dict:
        raise invalid(path, "expected an object")
    if value.get("file_id") is not None:
        raise FieldNotAllowed(
            f"The field '{path}.file_id' is not allowed here: send the file itself.", param=f"{path}.file_id"
        )
    if value.get("file_url") is not None:
        _check_url(value["file_url"], f"{path}.file_url", hosts)
    content = value.get("file_data")
    if content is None:
        return
    if content.__class__ is not str or (":" in content and not _DATA.match(content)):
        raise invalid(f"{path}.file_data", "expected base64 or a data: URL")


def _not_sent_along(path: str) -> InvalidRequest:
    return invalid(
        path, "only data: URLs are accepted here, so send the content itself (data:image/png;base64,…)"
    )
