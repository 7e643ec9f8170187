"""An adapter that reuses nothing between questions: `reuse=False`, for what knows no frame keys."""

from __future__ import annotations

from niah.adapters.feature_store import FeatureStore
from niah.types import Adapter, Question, Reply, Video


class WithoutCache:
    """Empties the store of an adapter before every question: what answers cost a benchmark that knows no frame keys.

    A store without room would not do: selection and merging look at every frame, so each frame would be
    encoded twice for one case. Here it is encoded once for each case, as it is where nothing is shared.
    """

    def __init__(self, adapter: Adapter, store: FeatureStore) -> None:
        self._adapter, self._store = adapter, store

    def answer(self, video: Video, question: Question) -> Reply:
        """Answer with nothing stored."""
        self._store.close()
        return self._adapter.answer(video, question)
