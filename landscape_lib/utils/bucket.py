"""How what Snakemake does not bring there lies in object storage: journals, plans, users' files."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import whole_file
from landscape_lib.utils.hashing import hash_file

log = logging.getLogger(__name__)

EVERY_S = 20.0  # of points that the death of a machine may cost
HASH = "landscape-sha256"  # in an object's metadata
INPUTS = PurePosixPath("inputs")  # what the user brought, beside "results" and "logs"


class BucketError(InputError):
    """Object storage that cannot be reached, or does not let us in."""


class Bucket:
    """A place in object storage that mirrors the working directory, S3 or what speaks like it.

    Who we are, and where it is, say boto3's own settings: the environment's ``AWS_...``, or
    ``~/.aws``.

    Args:
        url: ``s3://bucket/prefix``.
        client: What boto3 makes of these settings; given in tests.

    Raises:
        InputError: If the url is of another kind, or boto3 is not installed.
    """

    def __init__(self, url: str, client: Any = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise InputError(f"{url!r} is no place in object storage; wanted 's3://bucket/prefix'.")
        self.url = url.rstrip("/")
        self._name, self._prefix = parts.netloc, PurePosixPath(parts.path.strip("/"))
        self._client = client or _boto3_client()

    def fetch(self, folder: Path) -> None:
        """Bring the files of a folder here that are not here, or have grown; none of its folders.

        Raises:
            BucketError: If the storage cannot be read.
        """
        for key, size in self._list(f"{self._key(folder)}/", deep=False):
            path = folder / PurePosixPath(key).name
            if not path.exists() or path.stat().st_size < size:
                self._download(key, path)

    def store(self, path: Path) -> None:
        """Copy a file from here to its place there.

        Raises:
            BucketError: If the storage cannot be written.
        """
        with _said(f"{self.url}/{path.as_posix()}", "written"):
            self._client.upload_file(str(path), self._name, self._key(path))

    def publish(self, files: Mapping[Path, str]) -> None:
        """Copy users' files there, each only where its content is not there yet.

        Args:
            files: Relative to the working directory, and below it; with their content's SHA-256.

        Raises:
            BucketError: If the storage cannot be written.
        """
        for path, content in files.items():
            key = self._key(INPUTS / path)
            if self._hash_of(key) == content:
                continue
            log.info("%s: copied to %s/%s for the jobs.", path, self.url, INPUTS)
            more = {"Metadata": {HASH: content}}
            with _said(f"{self.url}/{INPUTS / path}", "written"):
                self._client.upload_file(str(path), self._name, key, ExtraArgs=more)

    def bring_inputs(self) -> None:
        """Bring users' files here, each only where its content is not here yet.

        Raises:
            BucketError: If the storage cannot be read.
        """
        top = self._key(INPUTS)
        for key, _ in self._list(f"{top}/", deep=True):
            path = Path(PurePosixPath(key).relative_to(top))
            if ".." in path.parts:
                raise BucketError(f"s3://{self._name}/{key}: it leads out of the working folder.")
            if not path.exists() or hash_file(path) != self._hash_of(key):
                self._download(key, path)

    def _key(self, path: Path | PurePosixPath) -> str:
        return (self._prefix / path.as_posix()).as_posix()

    def _list(self, prefix: str, *, deep: bool) -> list[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2")
        asked = {"Bucket": self._name, "Prefix": prefix, **({} if deep else {"Delimiter": "/"})}
        with _said(f"s3://{self._name}/{prefix}", "read"):
            found = [one for page in pages.paginate(**asked) for one in page.get("Contents", ())]
        return [(one["Key"], one["Size"]) for one in found if not one["Key"].endswith("/")]

    def _hash_of(self, key: str) -> str | None:
        """Return the content's hash that an object says it has; None where there is no object."""
        with _said(f"s3://{self._name}/{key}", "read"):
            try:
                found = self._client.head_object(Bucket=self._name, Key=key)
            except Exception as error:
                code = getattr(error, "response", {}).get("Error", {}).get("Code")
                if code in {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}:
                    return None
                raise
        return str(found.get("Metadata", {}).get(HASH))

    def _download(self, key: str, path: Path) -> None:
        with _said(f"s3://{self._name}/{key}", "read"), whole_file(path) as temporary:
            self._client.download_file(self._name, key, str(temporary))


@contextlib.contextmanager
def mirrored(path: Path, bucket: Bucket | None, every_s: float = EVERY_S) -> Iterator[None]:
    """Copy a growing file into the bucket, every so many seconds and at the end.

    Storage that fails costs no point that is evaluated: it is said, and tried again.

    Args:
        path: The file; it may not be there yet.
        bucket: None: nothing is copied.
        every_s: Seconds between two copies.
    """
    if bucket is None:
        yield
        return
    ended, copied = threading.Event(), 0

    def copy() -> None:
        nonlocal copied
        size = path.stat().st_size if path.exists() else 0
        if size == copied:
            return
        try:
            bucket.store(path)
            copied = size
        except BucketError as error:
            log.warning("%s Going on; what is evaluated is kept here.", error)

    def keep() -> None:
        while not ended.wait(every_s):
            copy()

    keeper = threading.Thread(target=keep, name="bucket", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        copy()


@contextlib.contextmanager
def _said(what: str, done: str) -> Iterator[None]:
    """Turn what goes wrong with the storage into one message.

    Raises:
        BucketError: If the storage refuses, or is not there.
        OSError: If this machine's own disk does.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "boto3", "s3transfer")):
            raise
        raise BucketError(
            f"{what}: it cannot be {done} ({error}). Check the bucket's name, the endpoint and "
            "your keys, and type the same command again."
        ) from None


def _boto3_client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise InputError(
            "Results in object storage need boto3: 'uv sync --extra s3', or "
            "pip install 'landscape-lib[s3]'."
        ) from None
    # As Snakemake's plugin: other servers than Amazon's do not all know the newer checksums.
    settings = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"max_attempts": 5, "mode": "standard"},
    )
    return boto3.client("s3", config=settings)
