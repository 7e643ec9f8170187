"""How four releases make pixels of a frame, written out: Pillow's bicubic in plain arithmetic, crop, rescale, normalise.

Pillow resizes the rows, then the columns; each pass rounds to 8 bits. A weight is a cubic (a = -0.5) of the distance
in source pixels, stretched by the scale where that is above 1, and is rounded to a multiple of 2^-22.
"""

import numpy as np

BITS = 22  # of a weight; 8 of value and 2 of headroom make 32


def cubic(distance):
    """Return the weight of a source pixel at a distance, before normalisation."""
    distance = abs(distance)
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    if distance < 2:
        return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return 0.0


def resize_axis(picture, length):
    """Resize the first axis of (size, other, 3) uint8 to `length`."""
    size = len(picture)
    if size == length:
        return picture
    scale = size / length
    stretch = max(scale, 1.0)
    made = np.empty((length, *picture.shape[1:]), np.uint8)
    for place in range(length):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - 2 * stretch + 0.5))
        stop = min(size, int(centre + 2 * stretch + 0.5))
        weights = np.array([cubic((x - centre + 0.5) / stretch) for x in range(first, stop)])
        weights = weights / weights.sum()
        whole = np.trunc(weights * (1 << BITS) + np.where(weights < 0, -0.5, 0.5)).astype(np.int64)
        total = (1 << (BITS - 1)) + np.tensordot(whole, picture[first:stop].astype(np.int64), axes=1)
        made[place] = np.clip(total >> BITS, 0, 255)
    return made


def resize(frame, height, width):
    """Resize (height, width, 3) uint8."""
    across = resize_axis(frame.transpose(1, 0, 2), width).transpose(1, 0, 2)
    return resize_axis(np.ascontiguousarray(across), height)


def centre_crop(frame, side):
    """Resize the shorter side to `side`, the longer to a whole number of pixels below its exact length; cut the middle."""
    height, width = frame.shape[:2]
    if height < width:
        frame = resize(frame, side, int(side * width / height))
    else:
        frame = resize(frame, int(side * height / width), side)
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return frame[top : top + side, left : left + side]


def normalise(frame, mean, std):
    """Return (3, height, width) in double precision."""
    return ((frame / 255.0 - np.array(mean)) / np.array(std)).transpose(2, 0, 1)


CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def vilamp_siglip(frame, side=384):
    """Stretch to a square."""
    return normalise(resize(frame, side, side), *HALF)


def vilamp_clip(frame, side=224):
    """Crop the middle square."""
    return normalise(centre_crop(frame, side), *CLIP)


def video_xl(frame, side=336):
    """Crop the middle square."""
    return normalise(centre_crop(frame, side), *CLIP)


def llama_vid(frame, side=224):
    """Crop the middle square."""
    return normalise(centre_crop(frame, side), *CLIP)


def videochat_flash(frame, side=448):
    """Stretch to a square."""
    return normalise(resize(frame, side, side), *IMAGENET)
