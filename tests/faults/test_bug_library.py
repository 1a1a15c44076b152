"""The library of bugs: patches that apply, and situations that the good drivers survive."""

import re
from collections import Counter
from pathlib import Path

import pytest
from measured_bugs import MEASURED

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults.bugs import library
from nooks_lab.faults.bugs.library import (
    Bug,
    UnknownBug,
    catalogue,
    faulty_driver,
    faulty_source,
    find_bug,
    make_bug,
    manual_bugs,
)
from nooks_lab.faults.bugs.patch import read_patch
from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.faults.bugs.services import service
from nooks_lab.faults.bugs.situations import situation
from nooks_lab.faults.wild_store import PatchError

HEADER = "Kind: off by one\nFault: It\n does.\nSituation: So.\nOperation: open\nStudy: mine\n\n"
DIFF = "--- a/e1000/e1000.c\n+++ b/e1000/e1000.c\n@@ -1,1 +1,1 @@\n-{before}\n+{after}\n"
UNIQUE = "\treturn i + 1 == ring->count ? 0 : i + 1;"

IDS = [bug.id for bug in catalogue()]


def mine(before: str, after: str = "", header: str = HEADER) -> Bug:
    return make_bug(read_patch("mine", header + DIFF.format(before=before, after=after)))


@pytest.mark.parametrize("bug", catalogue(), ids=IDS)
def test_every_patch_applies_to_the_source_and_compiles(bug: Bug) -> None:
    assert faulty_driver(bug).sha256 != extensions.extension(bug.extension).sha256
    assert 1 <= bug.lines <= 10
    text = (extensions.source(bug.extension).parent.parent / bug.patch.path).read_text()
    start = text.index(f"\n{bug.function}") if f"\n{bug.function}" in text else None
    assert start is not None or re.search(rf"^\w.*\b{bug.function}\b", text, re.MULTILINE)


def test_ids_are_unique_and_each_bug_has_been_measured() -> None:
    assert len(set(IDS)) == len(IDS)
    assert set(IDS) == set(MEASURED)
    assert set(IDS) == {path.stem for path in Path(library.__file__).parent.glob("patches/*.patch")}


def test_there_are_three_places_of_each_of_the_papers_mistakes() -> None:
    assert Counter(bug.kind for bug in manual_bugs()) == dict.fromkeys(library.MANUAL_KINDS, 3)
    assert {bug.extension for bug in manual_bugs()} == {"e1000"}


def test_the_further_bugs_are_of_all_extensions_and_of_many_kinds() -> None:
    further = [bug for bug in catalogue() if not bug.manual]
    assert len(further) >= 24
    assert {bug.extension for bug in further} == set(extensions.names())
    assert len({bug.kind for bug in further}) >= 20
    assert all(bug.summary.endswith(".") and bug.situation.endswith(".") for bug in further)


@pytest.mark.parametrize("nooks", [False, True])
@pytest.mark.parametrize("extension", extensions.names())
def test_the_unchanged_driver_survives_every_situation(extension: str, nooks: bool) -> None:
    served = service(extension)
    with nl.boot(nooks=nooks, devices=served.devices) as lab:
        parameters = {"TxDescriptors": 1024} if extension == "e1000" else None
        scene = Scene(lab, served, extensions.extension(extension), parameters)
        scene.load()
        for bug in catalogue():
            if bug.extension != extension:
                continue
            situation(bug.id).act(scene)
            served.resume(scene)
            served.use(scene)
            assert scene.notes == [], bug.id
        assert "Oops" not in lab.dmesg()
        assert "BUG" not in lab.dmesg()
        assert lab.nooks is None or lab.nooks.recoveries == []


def test_a_patch_of_an_included_file_keeps_the_lines_of_both() -> None:
    text = faulty_source(find_bug("vfat-missing-unlock"))
    assert '#line 1 "fatent.c"' in text
    main = extensions.source("vfat").read_text().splitlines()
    number, name = re.findall(r'#line (\d+) "(.*)"', text)[1]
    assert name == "vfat.c"
    after = text.split(f'#line {number} "vfat.c"\n')[1].splitlines()[0]
    assert main[int(number) - 1] == after


def test_lines_of_the_header_go_on_behind_a_space() -> None:
    bug = mine(UNIQUE)
    assert (bug.summary, bug.function, bug.operation) == ("It does.", "e1000_ring_next", "open")


@pytest.mark.parametrize("before", ["no such text", "\t\treturn -EFAULT;"])
def test_a_hunk_that_does_not_fit_one_place_is_refused(before: str) -> None:
    times = extensions.source("e1000").read_text().count(f"{before}\n")
    assert times != 1
    with pytest.raises(PatchError, match=rf"^mine: hunk 1 fits {times} places of e1000/e1000.c, not one$"):
        faulty_source(mine(before))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no diff", "mine: there is no diff in it"),
        (HEADER + "--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n-one\n", "mine: the diff cannot be read"),
        (HEADER + 2 * DIFF, "mine: a patch changes one file, and this one 2"),
        (DIFF, "mine: its header has no line 'Kind'"),
        (HEADER.replace("open", "dance") + DIFF, "mine: 'dance' is no operation"),
        (HEADER + DIFF.replace("e1000/", "tulip/"), "mine: tulip/e1000.c is of no extension"),
    ],
)
def test_a_file_that_is_no_bug_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(PatchError, match=f"^{said}"):
        make_bug(read_patch("mine", text.format(before="a", after="b")))


def test_an_unknown_bug_is_refused_by_name() -> None:
    with pytest.raises(UnknownBug, match="unknown bug 'null-check-4'; there are: null-check-1, "):
        find_bug("null-check-4")
