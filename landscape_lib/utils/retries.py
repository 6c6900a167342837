"""Which finished shards hold points that failed, and are evaluated again where that is asked for.

Snakemake makes a shard again when its params differ from those that it was made with.  So what a
shard's params say of failed points must, once they were evaluated again, go on saying it.
"""

from pathlib import Path

from landscape_lib.utils.records import read_record, write_record


def is_retried(shard: Path | str, on_error: str) -> bool:
    """Tell whether a shard is, or was, made again for the sake of points that failed.

    Args:
        shard: Its file; nothing is read but a small file beside it, which few have.
        on_error: ``stop`` asks for them.
    """
    try:
        told = read_record(_beside(shard))
        return bool(told["retried"]) or (on_error == "stop" and int(told["failed"]) > 0)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def write_retried(shard: Path | str, on_error: str, failed: int) -> None:
    """Write down how many points of a shard failed, and whether it was made again for such."""
    retried = is_retried(shard, on_error)
    if failed or retried:
        write_record(_beside(shard), {"failed": int(failed), "retried": retried})
    else:
        _beside(shard).unlink(missing_ok=True)


def _beside(shard: Path | str) -> Path:
    return Path(shard).with_suffix(".failed.json")
