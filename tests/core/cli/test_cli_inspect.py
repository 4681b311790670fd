"""Commands that only look."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from scoresde.core.cli import main
from scoresde.core.experiment import shipped
from scoresde.registry import Registry

Command = Callable[..., Result]


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_help_of_each_command_has_an_example(scoresde: Command, name: str) -> None:
    result = scoresde(name, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    scoresde {name}" in result.stdout


def test_the_help_names_all_commands(scoresde: Command) -> None:
    result = scoresde("-h")
    assert result.exit_code == 0
    look = ["bench", "check", "conform", "describe", "experiments", "new-plugin", "plugins", "report"]
    work = ["decode", "encode", "evaluate", "import", "interpolate", "likelihood", "run", "sample", "sweep", "train"]
    assert sorted(main.commands) == sorted(look + work)
    assert all(f"\n  {name} " in result.stdout for name in main.commands)


def test_python_runs_the_command_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "scoresde.core", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith("version 0.1.0")


def test_experiments_lists_what_ships_with_its_first_comment(scoresde: Command) -> None:
    lines = scoresde("experiments").stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == [entry.name for entry in shipped()]
    assert {"digits", "digits-ve", "mixture-2d", "mnist", "moons", "cifar10/ve-ncsnpp-deep-continuous", "comparison/vp-pc1000"} <= set(
        names
    )
    words = "Samples of an exact mixture in the plane, drawn in seconds, as a scatter plot beside the truth"
    assert lines[names.index("mixture-2d")] == f"{'mixture-2d':<{max(map(len, names))}}  {words}"


def test_every_shipped_experiment_is_right(scoresde: Command) -> None:
    names = [entry.name for entry in shipped()]
    result = scoresde("check", *names)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"{name}: ok" for name in names]


def test_check_reports_all_files_and_fails_for_one(scoresde: Command) -> None:
    Path("wrong.toml").write_text('extends = "tiny.toml"\n[sde]\nbeta_mn = 0.2\n\n[sampling]\nsteps = -3\n', "utf-8")
    result = scoresde("check", "wrong.toml", "tiny.toml", "nothing")
    assert result.exit_code == 2
    assert result.stdout == "tiny.toml: ok\n"
    first, second, third = result.stderr.splitlines()
    assert first.startswith('wrong.toml:3: sde.beta_mn = 0.2: unknown option of sde "vp" (scoresde). Did you mean beta_min? Valid: ')
    assert second == "wrong.toml:6: sampling.steps = -3: must be >= 1"
    assert third.startswith("nothing: no such file, and no shipped experiment of that name.")


def test_plugins_as_json_has_exactly_the_documented_keys(scoresde: Command) -> None:
    result = scoresde("plugins", "--json", "--no-plugins", "--plugin", "my_sampler.py")
    rows = json.loads(result.stdout)
    assert [list(row) for row in rows] == [["distribution", "version", "entry_point", "components", "error"]] * 2
    mine, own = rows
    assert (mine["distribution"], mine["components"], mine["error"]) == ("my_sampler.py", [{"kind": "predictor", "name": "drift"}], None)
    assert (own["distribution"], own["version"], own["entry_point"], own["error"]) == ("scoresde", "0.1.0", "builtin", None)
    assert {"kind": "sde", "name": "vp"} in own["components"]
    assert all(list(component) == ["kind", "name"] for component in own["components"])


def test_a_plugin_that_failed_is_listed_with_its_reason(scoresde: Command, broken: None) -> None:
    rows = {row["distribution"]: row for row in json.loads(scoresde("plugins", "--json").stdout)}
    assert rows["broken-samplers"]["components"] == []
    assert "no good today" in rows["broken-samplers"]["error"]
    assert len(rows["broken-samplers"]["error"].splitlines()) == 1
    result = scoresde("plugins")
    assert result.exit_code == 0
    assert "broken-samplers 1.0 (main)\n  failed to load: " in result.stdout


def test_describe_gives_text_options_and_owner(scoresde: Command) -> None:
    result = scoresde("describe", "sde", "vp")
    assert result.exit_code == 0
    assert result.stdout.startswith('sde "vp" of scoresde 0.1.0\n')
    assert "  beta_max         a number, default 20.0, > 0\n" in result.stdout
    assert "It has no options.\n" in scoresde("describe", "predictor", "none").stdout
    assert 'predictor "drift" of my_sampler.py' in scoresde("describe", "predictor", "drift", "--plugin", "my_sampler.py").stdout


@pytest.mark.parametrize(
    "kind", ["classifier", "sde", "predictor", "corrector", "model", "dataset", "likelihood", "objective", "conditioner", "grid"]
)
def test_every_built_in_component_can_be_described(scoresde: Command, kind: str) -> None:
    components = json.loads(scoresde("plugins", "--json", "--no-plugins").stdout)[0]["components"]
    names = [component["name"] for component in components if component["kind"] == kind]
    assert names
    for name in names:
        result = scoresde("describe", kind, f"scoresde:{name}")
        assert result.exit_code == 0
        assert "ptions" in result.stdout.splitlines()[-1] or result.stdout.splitlines()[-1].startswith("  ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("describe", "sde", "vq"), 'unknown sde "vq". Registered: sub_vp, ve, vp'),
        (("describe", "predictor", "ancestrel"), 'unknown predictor "ancestrel". Did you mean ancestral?'),
        (("describe", "sdx", "vp"), 'unknown sdx "vp". "vp" is a sde. There is nothing of kind sdx; kinds: '),
        (("plugins", "--plugin", "nothing.py"), "nothing.py: cannot read this plugin file (No such file or directory)"),
        (("plugins", "--plugin", "nothing"), 'no plugin "nothing" is installed. Installed: '),
    ],
)
def test_what_is_not_there_is_one_line(scoresde: Command, arguments: tuple[str, ...], error: str) -> None:
    result = scoresde(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(error)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("before", "fields", "reason"),
    [
        ("", "pass", "NotAnAttrsClassError: <class '{module}.Odd'> is not an attrs-decorated class."),
        ("@attrs.frozen", 'size: "Nothing" = 1', "NameError: name 'Nothing' is not defined"),
        ("@attrs.frozen", 'size: "math.Nothing" = 1', "AttributeError: module 'math' has no attribute 'Nothing'"),
    ],
)
def test_a_component_whose_options_cannot_be_read_is_one_line(scoresde: Command, before: str, fields: str, reason: str) -> None:
    head = "import attrs, math\nfrom scoresde.registry import hookimpl\nscoresde_api = 1\n"
    hook = "@hookimpl\ndef components():\n    return [Odd]\n"
    Path("odd.py").write_text(f'{head}{before}\nclass Odd:\n    kind = "sde"\n    name = "odd"\n    {fields}\n{hook}', "utf-8")
    [mine] = [source for source in Registry.discover(only=(), files=[Path("odd.py")]).sources if source.distribution == "odd.py"]
    result = scoresde("describe", "sde", "odd", "--plugin", "odd.py")
    assert (result.exit_code, result.stdout) == (2, "")
    reason = reason.format(module=mine.components[0].component.__module__)
    assert result.stderr == f'odd.py {mine.version}: the options of sde "odd" cannot be read ({reason})\n'


def test_a_table_is_described(scoresde: Command) -> None:
    result = scoresde("describe", "table", "training")
    assert result.exit_code == 0
    assert result.output.startswith("[training]: how the model is trained. Without the table nothing is.\n\nOptions:\n")
    assert "  steps            an integer, required, >= 1\n                   optimiser steps\n" in result.output
    refused = scoresde("describe", "table", "trainig")
    assert refused.exit_code == 2
    assert refused.stderr == (
        'no table "trainig" with settings. Did you mean training?'
        " There are: experiment, plugins, training, classifier, sampling, likelihood, conditioning, evaluation, run\n"
    )
