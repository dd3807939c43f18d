"""berth's words: usage, help, check, and the documents that quote them."""

import re
import subprocess
import sys

import pytest

from berth import BUILD, ROOT

COMMANDS = ["up", "down", "status", "serve", "load", "check", "image", "health", "jobs", "store"]
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"]


def test_version(run):
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(r"berth \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_in_the_order_of_a_manual_page(run, command):
    result = run(command, "--help")
    assert result.returncode == 0 and result.stderr == ""
    assert re.findall(r"^[A-Z][A-Z ]+$", result.stdout, re.MULTILINE) == SECTIONS
    assert max(map(len, result.stdout.splitlines())) <= 110


def test_help_as_a_word_of_its_own(run):
    assert run("help").stdout == run("--help").stdout
    assert run("help", "serve").stdout == run("serve", "--help").stdout != ""
    assert run("help", "serv").stderr == "berth: unknown command 'serv': did you mean 'serve'?\n"


def test_load_tells_a_reason_once_when_nothing_answers(run):
    result = run("load", "--url", "http://127.0.0.1:1/", "--requests", "20")
    assert result.returncode == 1 and result.stdout.count("none: Connection refused") == 1
    assert re.search(r"no answer +20$", result.stdout, re.MULTILINE)
    assert result.stderr == "berth load: nothing answers at http://127.0.0.1:1/: Connection refused (berth up starts a fleet)\n"


def test_names_that_are_too_long_are_not_cut(run, environment, tmp_path):
    host = ".".join(["x" * 63] * 4) + ".yyyyyyy"
    assert f"{host}: " in run("health", "--url", f"http://{host}/").stderr
    deep = tmp_path.joinpath(*["d" * 200] * 3)
    deep.mkdir(parents=True)
    environment["XDG_RUNTIME_DIR"] = str(deep)
    assert run("down", "--name", "nobody-has-this-name").returncode == 0
    assert [path for path in tmp_path.rglob("*") if not deep.is_relative_to(path)] == []


def test_help_lists_the_commands(run):
    result = run("--help")
    assert result.returncode == 0
    assert re.findall(r"^  (\w+) +\S.*$", result.stdout.split("COMMANDS")[1].split("EXIT")[0], re.MULTILINE) == COMMANDS


def test_no_command_is_wrong_usage(run):
    result = run()
    assert result.returncode == 2 and result.stdout == "" and "COMMANDS" in result.stderr


@pytest.mark.parametrize(("arguments", "line"), [
    (["serv"], "berth: unknown command 'serv': did you mean 'serve'?"),
    (["banana"], "berth: unknown command 'banana' (berth --help lists them)"),
    (["serve", "--lisen=:80"], "berth serve: unknown option --lisen: did you mean --listen?"),
    (["up", "--worker", "2"], "berth up: unknown option --worker: did you mean --workers?"),
    (["up", "--worker=2"], "berth up: unknown option --worker: did you mean --workers?"),
    (["serve", "--bananas"], "berth serve: unknown option --bananas (berth serve --help)"),
    (["serve", "--listen"], "berth serve: --listen needs a value"),
    (["serve", "-x"], "berth serve: unknown option -x (berth serve --help)"),
    (["load", "--wait=3"], "berth load: --wait=3 takes no value"),
    (["load", "--requests", "0"], 'berth load: --requests: expected 1 to 10000000, found "0"'),
    (["load", "--clients", "many"], 'berth load: --clients: expected a number, found "many"'),
    (["load", "--wait", "--sync"], "berth load: --wait and --sync exclude each other: a synchronous answer is the result"),
    (["load", "--url", "ftp://x"],
     'berth load: "ftp://x" is no address that requests can be sent to: http://HOST[:PORT][/PATH]'),
    (["serve", "what"], "berth serve: unexpected argument 'what' (berth serve --help)"),
    (["check", "a", "b"], "berth check: unexpected argument 'b' (berth check --help)"),
    (["status", "5"], "berth status: unexpected argument '5' (berth status --help)"),
    (["status", "--watch", "soon"], 'berth status: --watch: expected a time (2, 500ms), found "soon"'),
    (["status", "--admin", "there"], 'berth status: --admin: expected an address such as 127.0.0.1:9091, found "there"'),
    (["serve"], 'berth serve: containers: the pool "default" has none: name their addresses, or start a fleet with berth up'),
    (["serve", "--containers", "model-1:5000"],
     'berth serve: --containers: "model-1:5000": for the addresses of a host name write dns:model-1:5000'),
    (["serve", "--containers", "127.0.0.1:1", "--queue-max", "x"], 'berth serve: --queue-max: expected a number, found "x"'),
    (["serve", "--config", "none.yaml"], "berth serve: none.yaml: cannot read it: No such file or directory"),
    (["up", "--workers", "0"], 'berth up: --workers: expected 1 to 250, found "0"'),
    (["serve", "--listen", "8080"],
     'berth serve: --listen: "8080": an address stands before a port, as in 127.0.0.1:8080'),
    (["serve", "--containers", "127.0.0.1:1", "--admin", "off", "--listen", "unix:/"],
     "berth serve: listen: cannot listen on unix:/: Socket operation on non-socket; something else has this path: choose another"),
    (["serve", "--containers", "127.0.0.1:1", "--admin", "off", "--listen", "unix:/nowhere/x"],
     "berth serve: listen: cannot listen on unix:/nowhere/x: No such file or directory; the directory must be there"),
    (["serve", "--containers", "127.0.0.1:1,docker:fleet=x,port=0"],
     'berth serve: --containers: "docker:fleet=x,port=0": "fleet=x,port=0": expected fleet=NAME or label=KEY=VALUE, '
     'port=1 to 65535, network=NAME, host=unix:///PATH or tcp://HOST'),
    (["serve", "--containers", "127.0.0.1:1", "--store-headers", "Cookie,Foo"],
     'berth serve: --store-headers: "Foo": expected Authorization or Cookie, for all others are stored'),
    (["serve", "--containers", "127.0.0.1:1", "--store", "sqlite:/nowhere/x"],
     "berth serve: store: /nowhere/x.lock: No such file or directory: the directory must be there and allow writing"),
    (["store", "check", "nowhere"], "berth store: nowhere: No such file or directory"),
    (["status", "--name", "nobody"], 'berth status: no fleet is running under the name "nobody"'),
    (["load", "--name", "nobody"], 'berth load: no fleet is running under the name "nobody"'),
    (["jobs", "--name", "nobody"], 'berth jobs: no fleet is running under the name "nobody"'),
    (["jobs", "--watch", "5"], "berth jobs: unexpected argument '5': a time stands behind '=', as in --watch=5"),
    (["up", "--keep"], "berth up: --keep: only with --on aws"),
    (["up", "--dry-run"], "berth up: --dry-run: only with --on docker or --on aws"),
    (["up", "--memory", "1GiB"], "berth up: --memory: only with --on docker or --on aws"),
    (["up", "--on", "docker", "--no-wait"], "berth up: --no-wait: only with --on aws"),
    (["up", "--on", "docker", "--open-to-all"], "berth up: --open-to-all: only with --on aws"),
    (["up", "--on", "docker", "--log", "x"], "berth up: --log: only with --on local"),
    (["up", "--on", "docker", "--image", "own:7", "--model", "m"],
     "berth up: --model: only for Berth's own containers, not for the image own:7"),
    (["up", "--on", "aws", "--listen", ":80"], "berth up: --listen: only with --on local or --on docker"),
    (["down", "--region", "eu-central-1"], "berth down: --region: only with --on aws"),
])
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, line):
    result = run(*arguments)
    assert (result.stderr, result.stdout, result.returncode) == (line + "\n", "", 2)


