"""Video in: when frames are shown, reading them by presentation time, splicing them, writing them."""

from niah.media.decoder import Decoder, decoder_named
from niah.media.errors import MediaError
from niah.media.index import Index
from niah.media.measure import measure
from niah.media.video import SplicedVideo
from niah.media.write import write_mp4

__all__ = ["Decoder", "Index", "MediaError", "SplicedVideo", "decoder_named", "measure", "write_mp4"]
