"""The command: exit codes, what goes to stdout and what to stderr."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from nooks_lab import doctor
from nooks_lab.cli.main import main

ROOT = Path(__file__).parent.parent
COMMANDS = (
    "campaign",
    "lab",
    "demo",
    "doctor",
    "extensions",
    "lines",
    "wrappers",
    "api",
    "bugs",
    "try",
    "release",
    "check",
    "grade",
)

NO_DEVICE = "int init_module(void) { return 0; }\n"
NULL_STORE = "int init_module(void) { *(volatile int *)0 = 1; return 0; }\n"
ENDLESS = "int init_module(void) { for (;;) ; }\n"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


@pytest.fixture
def driver(tmp_path):
    def write(text: str, name: str = "mine.c") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert run(command, "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_without_arguments_the_commands_are_listed(capsys):
    assert run() == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_help_loads_neither_plots_nor_notebooks():
    import subprocess

    code = (
        "import sys\nfrom nooks_lab.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n"
        "    sys.exit(bool({'matplotlib', 'nbclient', 'networkx', 'ipywidgets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nonsense",), "nonsense"),
        (("demo", "--bogus"), "--bogus"),
        (("demo", "--seed", "x"), "--seed"),
        (("demo", "--seed", "-1"), "-1"),
        (("demo", "--extension", "ne2000"), "ne2000"),
        (("demo", "--figure", "domains.xyz"), "domains.xyz"),
        (("try", "nothing.c", "--device", "e1000"), "nothing.c"),
        (("try", "nothing.o", "--device", "e1000"), "nothing.o"),
        (("try",), "file"),
        (("check", "nothing.ipynb"), "nothing.ipynb"),
        (("release", "nowhere"), "nowhere"),
        (("grade", "nowhere", "--out", "out"), "nowhere"),
    ],
)
def test_a_users_error_is_one_line_on_stderr_and_exit_code_2(arguments, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert named.lower() in captured.err.lower()


def test_a_source_that_does_not_compile_is_told_with_its_first_error(driver, capsys):
    assert run("try", driver("int init_module(void) { return missing; }\n"), "--device", "e1000") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "mine.c:1" in err
    assert "missing" in err


def test_an_unknown_device_is_named(driver, capsys):
    assert run("try", driver(NO_DEVICE), "--device", "floppy") == 2
    assert "floppy" in capsys.readouterr().err


def test_an_undefined_symbol_is_named(driver, capsys):
    source = "int nowhere(void);\nint init_module(void) { return nowhere(); }\n"
    assert run("try", driver(source), "--device", "e1000", "--native") == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "outcome"), [(NO_DEVICE, "no device"), (NULL_STORE, "oops"), (ENDLESS, "hang")]
)
def test_a_bad_driver_is_told_natively(source, outcome, driver, capsys):
    assert run("try", driver(source), "--device", "e1000", "--native", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["native"]["outcome"] == outcome
    assert said["workload_ok"] is False


@pytest.mark.parametrize("mode", ["native", "nooks"])
def test_the_courses_own_driver_passes_a_trial(mode, capsys):
    source = ROOT / "nooks_lab" / "extensions" / "e1000" / "e1000.c"
    arguments = ("--native",) if mode == "native" else ()
    assert run("try", str(source), "--device", "e1000", "--json", *arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said[mode]["outcome"] == "ok"
    assert said[mode]["packets_lost"] == 0
    assert said["workload_ok"] is True


def test_a_trial_takes_an_object_file(tmp_path, capsys):
    from nooks_lab import extensions
    from nooks_lab.toolchain import compiler

    source = extensions.source("e1000")
    compiled = compiler.compile_c(source, include=(compiler.headers_dir(),), defines=extensions.DEFINES)
    path = tmp_path / "mine.o"
    path.write_bytes(compiled.data)
    assert run("try", str(path), "--device", "e1000", "--native") == 0
    assert "161 packets sent, 0 lost" in capsys.readouterr().out


def test_extensions_has_a_row_for_each(capsys):
    assert run("extensions", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    row = next(row for row in rows if row["name"] == "e1000")
    assert row["class"] == "network"
    assert row["changed_lines"] == 0
    assert len(row["object_sha256"]) == 64
    for kind in ("kernel", "extension"):
        assert sum(row[f"{kind}_sharing"].values()) == row[f"{kind}_wrappers"] > 10

    assert min(row[key] for key in ("c_lines", "kernel_wrappers", "extension_wrappers", "object_types")) > 0
    for row in rows:
        parts = ("unique_wrappers", "class_wrappers", "shared_wrappers")
        assert sum(row[part] for part in parts) == row["kernel_wrappers"] + row["extension_wrappers"]


def test_extensions_draws_who_shares_wrappers(tmp_path, capsys):
    picture = tmp_path / "figure5.png"
    assert run("extensions", "--json", "--figure", str(picture)) == 0
    assert json.loads(capsys.readouterr().out)["rows"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("extensions", "--figure", str(tmp_path / "figure5.xyz")) == 2
    assert "figure5.xyz" in capsys.readouterr().err


def test_lines_prints_the_components_with_their_total(capsys):
    assert run("lines", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["total"] == sum(row["lines"] for row in said["rows"])
    assert run("lines") == 0
    shown = capsys.readouterr().out
    for row in said["rows"]:
        share = row["lines"] / said["total"]
        assert row["share"] == round(share, 4)
        assert re.search(rf"{row['component']} +{row['lines']:,} +{share:.1%} ", shown)


def test_doctor_finds_this_installation_well(capsys):
    assert run("doctor", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert {check["what"] for check in said["checks"]} >= {"Python", "packages", "compiler", "sandbox"}


def test_doctor_says_how_to_mend_a_missing_package(monkeypatch, capsys):
    monkeypatch.setattr(
        doctor.importlib.metadata, "requires", lambda _: ["no-such-package>=1", "rich<1", "rich>=2"]
    )
    assert run("doctor") == 1
    out = capsys.readouterr().out
    assert "no-such-package is missing" in out
    assert "wanted rich<1" in out
    assert "wanted rich>=2" not in out
    assert "make setup" in out


def test_release_writes_the_exercises(tmp_path, capsys):
    assert run("release", str(ROOT / "solutions"), "--out", str(tmp_path)) == 0
    released = {path.name for path in tmp_path.glob("*.ipynb")}
    assert released == {path.name for path in (ROOT / "solutions").glob("*.ipynb")}


def test_lab_opens_the_start_page(monkeypatch):
    from types import SimpleNamespace

    from nooks_lab.cli import lab

    commands, settings = [], []
    server = SimpleNamespace(wait=lambda: 0)

    def start(command, env):
        commands.append(command)
        config = Path(env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
        settings.append(json.loads((config / "labconfig" / "default_setting_overrides.json").read_text()))
        return server

    monkeypatch.setattr(lab.subprocess, "Popen", start)
    monkeypatch.setattr(lab.signal, "signal", lambda *_: None)
    assert run("lab", "--no-browser") == 0
    assert any(argument.endswith("/lab/tree/course/README.md") for argument in commands[0])
    assert "--no-browser" in commands[0]
    (overrides,) = settings
    viewers = overrides["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]
    assert viewers == {"markdown": "Markdown Preview"}
    assert overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_the_start_page_links_files_that_are_there_and_that_jupyterlab_can_open():
    page = ROOT / "course" / "README.md"
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert links
    for link in links:
        assert (page.parent / link).is_file(), link


def test_bugs_lists_all_and_shows_one_with_its_diff(capsys):
    assert run("bugs", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"bug", "extension", "kind", "fault", "situation", "operation", "function", "diff"} <= set(rows[0])
    assert run("bugs") == 0
    table = capsys.readouterr().out
    assert all(row["bug"] in table for row in rows)
    assert run("bugs", "stack-2") == 0
    shown = capsys.readouterr().out
    assert "-\tskb_queue_head_init(&dropped);" in shown
    assert "situation: The interface is up" in shown


def test_bugs_brings_one_out_natively_and_under_nooks(capsys):
    assert run("bugs", "user-pointer-1", "--run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["native"]["outcome"], found["nooks"]["outcome"]) == ("no effect", "recovered")
    assert found["native"]["object_sha256"] == found["nooks"]["object_sha256"]
    assert run("bugs", "user-pointer-1", "--run") == 0
    assert "under Nooks: recovered (page fault: read of" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("bugs", "no-such-bug"), ("bugs", "--run")])
def test_bugs_refuses_what_there_is_not_in_one_line(arguments, capsys):
    assert run(*arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
