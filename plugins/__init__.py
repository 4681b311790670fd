"""The built-in components: the table of contents. Each is a file of its own, named as the component, in the folder of its kind."""

from scoresde.registry import hookimpl

from .classifier.half_unet import HalfUNet
from .classifier.mlp import MLPClassifier
from .conditioner.all_of import AllOf
from .conditioner.class_guidance import ClassGuidance
from .conditioner.classifier_free import ClassifierFree
from .conditioner.colorization import Colorization
from .conditioner.dps import DPS
from .conditioner.inpainting import Inpainting
from .conditioner.linear_observation import LinearObservation
from .conditioner.mmps import MMPS
from .conditioner.pgdm import PGDM
from .conditioner.repaint import RePaint
from .conditioner.twisted import Twisted
from .corrector.annealed_langevin import AnnealedLangevin
from .corrector.langevin import Langevin
from .corrector.none import NoCorrector
from .dataset.arrays import Arrays
from .dataset.digits import Digits
from .dataset.gaussian_mixture import GaussianMixtureData
from .dataset.image_folder import ImageFolder
from .dataset.torchvision import TorchVision
from .dataset.toy import Toy
from .extractor.classifier import Classifier
from .extractor.inception_v3_compat import InceptionV3Compat
from .grid.balanced import Balanced
from .grid.edm import EDM
from .grid.karras import Karras
from .grid.log_snr import LogSNR
from .grid.published import Published
from .grid.quadratic import Quadratic
from .grid.singlestep import Singlestep
from .grid.uniform import Uniform
from .likelihood.probability_flow import ProbabilityFlow
from .model.ddpm import DDPM
from .model.ddpmpp import DDPMpp
from .model.gaussian_mixture import GaussianMixture
from .model.mlp import MLP
from .model.ncsn import NCSN
from .model.ncsnpp import NCSNpp
from .model.ncsnv2 import NCSNv2
from .objective.ddpm import DDPMLoss
from .objective.score_matching import ScoreMatching
from .objective.sliced_score_matching import SlicedScoreMatching
from .objective.smld import SMLD
from .operator.block_average import BlockAverage
from .operator.blur import Blur
from .operator.channel_mixing import ChannelMixing
from .operator.mask import Mask
from .operator.matrix import Matrix
from .predictor.adams_bashforth import AdamsBashforth
from .predictor.ancestral import Ancestral
from .predictor.auto import Auto
from .predictor.ddim import DDIM
from .predictor.dpm_solver import DPMSolver
from .predictor.dpm_solver_fast import DPMSolverFast
from .predictor.dpmpp_2m import DPMpp2M
from .predictor.dpmpp_3m import DPMpp3M
from .predictor.euler_maruyama import EulerMaruyama
from .predictor.heun import Heun
from .predictor.none import NoPredictor
from .predictor.ode import ODE
from .predictor.reverse_diffusion import ReverseDiffusion
from .predictor.sa_solver import SASolver
from .predictor.unipc import UniPC
from .sampler.adaptive import Adaptive
from .sampler.predictor_corrector import PredictorCorrector
from .sde.sub_vp import SubVP
from .sde.ve import VE
from .sde.vp import VP

__all__ = [
    "DDIM",
    "DDPM",
    "DPS",
    "EDM",
    "MLP",
    "MMPS",
    "NCSN",
    "ODE",
    "PGDM",
    "SMLD",
    "VE",
    "VP",
    "AdamsBashforth",
    "Adaptive",
    "AllOf",
    "Ancestral",
    "AnnealedLangevin",
    "Arrays",
    "Auto",
    "Balanced",
    "BlockAverage",
    "Blur",
    "ChannelMixing",
    "ClassGuidance",
    "Classifier",
    "ClassifierFree",
    "Colorization",
    "DDPMLoss",
    "DDPMpp",
    "DPMSolver",
    "DPMSolverFast",
    "DPMpp2M",
    "DPMpp3M",
    "Digits",
    "EulerMaruyama",
    "GaussianMixture",
    "GaussianMixtureData",
    "HalfUNet",
    "Heun",
    "ImageFolder",
    "InceptionV3Compat",
    "Inpainting",
    "Karras",
    "Langevin",
    "LinearObservation",
    "LogSNR",
    "MLPClassifier",
    "Mask",
    "Matrix",
    "NCSNpp",
    "NCSNv2",
    "NoCorrector",
    "NoPredictor",
    "PredictorCorrector",
    "ProbabilityFlow",
    "Published",
    "Quadratic",
    "RePaint",
    "ReverseDiffusion",
    "SASolver",
    "ScoreMatching",
    "Singlestep",
    "SlicedScoreMatching",
    "SubVP",
    "TorchVision",
    "Toy",
    "Twisted",
    "UniPC",
    "Uniform",
    "components",
]

scoresde_api = 1


@hookimpl
def components() -> list[type]:
    return [
        # sde
        VE,
        VP,
        SubVP,
        # model
        NCSNpp,
        NCSN,
        NCSNv2,
        DDPMpp,
        DDPM,
        MLP,
        GaussianMixture,
        # classifier
        HalfUNet,
        MLPClassifier,
        # predictor
        EulerMaruyama,
        ReverseDiffusion,
        Ancestral,
        ODE,
        DDIM,
        Heun,
        DPMSolver,
        DPMSolverFast,
        DPMpp2M,
        DPMpp3M,
        AdamsBashforth,
        UniPC,
        SASolver,
        Auto,
        NoPredictor,
        # corrector
        Langevin,
        AnnealedLangevin,
        NoCorrector,
        # sampler and grid
        PredictorCorrector,
        Adaptive,
        Uniform,
        LogSNR,
        Karras,
        EDM,
        Singlestep,
        Balanced,
        Quadratic,
        Published,
        # likelihood, conditioner, objective
        ProbabilityFlow,
        ClassGuidance,
        ClassifierFree,
        Inpainting,
        RePaint,
        Colorization,
        LinearObservation,
        DPS,
        PGDM,
        MMPS,
        Twisted,
        AllOf,
        # operator
        Mask,
        BlockAverage,
        Blur,
        ChannelMixing,
        Matrix,
        # objective
        ScoreMatching,
        SMLD,
        DDPMLoss,
        SlicedScoreMatching,
        # dataset
        Digits,
        TorchVision,
        ImageFolder,
        Arrays,
        Toy,
        GaussianMixtureData,
        # extractor
        Classifier,
        InceptionV3Compat,
    ]
