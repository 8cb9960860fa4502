"""A page to look inside a net: what each layer makes of one photograph."""

from .page import Neighbour, is_our_page, page

__all__ = ["Neighbour", "is_our_page", "page"]
