"""A data folder and a port have one holder, and whoever comes second is told who."""

import os
import socket
import stat

import pytest

from gateway.cli.failure import Failure
from gateway.cli.instance import holder_of, only_one, read_record, refuse_taken, taken
from gateway.listen import ListenError


def test_the_holder_is_known_while_it_holds(tmp_path):
    run = tmp_path / "run"
    with only_one(run, "gateway") as publish:
        assert read_record(run, "gateway").url == ""
        publish("http://127.0.0.1:1", "http://127.0.0.1:2")
        record = read_record(run, "gateway")
        assert (record.pid, record.url, record.admin_url) == (
            os.getpid(),
            "http://127.0.0.1:1",
            "http://127.0.0.1:2",
        )
    assert read_record(run, "gateway") is None


def test_a_second_holder_is_refused_and_told_the_first(tmp_path):
    run = tmp_path / "data" / "run"
    with only_one(run, "gateway") as publish:
        publish("http://127.0.0.1:1", "")
        with pytest.raises(Failure) as refused, only_one(run, "gateway"):
            pass
        said = refused.value.report()
        assert f"process {os.getpid()}, at http://127.0.0.1:1" in said
        assert str(tmp_path / "data") in said
        assert refused.value.code == 1
        assert read_record(run, "gateway") is not None
    with only_one(run, "gateway"):
        pass


def test_different_roles_do_not_disturb_each_other(tmp_path):
    with only_one(tmp_path / "run", "up"), only_one(tmp_path / "run", "gateway"):
        pass


def test_the_folder_is_made_private(tmp_path):
    with only_one(tmp_path / "data" / "run", "gateway"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data" / "run").stat().st_mode) == 0o700


def test_a_record_of_a_process_that_has_gone_is_nobody(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "gateway.json").write_text('{"pid": 1, "start_time": 1.0, "url": "http://127.0.0.1:1"}')
    assert read_record(run, "gateway") is None
    (run / "gateway.json").write_text("{")
    assert read_record(run, "gateway") is None


def test_a_folder_that_cannot_be_used_is_a_failure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot be used"), only_one(tmp_path / "file" / "run", "gateway"):
        pass


def test_a_taken_port_names_the_process_that_has_it():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ListenError) as error:
            refuse_taken([f"127.0.0.1:{port}"])
        assert f"process {os.getpid()}" in taken(error.value).cause
    assert holder_of(port) == "a process of another user"


def test_a_taken_socket_is_refused_and_an_abandoned_one_is_not(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(str(path))
        holder.listen()
        with pytest.raises(ListenError):
            refuse_taken([f"unix:{path}"])
    refuse_taken([f"unix:{path}"])


def test_free_addresses_stay_free():
    refuse_taken(["127.0.0.1:0", "127.0.0.1:0"])
