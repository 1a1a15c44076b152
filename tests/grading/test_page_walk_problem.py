import nbformat
import pytest
from nbclient import NotebookClient
from small_exercise import EXERCISE

from nooks_lab.grading.problems import driven_walk, page_walk
from nooks_lab.grading.problems.facts import NotWrittenYet, WrongAnswer
from nooks_lab.machine.paging import PF_WRITE, RW, A, P, PageFault, PageWalker


@pytest.mark.parametrize("seed", range(20))
def test_the_right_answers_pass_on_every_seed(seed, capsys):
    page_walk.check_indices(lambda a: a >> 22, lambda a: a >> 12 & 0x3FF, lambda a: a & 0xFFF, seed=seed)
    page_walk.check_walk(PageWalker(), seed=seed)
    first = capsys.readouterr().out
    page_walk.check_indices(lambda a: a >> 22, lambda a: a >> 12 & 0x3FF, lambda a: a & 0xFFF, seed=seed)
    page_walk.check_walk(PageWalker(), seed=seed)
    assert capsys.readouterr().out == first


def test_another_seed_is_another_problem(capsys):
    page_walk.check_walk(PageWalker(), seed=1)
    first = capsys.readouterr().out
    page_walk.check_walk(PageWalker(), seed=2)
    assert capsys.readouterr().out != first


def test_a_wrong_line_is_marked_with_its_likely_cause():
    with pytest.raises(WrongAnswer) as caught:
        page_walk.check_indices(lambda a: a >> 20, lambda a: a >> 12 & 0x3FF, lambda a: a & 0xFFF, seed=1)
    text = str(caught.value)
    assert text.startswith("5 of 15 wrong")
    assert "likely cause: a shift by 20, not by 22" in text
    assert "GOOD  table index of" in text


class Forgetful(PageWalker):
    """Sets no dirty bit."""

    def walk(self, words, cr3, cr0, address, write):
        return (
            super().walk(words, cr3, cr0, address, False)
            if write
            else super().walk(words, cr3, cr0, address, write)
        )


class Eager(PageWalker):
    """Sets the accessed bit of the directory entry before it knows whether the access is allowed."""

    def walk(self, words, cr3, cr0, address, write):
        at = (cr3 & ~0xFFF | address >> 20 & 0xFFC) >> 2
        if words[at] & P:
            words[at] |= A
        return super().walk(words, cr3, cr0, address, write)


class Lax(PageWalker):
    """Knows no WP."""

    def walk(self, words, cr3, cr0, address, write):
        return super().walk(words, cr3, 0, address, write)


class Generous(PageWalker):
    """Lets every present page be written, whatever its entries say."""

    def walk(self, words, cr3, cr0, address, write):
        return super().walk(words, cr3, 0, address, write) | RW


class Returns(PageWalker):
    """Returns the entry with all its flags."""

    def walk(self, words, cr3, cr0, address, write):
        return super().walk(words, cr3, cr0, address, write) | 0x200


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("walker", [Forgetful(), Eager(), Lax(), Generous(), Returns()])
def test_wrong_walks_are_found_on_every_seed(walker, seed):
    with pytest.raises(WrongAnswer):
        page_walk.check_walk(walker, seed=seed)


def test_a_walk_that_marks_before_it_checks_is_told_so():
    with pytest.raises(WrongAnswer, match="sets no bit: look at the rights before"):
        page_walk.check_walk(Eager(), seed=3)


def test_what_a_student_prints_is_kept_out_of_the_facts(capsys):
    def talkative(address):
        print("here I am")
        return address >> 22

    page_walk.check_indices(talkative, lambda a: a >> 12 & 0x3FF, lambda a: a & 0xFFF, seed=1)
    captured = capsys.readouterr()
    assert "here I am" not in captured.out
    assert "here I am" in captured.err


def test_a_wrong_error_code_is_named():
    def wrong_code(_pde, _pte, _cr0, address, write):
        raise PageFault(address, PF_WRITE if write else 0)

    with pytest.raises(WrongAnswer, match="bit 0 of the error code must be set"):
        page_walk.check_rights(wrong_code, seed=2)


