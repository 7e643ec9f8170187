"""Which settings may be secrets: run.json and config.yaml keep every setting, and are given away.

Names alone do not tell: `image_token` and `max_tokens` are harmless, an address may carry a key behind its question
mark, and a key may be given as the name of its variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

SERVICE = "api|auth|access|hf|openai|anthropic|google|gemini|azure|github|private|bearer|session|refresh|client|service"
SECRET_NAME = re.compile(
    rf"(.*({SERVICE})[_-]?)?(key|token)s?|.*(secret|passwo?r?d|credential|authori[sz]ation|bearer|cookie).*"
    r"|(.*[_-])?(pat|auth|jwt)|headers?",
    re.IGNORECASE,
)
USER_IN_ADDRESS = re.compile(r"\w+://[^/]*@")  # a name or a password before the host
SECRET_IN_QUERY = re.compile(r"[?&;][^=&;]*(key|token|secret|password|signature|sig|auth|code)=", re.IGNORECASE)
HEADER = re.compile(r"\b((proxy-)?authorization|(set-)?cookie|(x-)?(api-key|auth-token))\s*[:=]", re.IGNORECASE)
ADDRESS_OR_HEADER = (USER_IN_ADDRESS.match, SECRET_IN_QUERY.search, HEADER.search)
KEY = re.compile(  # in the formats of the usual services
    r"(?<![\w-])((sk|pk|rk)[-_][\w-]{16,}|(hf|gsk|r8|gh[pousr]|github_pat|dop_v1|api_org)_\w{20,}"
    r"|(xai|nvapi|pplx|tvly|glpat|xox[abeprs])-[\w-]{16,}|AIza[\w-]{30,}|A[KS]IA\w{12,}|ya29\.[\w-]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}|Bearer \S+)"
)
RUN = re.compile(r"[A-Za-z0-9]{24,}")  # as no name has: letters of both cases and digits without a break
HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")  # revisions have 40 digits, hashes 64
MODEL_FOLDER = "pretrained"  # names a checkpoint: a hub's names may look like anything


def holds_secret(name: str, value: Any) -> bool:
    """Return True if a setting is named like a secret, or its value, or one inside of it, looks like one."""
    if SECRET_NAME.fullmatch(name) is not None:
        return True
    if isinstance(value, Mapping):
        return any(holds_secret(str(key), item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(holds_secret("", item) for item in value)
    if not isinstance(value, str):
        return False
    named = name == MODEL_FOLDER or os.path.exists(value)
    return any(find(value) for find in ADDRESS_OR_HEADER) or (not named and looks_like_key(value))


def looks_like_key(text: str) -> bool:
    """Return True for a text that holds a key of a usual service, or a word that only a machine would write."""
    return bool(KEY.search(text) or HEX.search(text)) or any(map(_is_mixed, RUN.findall(text)))


def _is_mixed(word: str) -> bool:
    return all(any(map(kind, word)) for kind in (str.islower, str.isupper, str.isdigit))
