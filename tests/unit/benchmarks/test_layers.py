"""Whose time a sample is."""

from __future__ import annotations

import pytest

from benchmarks.layers import layer_of, samples, shares, table

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
LIBPYTHON = "/usr/lib/libpython3.11.so.1.0"
PACKAGES = "/srv/venv/lib/python3.11/site-packages"
MAIN = "thread (4711): MainThread"
ROOTS = (
    MAIN,
    "main (/srv/cascadia/gateway/__main__.py:11)",
    "uv__io_poll (/project/build/libuv-x86_64/src/linux.c:1546)",
)
EXCHANGE = "Exchange._whole (/srv/cascadia/gateway/proxy/exchange.py:392)"
RECEIVED = "Connection.data_received (/srv/cascadia/gateway/transport/http1.py:125)"
PARSED = "llhttp__internal__run (/project/vendor/llhttp/src/llhttp.c:9350)"
WRITTEN = "UVStream_write (/project/uvloop/loop.c:110085)"


@pytest.mark.parametrize(
    ("inner", "layer"),
    [
        ([EXCHANGE], "gateway/proxy/exchange.py"),
        ([RECEIVED, EXCHANGE], "gateway/proxy/exchange.py"),
        ([EXCHANGE, WRITTEN], "uvloop, libuv"),
        ([EXCHANGE, WRITTEN, f"write ({LIBC})"], "kernel: socket write"),
        ([f"read ({LIBC})"], "kernel: socket read"),
        ([f"epoll_pwait ({LIBC})"], "kernel: poll for events"),
        ([EXCHANGE, f"close ({LIBC})"], "kernel: other calls"),
        ([RECEIVED, PARSED], "httptools, llhttp"),
        ([f"HttpToolsProtocol.on_url ({PACKAGES}/uvicorn/protocols/http/httptools_impl.py:239)"], "uvicorn"),
        ([EXCHANGE, f"JSONDecoder_decode ({PACKAGES}/msgspec/_core.cpython-311.so)"], "msgspec"),
        ([f"inc ({PACKAGES}/prometheus_client/metrics.py:9)"], "prometheus_client"),
        (["Handle._run (/usr/lib/python3.11/asyncio/events.py:80)"], "asyncio"),
    ],
)
def test_the_innermost_frame_with_a_layer_decides(inner, layer):
    assert layer_of([*ROOTS, *inner]) == layer


@pytest.mark.parametrize(
    "frame",
    [
        f"malloc ({LIBC})",
        f"0x7f26c66a4193 ({LIBC})",
        f"PyObject_Malloc ({LIBPYTHON})",
        "EVP_MD_CTX_copy (/usr/lib/libcrypto.so.3)",
        "<lambda> (<string>:1)",
        "Py_DECREF (/usr/include/python3.11/object.h:537)",
    ],
)
def test_c_code_without_a_layer_is_its_callers(frame):
    assert layer_of([*ROOTS, EXCHANGE, frame]) == "gateway/proxy/exchange.py"


def test_a_call_into_the_kernel_is_found_behind_a_frame_without_a_name():
    assert (
        layer_of([*ROOTS, WRITTEN, f"write ({LIBC})", f"0x7f877dca3829 ({LIBC})"]) == "kernel: socket write"
    )


def test_collecting_is_the_collectors_wherever_it_was_set_off():
    collecting = [*ROOTS, EXCHANGE, f"gc_collect_main ({LIBPYTHON})", f"subtract_refs ({LIBPYTHON})"]
    assert layer_of(collecting) == "garbage collector"


def test_another_packages_folder_of_the_same_name_is_not_ours():
    assert layer_of([MAIN, f"f ({PACKAGES}/other/config/schema.py:1)"]) == "other"


def test_a_thread_counts_by_its_name_while_it_works():
    writer = ["thread (4712): log writer", "LineWriter._drain (/srv/cascadia/gateway/observe/logs.py:82)"]
    assert layer_of(writer) == layer_of([*writer, f"write ({LIBC})"]) == "thread: log writer"


@pytest.mark.parametrize(
    "inner",
    [
        [f"time_sleep ({LIBPYTHON})", f"clock_nanosleep ({LIBC})"],
        [
            f"lock_PyThread_acquire_lock ({LIBPYTHON})",
            f"PyThread_acquire_lock_timed ({LIBPYTHON})",
            f"0x7f ({LIBC})",
        ],
    ],
)
def test_a_thread_that_waits_does_not_count(inner):
    assert (
        layer_of(
            [
                "thread (4712): log writer",
                "LineWriter._run (/srv/cascadia/gateway/observe/logs.py:73)",
                *inner,
            ]
        )
        is None
    )


LINES = [
    f"{';'.join([*ROOTS, EXCHANGE])} 30",
    f"{';'.join([*ROOTS, RECEIVED, EXCHANGE])} 30",
    f"{';'.join([*ROOTS, RECEIVED])} 39\n",
    f"{';'.join([*ROOTS, RECEIVED, PARSED])} 1",
    f"thread (1): log writer;_run (/srv/cascadia/gateway/observe/logs.py:7);time_sleep ({LIBPYTHON}) 900",
]


def test_shares_are_of_what_works_the_largest_first():
    found = shares(LINES)
    assert found == {
        "gateway/proxy/exchange.py": 60.0,
        "gateway/transport/http1.py": 39.0,
        "httptools, llhttp": 1.0,
    }
    assert next(iter(found)) == "gateway/proxy/exchange.py"
    assert samples(LINES) == 100


def test_no_samples_have_no_shares():
    assert shares([]) == {}


def test_the_table_has_a_column_a_load_and_gathers_what_is_small_everywhere():
    plain = {"a": 60.0, "b": 39.4, "c": 0.4, "d": 0.2}
    streams = {"a": 95.0, "d": 4.7, "c": 0.3}
    head, rule, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in table({"plain": plain, "streams": streams}, least=0.5)
    ]
    assert head == ["layer", "plain", "streams"]
    assert all(set(cell) <= {"-", ":"} for cell in rule)
    assert rows == [
        ["a", "60.0", "95.0"],
        ["b", "39.4", "0.0"],
        ["d", "0.2", "4.7"],
        ["all others, under 0.5 % each", "0.4", "0.3"],
    ]
