"""Push a written folder to the hub: only what was written, private unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from niah.types import UserError


def push(folder: Path, files: Sequence[str], name: str, public: bool = False, api: Any = None) -> str:
    """Upload `files` of `folder` to the data set `name` of the hub and return its address.

    `api` is a `huggingface_hub.HfApi`. Raises UserError saying what the hub refused.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    lost = cast(type[Exception], HfHubHTTPError.__mro__[1])  # the error of the HTTP client, whichever the hub takes
    hub = api or HfApi()
    try:
        hub.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=str(folder),
            allow_patterns=list(files),  # whatever else lies there stays here
            commit_message="Published with niah publish",
        )
    except (OSError, ValueError, lost) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{folder} was written but not pushed to {name!r}: {words[0]}. Log in with `hf auth login`, and name a "
            "data set as owner/name"
        ) from None
    return f"{hub.endpoint}/datasets/{name}"
