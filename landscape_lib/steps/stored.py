"""How a working directory shows results that lie in object storage.

Snakemake keeps copies of stored files below ``.snakemake/storage``.  Scripts, and users' functions
in their ``args``, read ``results/...``: here that becomes a link to those copies.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from landscape_lib.core.errors import InputError

VARIABLES = {  # of boto3's own settings, and what Snakemake's plugin calls them
    "AWS_ENDPOINT_URL_S3": "endpoint_url",
    "AWS_DEFAULT_REGION": "region",
    "AWS_ACCESS_KEY_ID": "access_key",
    "AWS_SECRET_ACCESS_KEY": "secret_key",
    "AWS_SESSION_TOKEN": "token",
}


class StoredResults:
    """Results in a bucket, and the copies of some of them here.

    Args:
        provider: Snakemake's default storage provider.
        kind: What Snakemake calls it.
        prefix: The url that stands for the working directory.
        state: Grows whenever a result may have become another one.

    Raises:
        InputError: If the provider is not S3, or nothing says where in it.
    """

    def __init__(
        self, provider: Any, kind: str, prefix: str | None, state: Callable[[], int]
    ) -> None:
        if kind != "s3" or not str(prefix).startswith("s3://"):
            raise InputError(
                f"--default-storage-provider is {kind!r} with the prefix {prefix!r}; results lie "
                "in folders, or in S3 and what speaks like it: '--default-storage-provider s3 "
                "--default-storage-prefix s3://bucket/prefix'."
            )
        self.url = str(prefix).rstrip("/")
        self._provider, self._state = provider, state
        self._seen: dict[Path, tuple[int, float]] = {}

    def environment(self) -> dict[str, str]:
        """Return what tells boto3, in a job, what Snakemake was told of the storage."""
        told = {name: getattr(self._provider.settings, key) for name, key in VARIABLES.items()}
        return {name: str(value) for name, value in told.items() if value is not None}

    def link(self, results: str) -> None:
        """Let the folder of results be a link to Snakemake's copies.

        Raises:
            InputError: If there is a folder of that name: its results are no copies.
        """
        place, copies = Path(results), self._object(Path(results)).local_path()
        copies.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(copies, place.parent)
        if place.is_symlink():
            if os.readlink(place) == target:
                return
            place.unlink()
        elif place.exists():
            raise InputError(
                f"{results} is a folder here, and results are to lie in {self.url}: rename it, or "
                "start in another folder."
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        new.symlink_to(target)
        os.replace(new, place)  # a job that starts beside this one sees it whole

    def fetch(self, path: Path) -> None:
        """Bring a result here, where it is stored and not here as it is there.

        The storage is asked anew whenever a result may have become another one.
        """
        state = self._state()
        asked, known = self._seen.get(path, (-1, -1.0))
        if asked == state and path.exists():
            return
        found = self._object(path)
        if not found.exists():
            return
        changed = found.mtime()
        copy = found.local_path()
        if changed != known or not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            found.retrieve_object()
            os.utime(copy, (changed, changed))  # for Snakemake, which compares dates
        self._seen[path] = (state, changed)

    def _object(self, path: Path) -> Any:
        return self._provider.object(f"{self.url}/{path.as_posix()}")


def unlink_results(results: str, copies: Path) -> None:
    """Take away a link that an earlier run with stored results left: now they lie in a folder."""
    place = Path(results)
    if place.is_symlink() and place.resolve().is_relative_to(copies.resolve()):
        place.unlink()
