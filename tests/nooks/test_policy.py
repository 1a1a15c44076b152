"""Recovery policy: its keys, who wins, and every way to get it wrong."""

from pathlib import Path

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cli.main import main
from nooks_lab.nooks.isolation.domain import HEAP_PAGES
from nooks_lab.nooks.recovery.policy import GiveUp, Policy, PolicyError, Rule, parse_policy, read_policy

CLASSES = {"e1000": "network", "pcnet32": "network", "sb": "sound"}


def rule(keys: str) -> Rule:
    """The rule that a policy of these keys gives the e1000."""
    return parse_policy(f"[extension.e1000]\n{keys}\n", CLASSES).of("e1000")


def complaint(text: str) -> str:
    """The sentence that a policy is refused with."""
    with pytest.raises(PolicyError) as refused:
        parse_policy(text, CLASSES, "mine.toml")
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.startswith("mine.toml")
    return sentence


def test_without_a_file_an_extension_is_restarted():
    assert Policy().of("anything") == Rule(
        action="restart", notify=True, sync=False, bad_parameter="recover", heap_pages=HEAP_PAGES
    )


@pytest.mark.parametrize(
    ("keys", "attribute", "value"),
    [
        ('action = "disable"', "action", "disable"),
        ('action = "replace"\nreplacement = "sb"', "action", "replace"),
        ('action = "replace"\nreplacement = "sb"', "replacement", "sb"),
        ("parameters = { RxDescriptors = 32 }", "parameters", {"RxDescriptors": 32}),
        ('parameters = { name = "x", list = [1, -2] }', "parameters", {"name": "x", "list": [1, -2]}),
        ("give_up = { failures = 5, cycles = 17_000 }", "give_up", GiveUp(5, 17_000)),
        ("notify = false", "notify", False),
        ("sync = true", "sync", True),
        ('bad_parameter = "error"', "bad_parameter", "error"),
        ('resource_limit = "recover"', "resource_limit", "recover"),
        ("heap_pages = 16", "heap_pages", 16),
    ],
)
def test_every_key_is_read(keys, attribute, value):
    assert getattr(rule(keys), attribute) == value


def test_the_closer_table_wins_key_by_key():
    policy = parse_policy(
        """
        [default]
        heap_pages = 1
        sync = true
        notify = false
        [class.network]
        heap_pages = 2
        resource_limit = "recover"
        [extension.e1000]
        heap_pages = 3
        notify = true
        """,
        CLASSES,
    )
    e1000, pcnet32, sb, unknown = map(policy.of, ("e1000", "pcnet32", "sb", "homework"))
    assert (e1000.heap_pages, pcnet32.heap_pages, sb.heap_pages, unknown.heap_pages) == (3, 2, 1, 1)
    assert (e1000.resource_limit, pcnet32.resource_limit, sb.resource_limit) == (
        "recover",
        "recover",
        "error",
    )
    assert (e1000.notify, pcnet32.notify, unknown.notify) == (True, False, False)
    assert all(each.sync for each in (e1000, pcnet32, sb, unknown))


