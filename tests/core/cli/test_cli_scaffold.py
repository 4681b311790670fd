"""scoresde new-plugin: what it writes is installed, found, run and tested as it is, for every kind."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from click.testing import Result

from scoresde.core import KINDS
from scoresde.core.experiment import load
from scoresde.core.runs import RunFolder
from scoresde.core.scaffold import USES, Plugin, component, named, write_package
from scoresde.core.testing import checks_of
from scoresde.registry import Registry

Command = Callable[..., Result]

INSTALLED = "predictor"  # by pip; the others as pip would have done it, without its seconds
NO_NAME = "is no name for a plugin: take letters and digits, a letter first, with single hyphens between words"
RULES = "E,F,W,I,UP,B,C4,SIM,PT,N"
SMALL = {
    "data": ("count=50",),
    "training": ("steps=2", "batch=8"),
    "classifier": ("steps=2", "batch=8"),
    "sampling": ("count=8", "steps=4"),
    "likelihood": ("count=4", "steps=4"),
    "conditioning": ("count=3",),
    "run": ("chunk=8",),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new package of every kind."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in USES:
        write_package(named(f"my-{kind}", kind), folder)
    return folder


@pytest.fixture(scope="module")
def site(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which all of them are installed, on sys.path."""
    folder = tmp_path_factory.mktemp("site")
    _pip_install(packages / f"my-{INSTALLED}", folder)
    for kind in USES.keys() - {INSTALLED}:
        _install(packages / f"my-{kind}", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in [f"my_{kind}" for kind in USES]:
        sys.modules.pop(name, None)


def _pip_install(package: Path, site: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--target", str(site)]
    copy = shutil.copytree(package, site.parent / f"{package.name}-to-build")
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, str(copy)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def _install(package: Path, site: Path) -> None:
    project = tomli.loads((package / "pyproject.toml").read_text("utf-8"))
    (module,) = project["tool"]["setuptools"]["py-modules"]
    shutil.copy(package / f"{module}.py", site)
    name, version = project["project"]["name"], project["project"]["version"]
    information = site / f"{module}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = [f"{key} = {value}\n" for key, value in project["project"]["entry-points"]["scoresde"].items()]
    (information / "entry_points.txt").write_text("".join(["[scoresde]\n", *entries]))


def test_there_is_a_template_for_every_kind() -> None:
    assert set(USES) == set(KINDS)


def test_a_package_is_written_and_what_to_do_next_is_said(scoresde: Command) -> None:
    result = scoresde("new-plugin", "My.Sampler", "--kind", "predictor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "My.Sampler/ is written. To go on:",
        "  cd My.Sampler",
        "  pip install -e .",
        "  scoresde run example.toml",
        "  pytest",
    ]
    names = ["README.md", "example.toml", "my_sampler.py", "pyproject.toml", "test_my_sampler.py"]
    assert sorted(path.name for path in Path("My.Sampler").iterdir()) == names
    project = tomli.loads(Path("My.Sampler/pyproject.toml").read_text("utf-8"))["project"]
    assert (project["name"], project["entry-points"]) == ("My.Sampler", {"scoresde": {"my_sampler": "my_sampler"}})


@pytest.mark.parametrize("kind", USES)
def test_an_installed_package_is_listed_and_its_example_runs(scoresde: Command, packages: Path, site: Path, kind: str) -> None:
    name, example = f"my_{kind}", packages / f"my-{kind}" / "example.toml"
    assert f"my-{kind} 0.1.0 ({name})\n  {kind:<12} {name}\n" in scoresde("plugins").stdout
    assert scoresde("describe", kind, name).stdout.startswith(f'{kind} "{name}" of my-{kind} 0.1.0\n')
    result = scoresde("check", str(example))
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{example}: ok\n", "")
    result = scoresde("run", str(example), "--quiet", "--out", "small", *_small(example))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f'use = "my-{kind}:{name}"\n' in Path("small/experiment.toml").read_text("utf-8")
    stages = {"data": "train", "classifier": "classifier", "sampling": "sample", "conditioning": "condition", "likelihood": "likelihood"}
    assert all(RunFolder(Path("small")).done(stages[table]) for table in stages.keys() & _tables(example).keys())


def _tables(example: Path) -> dict[str, Any]:
    return tomli.loads(example.read_text("utf-8"))


def _small(example: Path) -> list[str]:
    """The settings that make an example a matter of a second."""
    return [
        word
        for table, values in SMALL.items()
        if table in _tables(example) and (table != "data" or _tables(example)["data"]["use"] != "digits")
        for value in values
        for word in ("--set", f"{table}.{value}")
    ]


def test_what_every_kind_has_to_keep_is_kept_by_its_package(packages: Path, site: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(packages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, cwd=packages)
    assert done.returncode == 0, done.stdout[-4000:]
    ended = dict(zip(("passed", "xfailed"), map(int, re.findall(r"(\d+) (?:passed|xfailed)", done.stdout)), strict=True))
    # Two components of each kind, and for each whether all checks were collected; the conditioner is exact for Gaussian data alone.
    assert ended == {"passed": sum(2 * (len(checks_of(kind)) + 1) for kind in USES) - 2, "xfailed": 2}


@pytest.mark.parametrize("rules", [["check", "--select", RULES], ["format", "--check"]], ids=["check", "format"])
def test_the_packages_are_in_format(packages: Path, rules: list[str]) -> None:
    command = [sys.executable, "-m", "ruff", *rules, "--isolated", "--config", 'src = ["*"]', "."]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=packages)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", USES)
def test_a_single_file_is_the_same_component_and_the_commands_that_are_named_work(scoresde: Command, folder: Path, kind: str) -> None:
    result = scoresde("new-plugin", "my-idea", "--kind", kind, "--single-file")
    assert (result.exit_code, result.stderr) == (0, "")
    assert Path("my_idea.py").read_text("utf-8") == component(named("my-idea", kind))
    first, describe, conform, run = result.stdout.splitlines()
    assert first == "my_idea.py is written. To go on:"
    assert describe == f"  scoresde describe {kind} my_idea --plugin my_idea.py"
    assert conform == "  scoresde conform --plugin my_idea.py"
    result = scoresde(*shlex.split(describe)[1:])
    assert (result.exit_code, result.stdout.splitlines()[0].split(" of ")[0]) == (0, f'{kind} "my_idea"')
    result = scoresde(*shlex.split(run)[1:], "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_single_file_conforms(scoresde: Command) -> None:
    scoresde("new-plugin", "my-idea", "--kind", "grid", "--single-file")
    result = scoresde("conform", "--plugin", "my_idea.py")
    assert (result.exit_code, result.stderr) == (0, "")
    count = len(checks_of("grid"))
    assert result.stdout.splitlines()[0].startswith('grid "my_idea" of my_idea.py sha256:')
    assert f"\n{count} checks: {count} pass\n" in result.stdout


def test_a_single_file_named_in_an_experiment_works_the_same(scoresde: Command) -> None:
    scoresde("new-plugin", "my-idea", "--kind", "predictor", "--single-file")
    text = 'extends = "mixture-2d"\n[experiment]\nname = "x"\nplugins = ["./my_idea.py"]\n[sampling]\npredictor = { use = "my_idea" }\n'
    Path("x.toml").write_text(text, "utf-8")
    experiment, registry = load(Path("x.toml"), Registry.discover())
    assert experiment.sampling is not None
    predictor = experiment.sampling.sampler.predictor  # type: ignore[attr-defined]
    assert registry.qualified(type(predictor)) == "my_idea.py:my_idea"
    assert (predictor.ode_order, predictor.place) == (2, 1.0)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("fast-sampler", "predictor", ("fast_sampler", "fast_sampler", "FastSampler")),
        ("scoresde-AB2", "predictor", ("scoresde_ab2", "ab2", "Ab2")),
        ("scoresde-2d", "dataset", ("scoresde_2d", "scoresde_2d", "Scoresde2d")),
        ("step", "predictor", ("step", "step", "StepPredictor")),
        ("none", "grid", ("none", "none", "NoneGrid")),
    ],
)
def test_the_names_of_module_component_and_class(name: str, kind: str, expected: tuple[str, str, str]) -> None:
    assert named(name, kind) == Plugin(kind, name, *expected)


@pytest.mark.parametrize(("name", "kind"), [("step", "predictor"), ("scalar", "sde"), ("score", "conditioner"), ("network", "model")])
def test_a_name_that_the_template_uses_itself_makes_a_component_all_the_same(scoresde: Command, name: str, kind: str) -> None:
    scoresde("new-plugin", name, "--kind", kind, "--single-file")
    cls = Registry.discover(files=[Path(f"{name}.py")]).get(kind, name)
    assert cls.__name__ == f"{name.capitalize()}{kind.capitalize()}"
    assert issubclass(cls, KINDS[kind])
    cls()


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("my--sampler", "predictor", f'"my--sampler" {NO_NAME}, as in my-predictor'),
        ("../sampler", "grid", f'"../sampler" {NO_NAME}, as in my-grid'),
        ("2d", "sde", f'"2d" {NO_NAME}, as in my-sde'),
        ("", "sde", f'"" {NO_NAME}, as in my-sde'),
        ("class", "sde", '"class" means something else to Python or its tools: take another name, such as my-class'),
        ("setup", "sde", '"setup" means something else to Python or its tools: take another name, such as my-setup'),
        ("Torch", "sde", 'there is a Python module "torch" already: take another name, such as my-Torch'),
        ("scoresde-vp", "sde", 'there is a sde "vp" already, of scoresde 0.1.0: take another name, such as my-scoresde-vp'),
        (
            "mine",
            "predicter",
            'unknown kind "predicter". Did you mean predictor? Kinds: classifier, conditioner, corrector, dataset, extractor, grid,'
            " likelihood, model, objective, operator, predictor, sampler, sde",
        ),
    ],
)
def test_a_name_or_kind_that_cannot_be_is_refused_in_one_line(refused: Callable[..., list[str]], name: str, kind: str, error: str) -> None:
    assert refused("new-plugin", name, "--kind", kind) == [error]
    assert refused("new-plugin", name, "--kind", kind, "--single-file") == [error]


def test_nothing_is_overwritten(refused: Callable[..., list[str]]) -> None:
    Path("mine").write_text("precious")
    Path("yours").mkdir()
    Path("ours.py").write_text("precious")
    there = "there is a file or folder of this name already, which is left as it is: take another name"
    assert refused("new-plugin", "mine", "--kind", "sde") == [f"mine: {there}"]
    assert refused("new-plugin", "yours", "--kind", "sde") == [f"yours: {there}"]
    assert refused("new-plugin", "ours", "--kind", "sde", "--single-file") == [f"ours.py: {there}"]
