import pytest
from pydantic import SecretStr

from config import secret_files
from config.secret_files import SecretFileError


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_file_is_read_without_its_line_end(secret, mode):
    secret.chmod(mode)
    assert secret_files.read(secret, {}) == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666])
def test_a_file_that_others_can_get_at_is_refused(secret, mode):
    secret.chmod(mode)
    with pytest.raises(SecretFileError, match=f"mode {mode:04o}"):
        secret_files.read(secret, {})


def test_a_credential_that_systemd_delivered_may_be_readable_but_not_writable(secret):
    environ = {"CREDENTIALS_DIRECTORY": str(secret.parent)}
    secret.chmod(0o444)
    assert secret_files.read(secret, environ) == "s3cret"
    secret.chmod(0o466)
    with pytest.raises(SecretFileError):
        secret_files.read(secret, environ)


def test_missing_empty_binary_large_and_special_files_are_refused(tmp_path, secret):
    with pytest.raises(SecretFileError, match="No such file"):
        secret_files.read(tmp_path / "none", {})
    with pytest.raises(SecretFileError, match="not a regular file"):
        secret_files.read(tmp_path, {})
    for content, said in ((b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "larger")):
        secret.write_bytes(content)
        with pytest.raises(SecretFileError, match=said):
            secret_files.read(secret, {})


def test_a_secret_is_its_value_or_what_its_file_holds(secret):
    assert secret_files.secret_of(SecretStr("as written"), None, {}) == "as written"
    assert secret_files.secret_of(None, secret, {}) == "s3cret"
    assert secret_files.secret_of(None, None, {}) is None
