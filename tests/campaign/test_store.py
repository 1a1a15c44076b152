"""The results file: what is appended stays, once; a file that is not this campaign's is left as it is."""

import hashlib
import sqlite3
from dataclasses import replace

import pytest
import stand_in

from nooks_lab.campaign import store as store_module
from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import open_store, row_of

SETTINGS = Settings(seed=3)
OBJECTS = {"e1000": "aa" * 32}


def result(number, nooks=False, extension="e1000"):
    made = stand_in.trial(SETTINGS.spec(extension, number, nooks))
    return replace(made, object_sha256=OBJECTS["e1000"])


def fill(path, numbers=4):
    with open_store(path, SETTINGS, OBJECTS) as store:
        store.begin_run(1)
        store.append([result(number, side) for number in range(numbers) for side in (False, True)], 0.5)


def test_a_row_comes_back_as_it_was(tmp_path):
    fill(tmp_path / "r.db")
    with open_store(tmp_path / "r.db", SETTINGS, OBJECTS) as store:
        assert list(store.rows("e1000")) == [
            row_of(result(n, side)) for n in range(4) for side in (False, True)
        ]
        assert store.done("e1000") == {(n, side) for n in range(4) for side in (False, True)}
        assert store.row("e1000", 2, True) == row_of(result(2, True))
        assert store.row("e1000", 9, True) is None
        assert store.pace() == (8, 0.5)


def test_a_trial_is_never_there_twice_and_its_whole_batch_is_refused(tmp_path):
    path = tmp_path / "r.db"
    fill(path)
    with open_store(path, SETTINGS, OBJECTS) as store:
        store.begin_run(1)
        with pytest.raises(CampaignError, match=r"trial 2 of e1000 natively is in .*r\.db already"):
            store.append([result(8), result(2)])
    with open_store(path, SETTINGS, OBJECTS) as store:
        assert (8, False) not in store.done("e1000")


def test_another_extension_may_be_added(tmp_path):
    path = tmp_path / "r.db"
    fill(path)
    with open_store(path, SETTINGS, OBJECTS | {"sb": "bb" * 32}) as store:
        store.begin_run(1)
        store.append([result(0, extension="sb")])
        assert store.done("sb") == {(0, False)}


def test_a_worker_with_another_object_file_is_found(tmp_path):
    path = tmp_path / "r.db"
    fill(path)
    with open_store(path, SETTINGS, OBJECTS) as store:
        store.begin_run(1)
        with pytest.raises(CampaignError, match="another object file"):
            store.append([replace(result(7), object_sha256="cc" * 32)])


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 + 100])


def scribble(path):
    data = bytearray(path.read_bytes())
    data[-4096:-3600] = b"\xee" * 496
    path.write_bytes(data)


def alter(statement):
    def change(path):
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def another_database(path):
    path.unlink()
    alter("CREATE TABLE photos (name TEXT)")(path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, "not a whole results file"),
        (scribble, "not a whole results file"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_text("number,outcome\n" * 200), "not a whole results file"),
        (another_database, "not of a campaign"),
        (alter("PRAGMA user_version = 9"), "tables of version 9, and this Nooks Lab reads version 1"),
        (
            alter("UPDATE setting SET value = '\"0.0.1+abc\"' WHERE name = 'package version'"),
            r"version 0\.0\.1\+abc of Nooks Lab",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence_and_left_alone(tmp_path, spoil, told):
    path = tmp_path / "r.db"
    fill(path, 200)
    spoil(path)
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(CampaignError, match=told) as error:
        open_store(path, SETTINGS, OBJECTS)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [each.name for each in tmp_path.iterdir()] == ["r.db"]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Settings(seed=4), "its seed is 3, not 4"),
        (Settings(seed=3, faults=1), "its number of faults is 5, not 1"),
        (Settings(seed=3, classes=("branch",)), "its list of fault classes is empty, not branch"),
        (Settings(seed=3, placement="as-released"), "its placement is uniform, not as-released"),
        (
            Settings(seed=3, nanny=True, sync=False),
            "its nanny is off, not on, and its sync before release is on, not off",
        ),
    ],
)
def test_another_campaigns_file_is_told_by_what_differs(tmp_path, other, told):
    fill(tmp_path / "r.db")
    with pytest.raises(CampaignError, match=told):
        open_store(tmp_path / "r.db", other, OBJECTS)


def test_a_file_of_another_object_is_refused(tmp_path):
    fill(tmp_path / "r.db")
    with pytest.raises(CampaignError, match="trials of another e1000: its object file was aaaaaaaaaaaa"):
        open_store(tmp_path / "r.db", SETTINGS, {"e1000": "dd" * 32})


def test_one_file_takes_one_campaign_at_a_time(tmp_path):
    path = tmp_path / "r.db"
    with (
        open_store(path, SETTINGS, OBJECTS),
        pytest.raises(CampaignError, match="in use by another campaign"),
    ):
        open_store(path, SETTINGS, OBJECTS)
    open_store(path, SETTINGS, OBJECTS).close()


def test_a_file_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(CampaignError, match="cannot be made: No such file or directory"):
        open_store(tmp_path / "nowhere" / "r.db", SETTINGS, OBJECTS)


def test_a_file_half_made_has_not_its_name_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_TABLES", store_module._TABLES + "CREATE nonsense;")
    with pytest.raises(CampaignError, match="cannot be made"):
        open_store(tmp_path / "r.db", SETTINGS, OBJECTS)
    assert not list(tmp_path.iterdir())
