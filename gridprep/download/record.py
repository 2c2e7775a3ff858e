"""A Zenodo record and its files, as returned by `GET BASE/api/records/ID`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gridprep.download.network import Network, check_url, fetch_json
from gridprep.download.transfer import RemoteFile
from manifests.errors import BadInput

GRID_RECORD = "3625687"
"""GRID's record on Zenodo: s1.zip … s34.zip without s21, alignments.zip, audio_25k.zip and a PDF,
16.2 GB together."""
BASE_URL = "https://zenodo.org"


@dataclass(frozen=True)
class Record:
    """A record of Zenodo.

    Attributes:
        number: its number.
        title: its title, or "".
        license: the license that the record names, or "".
        files: name → file.
    """

    number: str
    title: str
    license: str
    files: dict[str, RemoteFile]

    def file(self, name: str) -> RemoteFile:
        """The file of that name. Raises `BadInput` listing what there is."""
        try:
            return self.files[name]
        except KeyError:
            held = ", ".join(sorted(self.files)) or "no file"
            raise BadInput(f"record {self.number} has no {name}", f"it holds {held}") from None


def _license(metadata: dict[str, Any]) -> str:
    """Zenodo's `license: {id}`, or InvenioRDM's `rights: [{id}]`."""
    license = metadata.get("license")
    if isinstance(license, dict):
        return str(license.get("id") or license.get("title") or "")
    if isinstance(license, str):
        return license
    rights = metadata.get("rights") or []
    return ", ".join(str(r.get("id") or r.get("title")) for r in rights if isinstance(r, dict))


def parse_record(document: Any, number: str, base_url: str) -> Record:
    """A record out of the API's answer. Raises `BadInput` where it is not one."""
    try:
        metadata = document.get("metadata") or {}
        files = {}
        for entry in document["files"]:
            name = str(entry["key"])
            links = entry.get("links") or {}
            url = links.get("self") or links.get("download") or links.get("content")
            if not url:
                url = f"{base_url}/records/{number}/files/{quote(name)}?download=1"
            files[name] = RemoteFile(
                name, check_url(str(url)), int(entry["size"]), str(entry["checksum"])
            )
        return Record(number, str(metadata.get("title", "")), _license(metadata), files)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"the answer of {base_url} about record {number} is not understood "
            f"({type(error).__name__}: {error})",
            "update the toolkit or fetch the files by hand",
        ) from None


def fetch_record(network: Network, base_url: str = BASE_URL, number: str = GRID_RECORD) -> Record:
    """The record from the server. Raises what `fetch_json` and `parse_record` raise."""
    base_url = check_url(base_url).rstrip("/")
    if not number.isdecimal():
        raise BadInput(f"{number!r} is not a record number", f"GRID's is {GRID_RECORD}")
    return parse_record(fetch_json(f"{base_url}/api/records/{number}", network), number, base_url)
