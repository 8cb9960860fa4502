"""A page to look inside a net: what each layer makes of one photograph."""

from .page import Neighbour, page

__all__ = ["Neighbour", "page"]
