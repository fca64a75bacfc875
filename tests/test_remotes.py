"""``dvc push`` and ``dvc pull`` between two clones, through a real S3 endpoint on loopback and through a folder."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.checkout import LEAST, STAGES, Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

KEYS = {"aws_access_key_id": "faceseg", "aws_secret_access_key": "not-a-secret"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone in which the pipeline ran and was committed."""
    repository = Repository(tmp_path_factory.mktemp("remotes") / "origin")
    repository.change(LEAST)
    assert repository.repro() == STAGES
    repository.commit("results")
    return repository


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 server with the bucket ``faceseg``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url, region_name="us-east-1", **KEYS).create_bucket(Bucket="faceseg")
    yield url
    server.stop()


def share(origin: Repository, path: Path) -> Repository:
    """Commit the remote's settings, push, and pull into a fresh clone, which has nothing before."""
    origin.commit("a remote")
    assert "pushed" in origin.run("dvc", "push")
    assert "Everything is up to date" in origin.run("dvc", "push")
    fresh = origin.clone(path)
    assert not (fresh.path / "models").exists()
    return fresh


def assert_same(origin: Repository, fresh: Repository) -> None:
    """The clone has the outputs, byte for byte, and DVC finds nothing to do."""
    assert fresh.repro() == []
    assert fresh.changed_stages() == set()
    for name in ("models/model.weights.h5", "data/cache/cache.json", "reports/report.html", "data/raw/dataset.zip"):
        assert (fresh.path / name).read_bytes() == (origin.path / name).read_bytes()


def test_through_s3(origin: Repository, endpoint: str, tmp_path: Path) -> None:
    for command in (
        ("remote", "add", "--default", "--force", "store", "s3://faceseg/dvc"),
        ("remote", "modify", "store", "endpointurl", endpoint),
        ("remote", "modify", "store", "region", "us-east-1"),
    ):
        origin.run("dvc", *command)
    origin.environment |= {name.upper(): value for name, value in KEYS.items()} | {"NO_PROXY": "127.0.0.1"}
    fresh = share(origin, tmp_path / "fresh")
    stored = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS).list_objects_v2(
        Bucket="faceseg"
    )
    assert stored["KeyCount"] > 10
    assert "fetched" in fresh.run("dvc", "pull")
    assert_same(origin, fresh)


def test_through_a_folder(origin: Repository, tmp_path: Path) -> None:
    origin.run("dvc", "remote", "add", "--default", "--force", "store", str(tmp_path / "store"))
    fresh = share(origin, tmp_path / "fresh")
    assert "fetched" in fresh.run("dvc", "pull")
    assert_same(origin, fresh)
