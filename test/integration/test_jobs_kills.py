"""Berth is killed, or loses its power, under load; the checker of test/store/kills knows only what clients were told."""

import subprocess

import pytest

from berth import BUILD, ROOT


def kills(tmp_path, *arguments):
    result = subprocess.run([ROOT / "test" / "store" / "kills", *arguments], capture_output=True, text=True, timeout=300,
                            env={"TMPDIR": str(tmp_path), "BERTH_BUILD": str(BUILD), "PATH": "/usr/bin:/bin"})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all is well" in result.stdout


def test_killed_at_random_moments(tmp_path):
    kills(tmp_path, "15")


def test_without_power_at_random_moments(tmp_path):
    if not (BUILD / "test" / "store" / "libpowerloss.so").exists():
        pytest.skip("a sanitizer's own layer would have to come first")
    kills(tmp_path, "--power", "6")
