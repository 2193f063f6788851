"""Names of accounts: local ones at once, others looked up, and not again and again."""

import pwd

import pytest

from steering.endpoint.identify.linux_users import RETRY_S, Users


class Directory:
    """A directory service in the place of getpwuid: slow ones are counted."""

    def __init__(self, accounts: dict[int, str]) -> None:
        self.accounts = accounts
        self.asked: list[int] = []

    def __call__(self, uid: int) -> pwd.struct_passwd:
        self.asked.append(uid)
        if uid not in self.accounts:
            raise KeyError(uid)
        return pwd.struct_passwd((self.accounts[uid], "x", uid, uid, "", "/", "/bin/sh"))


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    directory = Directory({70_001: "alice@corp"})
    monkeypatch.setattr(pwd, "getpwuid", directory)
    return directory


def test_local_accounts_are_known_at_once(directory: Directory) -> None:
    users = Users()
    assert users.known(0) == "root"
    assert not users.is_asked_for(0)
    assert users.look_up(0) == "root"
    assert directory.asked == []


def test_others_are_looked_up_once(directory: Directory) -> None:
    users = Users()
    assert users.known(70_001) is None
    assert users.is_asked_for(70_001)
    assert users.look_up(70_001) == "alice@corp"
    assert not users.is_asked_for(70_001)
    assert users.known(70_001) == users.look_up(70_001) == "alice@corp"
    assert directory.asked == [70_001]


def test_who_is_not_found_is_asked_for_again_later(directory: Directory) -> None:
    now = 5.0
    users = Users(lambda: now)
    assert users.look_up(70_002) is None
    asked = []
    for passed in (0, RETRY_S - 1, RETRY_S, RETRY_S + 1):
        now = 5.0 + passed
        asked.append(users.is_asked_for(70_002))
    assert asked == [False, False, True, True]
    assert users.known(70_002) is None
    directory.accounts[70_002] = "bob"
    assert users.look_up(70_002) == "bob"
    assert directory.asked == [70_002, 70_002]


def test_of_two_accounts_with_a_number_the_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [pwd.struct_passwd((name, "x", 0, 0, "", "/", "/bin/sh")) for name in ("root", "toor")]
    monkeypatch.setattr(pwd, "getpwall", lambda: accounts)
    assert Users().known(0) == "root"
