"""Every recorded case belongs to a family that is tested, or to one that is named here as still to come."""

import os
from pathlib import Path

import pytest

TESTED = (
    "sde_",
    "predictor_",
    "corrector_",
    "pc_",
    "inpaint_",
    "colorize_",
    "classcond_",
    "loss_sde_",
    "loss_smld_",
    "loss_ddpm_",
    "score_fn_",
    "ode_",
    "likelihood_",
    "model_ncsnpp_",
    "model_ddpm_",
    "model_ncsn_v1",
    "model_ncsnv2_",
    "layers",
    "checkpoint_",
)
STILL_TO_COME: tuple[str, ...] = ()


@pytest.mark.skipif("SCORESDE_GOLDEN" not in os.environ, reason="SCORESDE_GOLDEN does not name a folder of recorded cases")
def test_every_case_has_a_family() -> None:
    folder = Path(os.environ["SCORESDE_GOLDEN"])
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    assert names, f"{folder} holds no recorded cases"
    assert names == sorted({path.stem for path in folder.glob("*.json")} - {"parameter_counts"})
    assert [name for name in names if not name.startswith(TESTED + STILL_TO_COME)] == []
