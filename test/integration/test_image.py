"""berth image: what is in an image, that it is enough, and that the same files give the same bytes."""

import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest

from berth import BUILD, ROOT, Program

MB = 1_000_000
MODEL = ROOT / "models" / "spam"


class Image:
    """A docker-archive tarball, taken apart."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        with tarfile.open(path) as outer:
            self.members = outer.getmembers()
            self.manifest = json.load(outer.extractfile("manifest.json"))[0]
            config = outer.extractfile(self.manifest["Config"]).read()
            self.layer_bytes = outer.extractfile(self.manifest["Layers"][0]).read()
        self.id = hashlib.sha256(config).hexdigest()
        self.config = json.loads(config)
        self.layer = tarfile.open(fileobj=io.BytesIO(self.layer_bytes))
        self.files = {m.name: m for m in self.layer.getmembers()}

    @property
    def weight(self):
        """Bytes of all files but the model's."""
        return sum(m.size for name, m in self.files.items() if not name.startswith("model/"))


@pytest.fixture
def image(run, tmp_path):
    def make(*arguments, name="image.tar"):
        result = run("image", "--model", MODEL, "--output", name, *arguments)
        assert result.returncode == 0, result.stderr
        return Image(tmp_path / name)
    return make


def is_sanitized(image):
    return any("libasan" in name for name in image.files)


@pytest.mark.parametrize("what", ["worker", "orchestrator"])
def test_the_same_files_give_the_same_bytes(image, what):
    one = image("--what", what)
    assert one.bytes == image("--what", what, name="other.tar").bytes
    assert one.manifest["Config"] == one.id + ".json"
    assert one.config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(one.layer_bytes).hexdigest()]
    assert one.manifest["RepoTags"][0].endswith(":" + one.id[:12])
    assert all(m.mtime == 0 and m.uid in (0, 65532) and m.gid == m.uid for m in [*one.members, *one.files.values()])
    assert list(one.files) == sorted(one.files)


def test_the_workers_image(image):
    one = image("--what", "worker")
    programs = {name for name, m in one.files.items() if m.isfile() and not name.startswith(("usr/lib/berth/", "lib"))}
    assert {name for name in programs if not name.startswith("model/")} == {"usr/bin/berth-worker"}
    assert "usr/lib/berth/libonnxruntime.so" in one.files
    assert one.layer.extractfile("model/model.onnx").read() == (MODEL / "model.onnx").read_bytes()
    config = one.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "/usr/bin/berth-worker", "--health"]
    assert config["Labels"]["org.opencontainers.image.title"] == "berth-worker"
    assert is_sanitized(one) or one.weight <= 40 * MB


def test_the_orchestrators_image(image):
    one = image("--what", "orchestrator")
    assert {name for name, m in one.files.items() if m.isfile() and not name.startswith(("usr/lib/berth/", "lib"))} == {
        "usr/bin/berth"}
    assert one.files["var/lib/berth"].uid == 65532
    assert not any(name.startswith(("usr/lib/berth/libcurl", "usr/lib/berth/libarchive")) for name in one.files)
    assert is_sanitized(one) or one.weight <= 15 * MB
    cloud = image("--what", "orchestrator", "--cloud", name="cloud.tar")
    assert {"usr/lib/berth/libcurl.so.4", "etc/ssl/certs/ca-certificates.crt"} <= set(cloud.files)


def test_an_image_without_a_model(image):
    one = image("--model", "off")
    assert [name for name in one.files if name.startswith("model")] == ["model"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the root directory")
def test_the_files_are_enough_to_run(image, tmp_path, started):
    root = tmp_path / "root"
    image("--what", "worker").layer.extractall(root)
    config = image("--what", "worker").config["config"]
    command = ["chroot", "--userspec", config["User"], root, *config["Entrypoint"], "--listen", "127.0.0.1:0"]
    worker = Program("env", "-i", *config["Env"], *command)
    worker.command = ["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", config["Env"][1], *worker.command[4:]]
    started.append(worker.start())
    address = worker.wait_for(r"listening on (\S+),")[1]
    health = [*worker.command[:worker.command.index("/usr/bin/berth-worker") + 1], "--health", "--listen", address]
    assert subprocess.run(health, check=False).returncode == 0
    worker.stop()
    result = subprocess.run(health, check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == f"berth-worker: error: {address}: Connection refused\n"


def test_what_is_missing(run, tmp_path):
    (tmp_path / "directory").mkdir()
    for arguments, code, words in (
            (["--model", "nowhere"], 2, "berth image: --model: nowhere: No such file or directory\n"),
            (["--model", "directory"], 2, "berth image: --model: directory has no model.onnx that can be read: a directory with one, or "
             "an .onnx file\n"),
            (["--model", MODEL, "--output", "nowhere/image.tar"], 1,
             "berth image: nowhere/image.tar: No such file or directory\n"),
            (["--model", MODEL, "--output", "directory"], 1, "berth image: directory: Is a directory\n"),
            (["--cloud"], 2, "berth image: --cloud: means nothing to the worker's image\n")):
        result = run("image", *arguments)
        assert (result.returncode, result.stderr) == (code, words)
    assert sorted(os.listdir(tmp_path)) == ["directory"]


def test_an_image_on_standard_output(image, tmp_path):
    wanted = image("--what", "orchestrator", "--model", "of-no-matter").bytes
    assert subprocess.run([BUILD / "berth", "image", "--what", "orchestrator", "--output", "-"], check=True,
                          capture_output=True, cwd=tmp_path).stdout == wanted


def test_health_asks_once(serve, run, container, environment):
    berth = serve().containers(container()).start()
    url = f"http://{berth.address}/berth/readyz"
    good = run("health", "--url", url)
    assert good.returncode == 0 and good.stdout.startswith("200 {")
    assert run("health", "--url", url.replace("readyz", "nothing")).returncode == 1
    environment["BERTH_HEALTH_URL"] = url
    assert run("health").stdout.startswith("200 {")
    berth.stop()
    gone = run("health", "--url", url)
    assert gone.returncode == 1 and gone.stderr == f"berth health: no answer from {url}: Connection refused\n"
    assert run("health", "--url", "nonsense").returncode == 2
