"""Networks for spectra on a fixed grid: convolutions, a transformer over patches, and either with several targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from stellar.errors import InputError
from stellar.models.keras_augment import SPECTRA, SpectrumAugmenter, strengths
from stellar.models.keras_base import Layers, SequenceModel
from stellar.models.keras_inputs import Scalars, Spectra
from stellar.models.spectra import SEQUENCES

INPUTS: dict[str, Any] = {
    "noise_scale": 0.05,  # a bin with this relative error counts half
    "clip": 2.0,  # depths and emission beyond this many continua say nothing more
    "step_dex": 3e-4,  # of the grid; only changes of velocity in training use it
}
CONVOLUTIONS: dict[str, Any] = {"filters": [16, 32, 48, 64], "kernels": [9, 7, 5, 5]}
ATTENTION: dict[str, Any] = {
    "patch": 24,  # bins of one token
    "stem": 16,  # filters of a convolution before the patches are cut; 0 is none
    "width": 48,  # of a token
    "blocks": 2,
    "attention_heads": 2,
    "token_outputs": 12,  # of each token, side by side: where a line lies is what it says
    "reconstruct": 0.0,  # weight of a loss on hidden patches, each bin by its inverse variance
    "reconstruct_share": 0.15,  # of the patches that are hidden in training
}


class SpectralModel(SequenceModel):
    """What the networks of spectra share. `features` must hold `flux`, `ivar`, `mask`; any other is a scalar."""

    family = "spectra"

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features=features, targets=targets, params=params)
        lacking = [name for name in SEQUENCES if name not in self.features]
        if lacking:
            raise InputError(f"{self.architecture}: features lack {', '.join(lacking)}")
        self._scalars = Scalars([name for name in self.features if name not in SEQUENCES])
        self._strengths = strengths(self.architecture, SPECTRA, self.settings["augment"])
        self._bins = 0

    def _learn_inputs(self, X: pa.Table) -> None:
        self._scalars.learn(X)
        self._bins = Spectra(X.slice(0, 1), self._scalars, self._channels).bins

    @property
    def _channels(self) -> dict[str, Any]:
        """Settings of the inputs; `patch` only where tokens are read."""
        return self.settings

    def _examples(self, X: pa.Table, *, training: bool = False) -> Spectra:
        augment = None
        if training and self._strengths["share"] > 0:
            augment = SpectrumAugmenter(self._strengths, self.settings["step_dex"])
        found = Spectra(X, self._scalars, self._channels, augment)
        if len(found) and found.bins != self._bins:
            raise InputError(f"spectra have {found.bins} bins, the model learnt {self._bins}: another grid")
        return found

    def _join_scalars(self, build: Layers, inputs: list[Any], x: Any) -> Any:
        if not self._scalars.names:
            return x
        inputs.append(build.layers.Input((len(self._scalars.names),), name="scalars"))
        return build.layers.Concatenate()([x, inputs[-1]])

    def _input_state(self) -> dict[str, Any]:
        return {"bins": self._bins, "scalars": self._scalars.state()}

    def _restore_inputs(self, state: Mapping[str, Any]) -> None:
        self._bins = int(state["bins"])
        self._scalars.restore(state["scalars"])

    # -- trunks ------------------------------------------------------------------------------------------------------
    def _convolutions(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        own = self.settings
        inputs = [build.layers.Input((self._bins, 2), name="spectrum")]
        x = inputs[0]
        for number, (filters, kernel) in enumerate(zip(own["filters"], own["kernels"], strict=True)):
            x = build.conv(x, filters, kernel)
            x = build.layers.MaxPooling1D(3 if number == 0 else 2)(x)
        # flattened, not pooled: where a line lies is what it says
        x = build.drop(build.layers.Flatten()(x))
        return inputs, self._join_scalars(build, inputs, x), {}

    def _attention(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        own, layers, ops = self.settings, build.layers, build.ops
        patch, width = own["patch"], own["width"]
        tokens = -(-self._bins // patch)
        spectrum = layers.Input((tokens * patch, 2), name="spectrum")
        seen = layers.Input((tokens,), name="seen")
        position = layers.Input((tokens,), dtype="int32", name="position")
        x = build.conv(spectrum, own["stem"], 7) if own["stem"] else spectrum
        x = layers.Conv1D(width, patch, strides=patch)(x)
        x = layers.Add()([x, layers.Embedding(tokens, width)(position)])
        x = transformer(build, x, seen, width, own["attention_heads"], own["blocks"])
        outputs: dict[str, Any] = {}
        if own["reconstruct"] > 0:
            bins = layers.Dense(patch, dtype="float32")(x)
            outputs["reconstruction"] = layers.Reshape((tokens * patch,), name="reconstruction")(bins)
        x = layers.Dense(own["token_outputs"], activation="gelu")(x)
        x = layers.Multiply()([x, ops.expand_dims(seen, -1)])
        inputs = [spectrum, seen, position]
        x = build.drop(layers.Flatten()(x))
        return inputs, self._join_scalars(build, inputs, x), outputs


def transformer(build: Layers, x: Any, seen: Any, width: int, heads: int, blocks: int) -> Any:
    """Pre-norm encoder blocks (Xiong et al. 2020) over tokens [n, t, width]; none attends to one with `seen` 0."""
    layers, ops = build.layers, build.ops
    mask = ops.expand_dims(ops.cast(seen, "bool"), 1)
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(heads, max(1, width // heads))(y, y, attention_mask=mask)
        x = layers.Add()([x, build.drop(y, 0.1)])
        y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, build.drop(layers.Dense(width)(y), 0.1)])
    return layers.LayerNormalization()(x)


class SpectralCNN(SpectralModel):
    """Convolutions over the spectrum, then a dense layer; scalar columns among `features` join before it."""

    architecture = "spectral_cnn"
    defaults: ClassVar[Mapping[str, Any]] = {**INPUTS, **CONVOLUTIONS, "clip_norm": 0.0}

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        return self._convolutions(build)


class SpectralTransformer(SpectralModel):
    """Patches of the spectrum as tokens; patches that are masked throughout are not attended to."""

    architecture = "spectral_transformer"
    defaults: ClassVar[Mapping[str, Any]] = {**INPUTS, **ATTENTION}

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        return self._attention(build)


class SpectralMultiTask(SpectralModel):
    """Class, Teff, log g, [Fe/H] from one trunk (`backbone`: cnn or transformer); each row counts for what it has."""

    architecture = "spectral_multitask"
    defaults: ClassVar[Mapping[str, Any]] = {**INPUTS, **CONVOLUTIONS, **ATTENTION, "backbone": "cnn"}

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features=features, targets=targets, params=params)
        if self.settings["backbone"] not in ("cnn", "transformer"):
            raise InputError(f"{self.architecture}: backbone is cnn or transformer")

    @property
    def _channels(self) -> dict[str, Any]:
        if self.settings["backbone"] == "transformer":
            return self.settings
        return {name: value for name, value in self.settings.items() if name not in ATTENTION}

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        return self._convolutions(build) if self.settings["backbone"] == "cnn" else self._attention(build)
