"""The screen of a start; its curl line works when pasted."""

import json
import shlex
import subprocess

from gateway.cli.screen import Screen, curl_line

KEY = "gw_local_" + "k" * 12


def screen(**more):
    return Screen(**{"url": "http://127.0.0.1:8000", "models": ["tiny"], "needs_key": True, **more})


def pasted(line, environ):
    """The arguments that curl gets when a shell runs the line."""
    script = 'curl() { printf "%s\\n" "$@"; }; ' + line
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_new_key_is_in_the_line_and_said_to_be_shown_once():
    shown = screen(new_key=KEY)
    assert any(KEY in line and "shown once" in line for line in shown.lines())
    arguments = pasted(curl_line(shown, "tiny"), {})
    assert arguments[0] == "http://127.0.0.1:8000/v1/chat/completions"
    assert f"Authorization: Bearer {KEY}" in arguments
    assert json.loads(arguments[-1])["model"] == "tiny"


def test_an_old_key_is_taken_from_the_environment():
    shown = screen()
    assert not any("gw_local" in line for line in shown.lines())
    arguments = pasted(curl_line(shown, "tiny"), {"CASCADIA_API_KEY": KEY})
    assert f"Authorization: Bearer {KEY}" in arguments


def test_without_keys_none_is_asked_for():
    shown = screen(needs_key=False)
    assert "Authorization" not in curl_line(shown, "tiny")
    assert any("not needed" in line for line in shown.lines())


def test_an_address_of_all_interfaces_is_shown_as_this_machines():
    assert "http://127.0.0.1:80/v1" in "\n".join(screen(url="http://0.0.0.0:80").lines())
    assert (
        pasted(curl_line(screen(url="http://[::]:80"), "m"), {})[0] == "http://[::1]:80/v1/chat/completions"
    )


def test_a_unix_socket_is_named_to_curl():
    arguments = pasted(curl_line(screen(url="unix:/run/a b/gw.sock"), "m"), {})
    assert arguments[:2] == ["--unix-socket", "/run/a b/gw.sock"]


def test_a_models_name_with_every_allowed_sign_survives_the_shell():
    name = "Org-1/model_2.5:tag@rev+lora"
    assert json.loads(pasted(curl_line(screen(), name), {})[-1])["model"] == name
    assert shlex.split(curl_line(screen(), name))[0] == "curl"


def test_without_a_model_there_is_no_line_to_paste():
    assert not any(line.startswith("curl") for line in screen(models=[]).lines())