def test_the_driver_runs_on_the_walk_and_leaves_traces(capsys):
    driven_walk.check_driver(PageWalker(), seed=7)
    facts = dict(line.rsplit(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert facts["eth0 comes up"] == "0"
    assert int(facts["pages dirty"]) < int(facts["pages accessed"])


def test_a_walk_without_write_protection_passes_traffic_but_not_the_faults():
    driven_walk.check_driver(Generous(), seed=7)
    with pytest.raises(WrongAnswer, match=r"CR0\.WP set"):
        driven_walk.check_faults(Generous(), seed=7)


def test_faults_end_in_an_oops_with_the_right_code(capsys):
    driven_walk.check_faults(PageWalker(), seed=7)
    lines = capsys.readouterr().out.splitlines()
    assert [line[-4:] for line in lines[:2]] == ["0000", "0002"]
    assert "error code 0003; the store has not landed" in lines[3]
    assert lines[4].endswith("the store has landed")


class Stub:
    def walk(self, words, cr3, cr0, address, write):
        raise NotImplementedError


class Silent:
    def walk(self, words, cr3, cr0, address, write):
        return None


class AllFaults:
    def walk(self, words, cr3, cr0, address, write):
        raise PageFault(address, 0)


class NeverDirty(PageWalker):
    """Sets no dirty bit, so that a store never gets through."""

    def walk(self, words, cr3, cr0, address, write):
        return super().walk(words, cr3, cr0, address, False)


def test_a_stub_is_named_even_where_an_answer_calls_it():
    def table_index(address):
        raise NotImplementedError

    with pytest.raises(NotWrittenYet, match=r"^not written yet: .*table_index "):
        page_walk.check_indices(
            lambda a: a >> 22, lambda a: table_index(a) & 0x3FF, lambda a: a & 0xFFF, seed=1
        )


@pytest.mark.parametrize("check", [page_walk.check_walk, driven_walk.check_driver, driven_walk.check_faults])
def test_a_walk_that_is_a_stub_is_named_by_every_check(check):
    with pytest.raises(NotWrittenYet, match=r"^not written yet: Stub\.walk "):
        check(Stub(), seed=1)


@pytest.mark.parametrize("check", [driven_walk.check_driver, driven_walk.check_faults])
@pytest.mark.parametrize(
    ("walker", "sentence"),
    [(Silent(), "the walk returned None"), (AllFaults(), r"does not run on this walk \(page fault at")],
)
def test_a_walk_on_which_the_kernel_does_not_boot_is_one_sentence(check, walker, sentence):
    with pytest.raises(WrongAnswer, match=sentence) as caught:
        check(walker, seed=1)
    assert "\n" not in str(caught.value)


def test_a_walk_that_stops_the_cpu_is_one_sentence():
    with pytest.raises(WrongAnswer, match="does not run on this walk"):
        driven_walk.check_driver(NeverDirty(), seed=1)


def test_a_notebook_shows_the_message_and_none_of_the_checks_own_frames():
    with pytest.raises(WrongAnswer) as caught:
        page_walk.check_walk(Eager(), seed=3)
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_run_all_of_the_unsolved_exercise_says_in_one_line_each_what_is_to_be_written():
    notebook = nbformat.read(EXERCISE, as_version=4)
    NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute()
    said = {
        cell.id: "\n".join(output.traceback)
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    }
    assert {name: line.split(" (")[0] for name, line in said.items()} == {
        "check-indices": "not written yet: directory_index",
        "check-reads": "not written yet: translate_read",
        "check-rights": "not written yet: check_access",
        "check-walk": "not written yet: MyWalker.walk",
        "check-walk-again": "not written yet: MyWalker.walk",
        "check-driver": "not written yet: MyWalker.walk",
        "check-faults": "not written yet: MyWalker.walk",
    }
    assert not any("\n" in line for line in said.values())
