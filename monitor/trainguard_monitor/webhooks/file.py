"""The webhooks there are, from a file of lines ``NAME URL``.

A rule names a webhook. Its address, which is often a secret, is known to the monitor alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from trainguard_monitor.private import PrivateFileError, read_private
from trainguard_rules.actions import NAME


def read_webhooks(path: Path) -> dict[str, str]:
    """The webhooks in a file that nobody but its owner may read: address by name. Raises `PrivateFileError`.

    ``#`` begins a line that says nothing.
    """
    webhooks: dict[str, str] = {}
    for number, line in enumerate(read_private(path, "webhook file").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, url = line.strip().partition(" ")
        if problem := _problem(name, url.strip(), webhooks):
            raise PrivateFileError(f"webhook file {path}, line {number}: {problem}")
        webhooks[name] = url.strip()
    return webhooks


def _problem(name: str, url: str, known: Mapping[str, str]) -> str:
    if not re.fullmatch(NAME, name):
        return f"{name!r} is not a name: letters, digits and '_', not beginning with a digit"
    if name in known:
        return f"there is already a webhook {name!r}"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        is_good = False
    return "" if is_good else f"webhook {name!r} wants an address, http://... or https://..."
