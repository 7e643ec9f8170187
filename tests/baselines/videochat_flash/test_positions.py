"""In float16 the release's rotary table ends at position 65,520; such a sequence is refused before a frame is decoded."""

import pytest
import torch

from baselines.videochat_flash.inputs import FLOAT16_POSITIONS, check_positions
from baselines.videochat_flash.language import faithful_rows
from niah.types import UserError


def test_the_release_s_table_is_nan_from_the_named_position_on():
    positions = torch.tensor([FLOAT16_POSITIONS - 1, FLOAT16_POSITIONS])
    cosines, _ = faithful_rows(positions, 128, 1e6, torch.float16, rebuilt=True)
    assert cosines.isfinite().all(dim=1).tolist() == [True, False]


def test_a_sequence_that_passes_it_is_refused_with_ways_out():
    check_positions(torch.float16, "faithful", 65_488, 32)
    with pytest.raises(UserError, match=r"65489 tokens and 32 of an answer .*65,520.* dtype=bfloat16, rope=exact"):
        check_positions(torch.float16, "faithful", 65_489, 32)


@pytest.mark.parametrize(
    "dtype, rope", [(torch.bfloat16, "faithful"), (torch.float32, "faithful"), (torch.float16, "exact")]
)
def test_other_precisions_and_exact_angles_go_on(dtype, rope):
    check_positions(dtype, rope, 160_060, 32)
