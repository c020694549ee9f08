"""The webhooks there are, from a file of lines ``NAME URL``.

A rule names a webhook. Its address, which is often a secret, is known to the monitor alone: no message repeats it, nor
anything else of a line that has no name at its head.
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
        name, url = (*line.split(maxsplit=1), "")[:2]
        url = url.rstrip()
        if problem := _problem(name, url, webhooks):
            raise PrivateFileError(f"webhook file {path}, line {number}: {problem}")
        webhooks[name] = url
    return webhooks


def _problem(name: str, url: str, known: Mapping[str, str]) -> str:
    if not re.fullmatch(NAME, name):
        return "wanted NAME and URL, the name of letters, digits and '_', not beginning with a digit"
    if name in known:
        return f"there is already a webhook {name!r}"
    if _is_address(url):
        return ""
    return (
        f"webhook {name!r} wants an address, http://... or https://..., in printable ASCII, without user and password"
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and parts.username is None and url.isascii() and url.isprintable() and " " not in url
