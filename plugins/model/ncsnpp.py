"""NCSN++, the network of the VE SDE, with all the choices that its authors compared (Song et al., 2021, App. H and Table 4).

DDPM++'s U-Net with a FIR filter (taps 1, 3, 3, 1: Zhang, 2019) in the resampling, a pyramid of the input, Fourier features of log sigma,
and the output divided by sigma. The defaults are CIFAR-10's continuous NCSN++; its deep one has 8 blocks. Pictures of 256 and 1024 have
``progressive`` "output_skip" and ``progressive_input`` "input_skip". Networks of the discrete VE objective have "positional" embeddings
of the label and ``time_coordinate`` "level"; those of the VP SDE "positional" embeddings of 999 t, predict the noise and are not divided.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, final

import attrs
from torch import nn

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option

from .blocks import ACTIVATIONS, Nonlinearity, Style
from .embedding import POSITIONS, FourierFeatures, PositionalEmbedding
from .plan import InputPyramid, OutputPyramid, Plan, centring, check_multipliers, check_pictures, noise_scale
from .published import published_names
from .unet import UNet


@final
@attrs.frozen(kw_only=True)
class NCSNpp(ScoreModel):
    """The NCSN++ network for pictures of any number of channels (Song et al., 2021, App. H)."""

    name = "ncsnpp"

    channels: int = option(128, at_least=4, help="width at the first resolution")
    multipliers: tuple[int, ...] = option(
        (1, 2, 2, 2), at_least=1, help="width of each resolution in units of channels; each but the first halves the sides"
    )
    blocks: int = option(4, at_least=1, help="residual blocks of each resolution on the way down")
    attention: tuple[int, ...] = option((16,), at_least=1, help="heights with attention; the bottom always has it")
    dropout: float = option(0.1, at_least=0, below=1, help="share of activations dropped in training")
    resblock_type: Literal["biggan", "ddpm"] = option("biggan", help="whether blocks resample themselves or layers between them do")
    fir: bool = option(True, help="whether resampling filters; else it takes means and repeats")
    fir_kernel: tuple[float, ...] = option((1.0, 3.0, 3.0, 1.0), at_least=0, help="taps of the filter, normalised to sum 1")
    resamp_with_conv: bool = option(True, help="whether the layers between ddpm blocks convolve as they resample")
    progressive: OutputPyramid = option("none", help="how the output is gathered from the resolutions of the way up")
    progressive_input: InputPyramid = option("residual", help="how the shrunken input joins the way down")
    progressive_combine: Literal["sum", "cat"] = option("sum", help="how input_skip joins the shrunken input to the state")
    embedding: Literal["fourier", "positional"] = option("fourier", help="features of the time coordinate")
    fourier_scale: float = option(16.0, above=0, help="standard deviation of the Fourier frequencies")
    conditional: bool = option(True, help="whether the network is told the time")
    scale_by_sigma: bool = option(True, help="whether the output is divided by sigma")
    skip_rescale: bool = option(True, help="whether residual sums are divided by sqrt 2")
    nonlinearity: Nonlinearity = option("swish", help="the activation")
    init_scale: float = option(0.0, at_least=0, help="variance factor of the last layer of a branch when new")
    predicts: Prediction = option("score", help="what the output is")
    time_coordinate: TimeCoordinate = option("sigma", help="what the network is told of time; Fourier features take the logarithm of sigma")
    input_scaling: bool = option(False, help="whether the network reads x / sqrt(alpha^2 + sigma^2)")

    def __attrs_post_init__(self) -> None:
        check_multipliers(self.multipliers)
        if self.fir and sum(self.fir_kernel) == 0:
            raise ValueError(f"fir_kernel = {self.fir_kernel} sums to 0: it cannot be normalised")
        if self.scale_by_sigma and self.time_coordinate not in ("sigma", "log_sigma", "level"):
            raise ValueError(f"scale_by_sigma needs time_coordinate sigma, log_sigma or level, not {self.time_coordinate}")

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        check_pictures(self.name, spec, len(self.multipliers))
        sigma = noise_scale(sde, self.time_coordinate) if self.scale_by_sigma else None
        return UNet(self._plan(), spec.shape, self._features(), centring(spec), sigma)

    def _features(self) -> FourierFeatures | PositionalEmbedding:
        if self.embedding == "fourier":
            return FourierFeatures(self.channels, self.fourier_scale, log=self.time_coordinate == "sigma")
        return PositionalEmbedding(self.channels, POSITIONS[self.time_coordinate])

    def _plan(self) -> Plan:
        style = Style(
            act=ACTIVATIONS[self.nonlinearity],
            rescale=self.skip_rescale,
            dropout=self.dropout,
            init_scale=self.init_scale,
            kind=self.resblock_type,
        )
        return Plan(
            channels=self.channels,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=self.attention,
            style=style,
            taps=self.fir_kernel if self.fir else (),
            resample_with_conv=self.resamp_with_conv,
            progressive=self.progressive,
            progressive_input=self.progressive_input,
            progressive_combine=self.progressive_combine,
            conditional=self.conditional,
        )

    def published_names(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        return published_names(network)

    def prediction(self, sde: SDE) -> Prediction:
        return self.predicts

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling
