"""Where a suite lies is kept in the cache, if the disk allows it."""

from niah.suite.known_places import recall_suite, remember_suite


def test_a_suite_is_found_again_and_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    suite = tmp_path / "mine.yaml"
    suite.write_text("name: mine")
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    remember_suite("0" * 64, str(suite))
    assert recall_suite("0" * 64) == str(suite)
    monkeypatch.setenv("VIDEONIAH_CACHE", str(suite))  # a file, where nothing can be written
    remember_suite("0" * 64, str(suite))
    assert recall_suite("0" * 64) is None
