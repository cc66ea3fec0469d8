"""What Ray's thread prints is dropped; what anybody else prints is not."""

from __future__ import annotations

import sys
import threading

import pytest

from restore_batch.pipeline.engine.ray_noise import without_ray


def _say(name: str, text: str) -> None:
    thread = threading.Thread(target=lambda: print(text), name=name)
    thread.start()
    thread.join()


def test_only_the_thread_of_ray_is_silent_and_only_meanwhile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout
    with without_ray():
        _say("ray_listen_error_messages", "(raylet) a worker died")
        _say("frame_0", "a warning of our own")
        print("a line of progress")
        assert sys.stdout.encoding == before.encoding
    assert sys.stdout is before
    _say("ray_listen_error_messages", "after the end")
    said = capsys.readouterr().out.splitlines()
    assert said == ["a warning of our own", "a line of progress", "after the end"]


def test_the_thread_is_still_called_so() -> None:
    import inspect

    from ray._private import worker

    assert 'name="ray_listen_error_messages"' in inspect.getsource(worker)


def test_a_stream_that_another_put_there_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = object()
    with without_ray():
        monkeypatch.setattr(sys, "stdout", other)
    assert sys.stdout is other