def test_check_says_what_a_good_file_describes(run, tmp_path):
    (tmp_path / "berth.yaml").write_text("fleet: {workers: 4, containers: 2}\n")
    assert run("check").stdout == "berth.yaml: ok: 1 pool, 8 containers\n"
    (tmp_path / "two.yaml").write_text(
        "pools:\n  - {name: a, containers: [127.0.0.1:1]}\n  - {name: b, match: {path_prefix: /b}, containers: [127.0.0.1:2]}\n")
    assert run("check", "two.yaml").stdout == "two.yaml: ok: 2 pools, 2 containers\n"


def test_check_prints_every_error_with_its_place(run, tmp_path):
    (tmp_path / "berth.yaml").write_text("listn: 1\npools:\n  - name: spam\n    queue:\n      max: many\n")
    result = run("check")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "berth.yaml:1:1: unknown key 'listn': did you mean 'listen'?",
        'berth.yaml:5:12: queue.max: expected a number, found "many"',
    ]


def test_check_of_a_file_that_is_not_there(run):
    result = run("check")
    assert result.returncode == 2
    assert result.stderr == "berth.yaml: cannot read it: No such file or directory\n"


def test_serve_prints_the_first_error_only(run, tmp_path):
    (tmp_path / "berth.yaml").write_text("a: 1\nb: 2\n")
    result = run("serve")
    assert result.returncode == 2
    assert result.stderr == "berth serve: berth.yaml:1:1: unknown key 'a' (and 1 more: berth check)\n"


def test_the_documents_are_what_the_program_says():
    result = subprocess.run([sys.executable, ROOT / "docs" / "generate", "--check", "--build", BUILD],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
