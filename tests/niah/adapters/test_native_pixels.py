"""What four releases make of native frames, on nine real clips: landscape, portrait, square, odd, and below a tower's size.

Compared with plain arithmetic in tests/reference_impl/pixels.py, which imports nothing of the project, and with the
processors of `transformers`, whose Pillow may round portrait pictures otherwise than the releases' did.
"""

from pathlib import Path

import numpy as np
import pytest
import transformers

from baselines.video_xl.config import PixelConfig
from baselines.video_xl.inputs import make_pixels as video_xl_pixels
from baselines.videochat_flash.inputs import make_pixels as videochat_flash_pixels
from niah.adapters.preprocess import CLIP_MEAN, CLIP_STD, centre_square, standardise
from niah.media.decoders.base import load_decoder
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.types import Sampling, Source, Span
from tests.helpers.media_samples import SHARED
from tests.reference_impl import pixels as plain
from vilamp.release.pixels import clip_pixels, siglip_pixels
from vilamp.release.tower_sizes import CLIP, SIGLIP_PICTURE

CLIPS = {  # displayed width and height
    "haystacks/bbb.mp4": (384, 216),
    "haystacks/mouse_arena.mp4": (640, 480),
    "haystacks/sherlock_1900.mp4": (320, 256),
    "haystacks/trap_dry_forest.mp4": (106, 60),
    "needles/coffee.mp4": (1280, 720),
    "needles/squats.mp4": (720, 1280),
    "needles/hand_sign.mp4": (600, 600),
    "edge/odd_size_444.mp4": (321, 241),
    "edge/rotated_90.mov": (320, 568),
}
ROUNDING = 1e-6  # single precision; one grey level is 0.0078 at least


def llama_vid_pixels(frames):
    return standardise(centre_square(frames, 224))


OURS = {
    "vilamp_siglip": lambda frames: siglip_pixels(frames, SIGLIP_PICTURE),
    "vilamp_clip": lambda frames: clip_pixels(frames, CLIP.picture),
    "video_xl": lambda frames: video_xl_pixels(frames, PixelConfig(336, CLIP_MEAN, CLIP_STD)),
    "llama_vid": llama_vid_pixels,
    "videochat_flash": lambda frames: videochat_flash_pixels(frames, 448),
}


def native(name, size):
    """Return one frame of a clip, (1, height, width, 3), as an adapter gets it under `fit: native`."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip("the sample videos are not beside the checkout")
    index = scan(path)
    source = Source("clip", f"sha256:{index.sha256}", index.path, index.sha256, index.count("native"), index.seconds)
    number = source.frames // 2
    sampling = Sampling("native", fit="native")
    video = SplicedVideo(
        (Span("clip", number, number + 1),), {"clip": source}, sampling, load_decoder("pyav"), 1.0, Path("unused")
    )
    frames = video.frames([0])
    assert frames.shape[1:3] == size[::-1]
    return frames


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_native_frames_become_the_pixels_of_all_four_releases(name):
    frames = native(name, CLIPS[name])
    for model, make in OURS.items():
        wanted = getattr(plain, model)(frames[0])
        worst = abs(make(frames)[0].double().numpy() - wanted).max()
        assert worst < ROUNDING, (model, worst)


@pytest.mark.parametrize("width, height", [(53, 37), (37, 53), (40, 40)])
def test_pixels_of_any_aspect_are_those_of_plain_arithmetic(width, height):
    frames = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    for side in (24, 60):
        stretched = videochat_flash_pixels(frames, side)[0].double().numpy()
        assert abs(stretched - plain.videochat_flash(frames[0], side)).max() < ROUNDING
        cropped = standardise(centre_square(frames, side))[0].double().numpy()
        assert abs(cropped - plain.llama_vid(frames[0], side)).max() < ROUNDING


def processors():
    """Return the processors of `transformers` with the sizes of the releases, by the name of ours."""
    clip = {"resample": 3, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}

    def cropping(side):
        size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
        return transformers.CLIPImageProcessorPil(**size, **clip)

    square = {"size": {"height": 384, "width": 384}, "resample": 3}
    siglip = transformers.SiglipImageProcessorPil(**square, image_mean=(0.5,) * 3, image_std=(0.5,) * 3)
    return {
        "vilamp_siglip": siglip,
        "vilamp_clip": cropping(224),
        "video_xl": cropping(336),
        "llama_vid": cropping(224),
    }


@pytest.mark.parametrize("name", ["haystacks/bbb.mp4", pytest.param("edge/odd_size_444.mp4", marks=pytest.mark.slow)])
def test_landscape_pixels_are_those_of_the_processors_of_transformers(name):
    frames = native(name, CLIPS[name])
    for model, processor in processors().items():
        theirs = processor(images=[frames[0]], return_tensors="np")["pixel_values"][0]
        worst = abs(OURS[model](frames)[0].double().numpy() - theirs).max()
        assert worst < ROUNDING, (model, worst)
