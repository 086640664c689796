"""What this build can do beyond 1.0.0."""

from typing import Final

from plano_sample._release import SCHEMA

# A client may belong to a segment, and a distribution may be limited to one (migration 0002).
SEGMENTS: Final[bool] = SCHEMA >= "0002"
