"""What is said of a wrong value: our words for every kind of value that a setting has, and none of the model's."""

import pytest
from pydantic import ValidationError

from steering.control.config import Config
from steering.control.config_words import words_for

# A wrong value, where it was written -> what is said of it.
SAID: dict[tuple[str, str, str], tuple[object, str]] = {
    ("a list", "dns", "upstreams"): ("udp://192.0.2.1", 'must be a list, as ["one", "another"], not \'udp://192.0.2.1\''),
    ("a table", "dns", "zones"): ([], "must be a table, not []"),
    ("a text", "policy", "rules"): (3, "must be a text in quotes, as \"this\", not 3"),
    ("a number", "dns", "workers"): ("many", "must be a whole number, not 'many'"),
    ("a whole one", "dns", "workers"): (1.5, "must be a whole number, not 1.5"),
    ("a number, not a list", "dns", "workers"): ([1], "must be a whole number, not [1]"),
    ("below", "dns", "workers"): (-1, "must be 0 or more, not -1"),
    ("above", "dns", "workers"): (257, "must be 256 or less, not 257"),
    ("yes or no", "dns", "query_log"): ("perhaps", "must be true or false, not 'perhaps'"),
    ("yes or no, not a list", "dns", "query_log"): ([], "must be true or false, not []"),
    ("a choice, misspelt", "log", "format"): ("jsn", "must be console or json, not 'jsn'; did you mean 'json'?"),
    ("a choice, in capitals", "log", "format"): ("JSON", "must be console or json, not 'JSON'; did you mean 'json'?"),
    ("a choice, of something else", "log", "format"): ("xml", "must be console or json, not 'xml'"),
    ("our own", "control", "listen"): ("here", "'here' is no address to listen on: write ADDRESS:PORT, as "
                                       "127.0.0.1:3128 or [::1]:3128"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID, ids=lambda case: case[0])
def test_words(case: tuple[str, str, str]) -> None:
    _, section, key = case
    value, words = SAID[case]
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({section: {key: value}})
    assert [words_for(error) for error in caught.value.errors()] == [words]


def test_a_long_value_is_cut() -> None:
    for length, end in ((58, "x'"), (59, "x...")):
        with pytest.raises(ValidationError) as caught:
            Config.model_validate({"log": {"format": "x" * length}})
        assert words_for(caught.value.errors()[0]).endswith(end)
