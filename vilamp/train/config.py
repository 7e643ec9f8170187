"""Everything a training depends on: the keys of its YAML file. A resumed training refuses another config."""

from __future__ import annotations

from dataclasses import dataclass

from vilamp.config import VilampConfig


@dataclass(frozen=True)
class EncoderConfig:
    """The settings of the first stage: CLIP and the SigLIP tower learn from single frames."""

    steps: int = 2000
    batch: int = 64  # frames: half of them crowded, an eighth from haystacks, the rest from clips
    rate: float = 1.5e-3
    haystack: int = 500  # frames of each world
    clips: int = 100  # of each world
    crowds: int = 2000  # crowded frames of each world

    def __post_init__(self) -> None:
        if min(self.haystack, self.clips, self.crowds) < 1:
            raise ValueError(f"a batch takes frames of haystack, clips and crowds: at least one of each, got {self}")


@dataclass(frozen=True)
class ReaderConfig:
    """The settings of the second stage: connectors and language model learn from cases spliced from frozen features.

    Haystacks grow through `lengths`: the next one comes when the accuracy over the last `window` examples exceeds
    `promote` for every type of question. Shorter ones stay in the mixture.
    """

    steps: int = 8000
    tokens: int = 3200  # of a batch, padding included
    rate: float = 1e-3
    haystack: int = 4200  # frames of each world
    clips: int = 250  # of each world
    lengths: tuple[int, ...] = (0, 64, 128, 256, 512, 1024, 2048, 4096)
    keyframes: int = 8  # K in training; fewer in short cases
    promote: float = 0.80
    window: int = 120
    alignment: float = 0.5  # weight of the alignment loss; 0 switches it off
    tracing: float = 0.5  # weight of the tracing loss; 0 switches it off
    position_gaps: float = 0.5  # share of batches whose positions leave gaps, up to `positions`; 0 switches them off
    positions: int = 11000  # tokens of the longest video that the model should be ready for


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training, from random weights to a checkpoint folder."""

    name: str
    seed: int
    output: str  # the checkpoint folder
    worlds: int = 10
    types: tuple[str, ...] = ("motion", "digit")
    device: str = "auto"
    encoder_from: str | None = None  # a checkpoint whose encoders are taken as they are; None trains them
    model: VilampConfig = VilampConfig()
    encoder: EncoderConfig = EncoderConfig()
    reader: ReaderConfig = ReaderConfig()

    def __post_init__(self) -> None:
        if self.model.compression is not None:
            raise ValueError(
                f"this trains ViLaMP's own compressor, got compression {self.model.compression.scheme!r}: other "
                "compressors are trained by a config with members, as configs/train/rivals.yaml"
            )
