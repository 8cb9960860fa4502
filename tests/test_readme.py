"""The README's code runs, top to bottom, and says what a reader would expect."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_code_in_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out
    assert "'epoch': 1" in printed
    assert "maxpool2d1  MaxPool2d(3, stride=2)  8×11×11" in printed
    assert "Square(): ok" in printed
    assert names["trainer"].net.nodes["fc8"].shape == (3,)
