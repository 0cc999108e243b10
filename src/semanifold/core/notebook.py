"""What a notebook shows of generators, edits, masks and solutions."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def as_html(caption: str, draw: Callable[[], Image.Image]) -> str | None:
    """Return a picture with a line of text above it for a notebook; None, for the text alone, if it cannot be drawn.

    Args:
        caption: the line; what is special in HTML is escaped.
        draw: makes the picture.
    """
    try:
        buffer = io.BytesIO()
        draw().save(buffer, format="PNG")
    except Exception:  # a notebook shows whatever a cell ends with: that must not fail
        return None
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<div><code>{html.escape(caption)}</code><br><img src="data:image/png;base64,{data}"></div>'
