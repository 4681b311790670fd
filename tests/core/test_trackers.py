"""Trackers: which are refused, and what they are told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import GeneralTracker

from scoresde.core.errors import UserError
from scoresde.core.trackers import begin_tracking, check_trackers, track


class Listed(GeneralTracker):
    """Notes what it is told."""

    name = "listed"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.told: list[tuple[int | None, dict[str, Any]]] = []

    @property
    def tracker(self) -> "Listed":
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.settings = values

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self.told.append((step, values))


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def test_unknown_and_missing_trackers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers(())
    with pytest.raises(UserError, match=r"^run\.trackers: unknown tracker 'paper': expected some of aim, .*, tensorboard, .*wandb$"):
        check_trackers(("paper",))
    monkeypatch.setattr("accelerate.utils.imports.is_tensorboard_available", lambda: True)
    monkeypatch.setattr("accelerate.utils.imports.is_comet_ml_available", lambda: False)
    check_trackers(("tensorboard",))
    with pytest.raises(UserError) as error:
        check_trackers(("tensorboard", "comet_ml"))
    assert str(error.value) == "run.trackers: comet_ml is not installed: pip install comet-ml, or leave it out"


def test_a_tracker_is_told_the_settings_and_the_numbers_of_each_record() -> None:
    listed = Listed()
    accelerator = Accelerator(cpu=True, log_with=listed)
    begin_tracking(accelerator, "run", {"sde": {"use": "vp", "beta_max": 20.0}, "training": {"betas": [0.9, 0.999], "steps": 3}}, 0)
    track(accelerator, {"step": 2, "loss": 0.5, "learning_rate": 1e-3, "skipped": 0})
    track(accelerator, {"step": 3, "loss": None, "learning_rate": 1e-3, "skipped": 1, "validation": 0.25})
    assert listed.settings == {"sde.use": "vp", "sde.beta_max": 20.0, "training.betas": "[0.9, 0.999]", "training.steps": 3}
    assert listed.told == [
        (2, {"loss": 0.5, "learning_rate": 1e-3, "skipped": 0}),
        (3, {"learning_rate": 1e-3, "skipped": 1, "validation": 0.25}),
    ]


def test_tensorboard_has_the_curves_of_a_resumed_run_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from accelerate.utils import ProjectConfiguration
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for done, steps in ((0, range(1, 5)), (2, range(3, 7))):
        AcceleratorState._reset_state(True)
        folder = ProjectConfiguration(project_dir=str(tmp_path), logging_dir=str(tmp_path / "trackers"))
        accelerator = Accelerator(cpu=True, log_with=["tensorboard"], project_config=folder)
        begin_tracking(accelerator, "run", {"sde": {"use": "vp"}}, done)
        for step in steps:
            track(accelerator, {"step": step, "loss": float(step + 10 * done)})
        accelerator.end_training()
    held = EventAccumulator(str(tmp_path / "trackers" / "run")).Reload()
    assert [(event.step, event.value) for event in held.Scalars("loss")] == [
        (1, 1.0),
        (2, 2.0),
        *((step, step + 20.0) for step in range(3, 7)),
    ]
