"""Types of the values in records, and the base of their structures."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# A record may have been written by anyone: numbers are bounded so that no sum overflows, and words
# contain neither control characters nor line breaks.
Natural = Annotated[int, Meta(ge=0, le=2**53)]
Index = Annotated[int, Meta(ge=0, le=999_999)]
Iteration = Annotated[int, Meta(ge=0, le=999_999_999)]
Duration = Annotated[float, Meta(ge=0, le=1e12)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
NoneOrSha256 = Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
Word = Annotated[str, Meta(max_length=1000, pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z")]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
Positive = Annotated[float, Meta(gt=0, le=1e300)]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all structures; unknown keys are refused."""