def test_an_extension_without_rules_of_its_own_has_those_of_its_class_only():
    policy = parse_policy('[class.sound]\naction = "disable"\n', CLASSES)
    assert [policy.of(name).action for name in CLASSES] == ["restart", "restart", "disable"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[defaults]\n", "there is no table 'defaults'; there are: class, default, extension"),
        ("[class.radio]\n", "there is no class 'radio'; there are: network, sound"),
        ("[extension.e100]\n", "there is no extension 'e100'; there are: e1000, pcnet32, sb"),
        ("[default]\nretries = 3\n", "[default]: there is no key 'retries'; there are: action, "),
        ("[class.sound]\nheap = 3\n", "[class.sound]: there is no key 'heap'"),
        ('[default]\naction = "reboot"\n', "action is 'reboot'; it can be restart, replace, disable"),
        ("[default]\naction = 1\n", "action is 1; it can be restart, replace, disable"),
        ("[default]\naction = []\n", "action is []; it can be"),
        ('[default]\nbad_parameter = "ignore"\n', "bad_parameter is 'ignore'; it can be recover, error"),
        ("[default]\nresource_limit = true\n", "resource_limit is True; it can be recover, error"),
        ('[default]\nnotify = "yes"\n', "notify is 'yes'; it can be true or false"),
        ("[default]\nsync = 1\n", "sync is 1; it can be true or false"),
        ("[default]\nheap_pages = true\n", "heap_pages is True; it must be a positive number"),
        ("[default]\nheap_pages = 0\n", "heap_pages is 0; it must be a positive number"),
        ("[default]\nheap_pages = 1.5\n", "heap_pages is 1.5; it must be a positive number"),
        ("[default]\ngive_up = 3\n", "give_up must have positive numbers, failures and cycles"),
        ("[default]\ngive_up = { failures = 3 }\n", "give_up must have positive numbers"),
        ("[default]\ngive_up = { failures = true, cycles = 9 }\n", "give_up must have positive numbers"),
        ("[default]\ngive_up = { failures = 3, cycles = -1 }\n", "give_up must have positive numbers"),
        ("[default]\ngive_up = { failures = 3, cycles = 9, or = 1 }\n", "give_up must have positive numbers"),
        ("[default]\nparameters = 3\n", "parameters is 3; it must be a table of module parameters"),
        ("[default]\nparameters = { debug = true }\n", "parameter debug is True; it can be a number, a text"),
        ("[default]\nparameters = { debug = 1.5 }\n", "parameter debug is 1.5"),
        ("[default]\nparameters = { debug = [1, true] }\n", "parameter debug is [1, True]"),
        ('[default]\naction = "replace"\n', "there is no extension '' to replace it; there are: e1000, "),
        ('[default]\nreplacement = "e2000"\n', "there is no extension 'e2000' to replace it"),
        ("[default]\nreplacement = 7\n", "there is no extension 7 to replace it"),
        (
            '[default]\naction = "replace"\nreplacement = ["sb"]\n',
            "there is no extension ['sb'] to replace it",
        ),
        ("default = 3\n", "[default] is no table"),
        ("class = 3\n", "class is no table of tables, such as [class.NAME]"),
        ("extension = { e1000 = 3 }\n", "extension is no table of tables, such as [extension.NAME]"),
        ("[[extension]]\n", "extension is no table of tables"),
        ("[default\n", "is not TOML: "),
        ("[default]\n[default]\n", "is not TOML: "),
        ("action = restart\n", "is not TOML: "),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_thing(text, named):
    assert named in complaint(text)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("[extension.sb]\nheap_pages = 7\n", encoding="utf-8")
    assert read_policy(path, CLASSES).of("sb").heap_pages == 7


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.toml", None, "policy missing.toml cannot be read: No such file or directory"),
        ("latin.toml", "# Straße\n".encode("latin-1"), "policy latin.toml cannot be read: it is not UTF-8"),
        ("broken.toml", b"[[", "broken.toml is not TOML: "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name, content, sentence):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyError) as refused:
        read_policy(path, CLASSES)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_folder_is_no_policy(tmp_path):
    with pytest.raises(PolicyError, match=f"policy {tmp_path.name} cannot be read: "):
        read_policy(tmp_path, CLASSES)


def test_boot_takes_a_policy_or_its_file(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("[class.network]\nheap_pages = 64\n")
    with nl.boot(nooks=True, policy=path) as lab:
        lab.insmod("e1000")
        assert lab.nooks is not None
        assert lab.nooks.domains[0].heap.pages.limit == 64
    with nl.boot(nooks=True, policy=Policy(Rule(heap_pages=65))) as lab:
        lab.insmod("e1000")
        assert lab.nooks is not None
        assert lab.nooks.domains[0].heap.pages.limit == 65


def test_a_policy_without_nooks_is_refused():
    with pytest.raises(PolicyError, match="without Nooks nothing is recovered"):
        nl.boot(policy=Policy())


@pytest.fixture
def driver(tmp_path) -> str:
    path = tmp_path / "mine.c"
    path.write_text("int init_module(void) { return 0; }\n")
    return str(path)


@pytest.mark.parametrize("command", ["demo", "try"])
def test_a_bad_policy_is_the_users_error(command, tmp_path, driver, capsys):
    path = tmp_path / "policy.toml"
    path.write_text("[extension.e100]\n")
    more = [driver, "--device", "e1000"] if command == "try" else []
    with pytest.raises(SystemExit) as end:
        main([command, *more, "--policy", str(path)])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    there = ", ".join(sorted(extensions.CLASSES))
    assert (out, err) == ("", f"nooks-lab: policy.toml: there is no extension 'e100'; there are: {there}\n")


def test_try_natively_with_a_policy_is_the_users_error(tmp_path, driver, capsys):
    path = tmp_path / "policy.toml"
    path.write_text("")
    with pytest.raises(SystemExit) as end:
        main(["try", driver, "--device", "e1000", "--native", "--policy", str(path)])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("nooks-lab: without Nooks")


def test_the_demo_follows_a_policy(tmp_path, capsys):
    path = tmp_path / "policy.toml"
    path.write_text('[extension.e1000]\naction = "disable"\n')
    with pytest.raises(SystemExit) as end:
        main(["demo", "--policy", str(path), "--json"])
    assert end.value.code == 0
    import json

    assert json.loads(capsys.readouterr().out)["nooks"]["outcome"] == "failed"
