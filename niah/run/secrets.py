"""Tell a setting that would put a secret into the files of a run, which are made to be given away.

Names alone do not tell: `image_token` and `max_tokens` are harmless, and an address may carry a key behind its
question mark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OWNER = "api|auth|access|hf|openai|anthropic|google|gemini|azure|github|private|bearer|session|refresh|client|service"
NAME = re.compile(
    rf"(.*({OWNER})[_-]?)?(key|token)s?|.*(secret|passwo?r?d|credential|authori[sz]ation|bearer).*|headers?",
    re.IGNORECASE,
)
USER = re.compile(r"\w+://[^/]*@")  # of an address: a name or a password before the host
QUERY = re.compile(r"[?&;][^=&;]*(key|token|secret|password|signature|sig|auth|code)=", re.IGNORECASE)
KEY = re.compile(  # as the usual services write theirs
    r"(sk|pk|rk)-[\w-]{16,}|hf_\w{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|AIza[\w-]{30,}|AKIA\w{12,}|Bearer \S+"
)


def holds_secret(name: str, value: Any) -> bool:
    """Tell whether a setting is called like a secret, or its value, or one inside of it, looks like one."""
    if isinstance(value, Mapping):
        inside = any(holds_secret(str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        inside = any(holds_secret("", item) for item in value)
    else:
        inside = isinstance(value, str) and bool(USER.match(value) or QUERY.search(value) or KEY.match(value))
    return inside or NAME.fullmatch(name) is not None
