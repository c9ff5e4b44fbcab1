"""S3: the environment's, else moto's server, which emulates it."""

import os
import sys
from pathlib import Path

import pytest
from servers.processes import free_port, running

ADDRESS = "RECSYS_TEST_S3_ENDPOINT"
SECRET = "planted in S3"


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """Its address; whoever reads the environment of this process finds it, and may use it."""
    import s3fs

    with pytest.MonkeyPatch.context() as patch:
        if ADDRESS in os.environ:
            patch.setenv("AWS_ENDPOINT_URL", os.environ[ADDRESS])
            yield os.environ[ADDRESS]
            return
        port = free_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "recsys")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        command = [str(Path(sys.executable).with_name("moto_server")), "-p", str(port)]
        s3fs.S3FileSystem.clear_instance_cache()  # of who had no access
        with running(command, port, tmp_path_factory.mktemp("s3") / "log"):
            yield os.environ["AWS_ENDPOINT_URL"]
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(object_store):
    """The name of an empty bucket that is gone afterwards."""
    import boto3
    import s3fs

    name = "recsys-tests"
    made = boto3.resource("s3").create_bucket(Bucket=name)
    s3fs.S3FileSystem.clear_instance_cache()
    yield name
    made.objects.all().delete()
    made.delete()
