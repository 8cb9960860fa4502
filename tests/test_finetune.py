"""Another run's weights, and layers that do not learn."""

from dataclasses import replace

import numpy as np
import pytest
from small import RAW, assert_same, photographs

from minitorch_alexnet import checkpoint
from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.finetune import used_to
from minitorch_alexnet.run import load_run
from minitorch_alexnet.train import Trainer


def test_another_runs_weights_are_taken_but_for_the_last_layer(tiny_models, tmp_path):
    Trainer(photographs(), RAW, tmp_path / "source").fit()
    source = load_run(tmp_path / "source")
    config = replace(RAW, source=str(tmp_path / "source"), freeze="conv1", seed=1)
    images = photographs(40, seed=5)
    other = ArrayDataset(images.images, images.labels, ["x", "y", "z"])
    trainer = Trainer(other, config, tmp_path / "tuned")
    assert trainer.taken == ["conv1.weight", "conv1.bias"]
    np.testing.assert_array_equal(trainer.normalize.mean, source.normalize.mean)
    theirs, mine = source.net.state_dict(), trainer.net.state_dict()
    np.testing.assert_array_equal(mine["conv1.weight"], theirs["conv1.weight"])
    assert not np.isclose(mine["fc8.weight"], theirs["fc8.weight"]).any()
    trainer.fit()
    tuned = trainer.net.state_dict()
    np.testing.assert_array_equal(tuned["conv1.weight"], theirs["conv1.weight"])
    np.testing.assert_array_equal(tuned["conv1.bias"], theirs["conv1.bias"])
    assert not np.isclose(tuned["fc8.weight"], mine["fc8.weight"], rtol=1e-6).all()


def test_a_fine_tuned_run_resumes_without_its_source(tiny_models, tmp_path):
    Trainer(photographs(), RAW, tmp_path / "source").fit()
    config = replace(RAW, source=str(tmp_path / "source"))
    other = photographs(40, seed=5)
    whole = Trainer(other, config)
    whole.fit()
    Trainer(other, config, tmp_path / "tuned").fit(on_step=lambda trainer: trainer.stop())
    (tmp_path / "source/checkpoint.npz").unlink()
    second = Trainer(other, config, tmp_path / "tuned")
    assert second.resume()
    np.testing.assert_array_equal(second.normalize.mean, whole.normalize.mean)
    second.fit()
    assert_same(second, whole)


def test_a_source_of_which_nothing_fits_is_refused(tiny_models, tmp_path, garments):
    Trainer(garments, Config(epochs=1), tmp_path / "source").fit()
    with pytest.raises(
        UserError, match=r"no layer of .*source \(fashion\) but the last fits this net"
    ):
        Trainer(photographs(), replace(RAW, source=str(tmp_path / "source")))


def test_frozen_layers_must_exist_and_do_not_learn(tiny_models):
    with pytest.raises(UserError, match="freeze: 'conv9' is none of the layers conv1, fc8"):
        Trainer(photographs(), replace(RAW, freeze="conv1,conv9"))
    trainer = Trainer(photographs(), replace(RAW, freeze="conv1"))
    assert [n for n, p in trainer.net.named_parameters().items() if p.frozen] == [
        "conv1a.weight", "conv1a.bias", "conv1b.weight", "conv1b.bias",
    ]  # fmt: skip


def test_layers_are_taken_whole_and_what_starts_anew_is_not_frozen(tiny_models, tmp_path):
    Trainer(photographs(), RAW, tmp_path / "source").fit()
    grey = ArrayDataset(photographs().images[:, :1], photographs().labels)
    renamed = ArrayDataset(photographs().images, photographs().labels, ["x", "y", "z"])
    config = replace(RAW, model="tiny-merged", source=str(tmp_path / "source"))
    with pytest.raises(UserError, match="no layer of"):  # conv1's bias alone would fit
        Trainer(grey, config)
    with pytest.raises(UserError, match="freeze: fc8 starts anew and has to learn"):
        Trainer(renamed, replace(config, freeze="fc8"))
    with pytest.raises(UserError, match="freeze: no layer is left that learns"):
        Trainer(photographs(), replace(RAW, freeze="conv1, fc8"))


def test_the_sources_scale_holds(tiny_models, tmp_path):
    Trainer(photographs(), replace(RAW, standardize=True), tmp_path / "source").fit()
    scale = load_run(tmp_path / "source").normalize.scale
    assert scale > 30
    larger = photographs(side=24)
    trainer = Trainer(larger, replace(RAW, source=str(tmp_path / "source")))
    assert trainer.normalize.scale == scale
    np.testing.assert_allclose(trainer.normalize.mean, trainer.train_loader.dataset.mean, rtol=1e-6)


def test_the_sources_scale_a_channel_holds_where_there_are_as_many(tiny_models, tmp_path):
    Trainer(photographs(), RAW, tmp_path / "source").fit()
    arrays, meta = checkpoint.load(tmp_path / "source/checkpoint.npz")
    checkpoint.save(
        tmp_path / "source/checkpoint.npz", arrays, meta | {"scale": [50.0, 60.0, 70.0]}
    )
    source = load_run(tmp_path / "source")
    np.testing.assert_array_equal(source.normalize.scale, [50, 60, 70])
    trainer = Trainer(photographs(), replace(RAW, source=str(source.folder)), tmp_path / "new")
    trainer.fit(on_step=lambda trainer: trainer.stop())
    again = Trainer(photographs(), replace(RAW, source=str(source.folder)), tmp_path / "new")
    assert again.resume()
    for normalize in (trainer.normalize, again.train_loader.normalize):
        np.testing.assert_array_equal(normalize.scale, source.normalize.scale)
    grey = Normalize(photographs().mean[:1], 40)
    assert used_to(source, grey).scale == 40


def test_the_last_layer_is_kept_where_the_classes_are_the_same(tiny_models, tmp_path):
    Trainer(photographs(), RAW, tmp_path / "source").fit()
    source = load_run(tmp_path / "source")
    trainer = Trainer(photographs(40, seed=5), replace(RAW, source=str(tmp_path / "source")))
    for name, value in source.net.state_dict().items():
        np.testing.assert_array_equal(trainer.net.state_dict()[name], value, err_msg=name)
    assert trainer.taken == list(trainer.net.state_dict())


def test_images_on_another_scale_than_the_sources_are_refused(tiny_models, tmp_path):
    data = photographs()
    Trainer(data, RAW, tmp_path).fit(on_step=lambda trainer: trainer.stop())
    config = replace(RAW, source=str(tmp_path))
    with pytest.raises(UserError, match=r"images \* 255"):
        Trainer(ArrayDataset(data.images / 255, data.labels), config)
    levels = Trainer(ArrayDataset(data.images * 1.0, data.labels), config)
    assert "conv1.weight" in levels.taken
    assert levels.run.normalize.span == (0, data.images.max())
