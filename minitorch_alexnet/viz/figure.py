"""The figure that every function here returns."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """matplotlib's; a notebook shows it even without pyplot, which sees to that elsewhere."""

    def _repr_png_(self) -> bytes:
        """What IPython asks a cell's last value for."""
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()
