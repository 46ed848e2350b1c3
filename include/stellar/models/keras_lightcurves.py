"""Networks for light curves: a transformer over their points, convolutions over folded and raw curve, several targets.

They read list columns of the curated light curves, of any length, and scalar features beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from stellar.errors import InputError
from stellar.models.keras_augment import CURVES, CurveAugmenter, strengths
from stellar.models.keras_base import Layers, SequenceModel
from stellar.models.keras_curves import ENCODING_D, POINT_CHANNELS, WRAP, Curves
from stellar.models.keras_inputs import Scalars
from stellar.models.keras_spectra import transformer

INPUTS: dict[str, Any] = {
    "columns": {"time": "time_btjd", "value": "flux", "error": "flux_err", "quality": "quality"},
    "value_kind": "flux",  # or mag
    "quality_bits": 17087,  # points with one of these bits are left out; lightkurve's default for TESS
    "detrend_degree": 0,  # of a polynomial in time that is taken out
    "period": None,  # column of the period in days; none: no folding
}
CONVOLUTIONS: dict[str, Any] = {
    "phase_bins": 64,
    "raw_bins": 256,
    "folded_filters": [16, 32, 48],
    "raw_filters": [16, 24, 32, 32],
    "kernel": 5,
}
ATTENTION: dict[str, Any] = {"tokens": 64, "patch": 16, "width": 48, "blocks": 2, "attention_heads": 4}


class LightcurveModel(SequenceModel):
    """What the networks of light curves share.

    `features` hold the list columns that the parameter `columns` names (`quality` may be missing); any other is a
    scalar. The column `period`, if named, must be among them; curves are folded with it, and the network sees its
    log10.
    """

    family = "lightcurves"
    views: ClassVar[frozenset[str]]

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features=features, targets=targets, params=params)
        columns = self.settings["columns"]
        if not {"time", "value"} <= set(columns) or set(columns) - {"time", "value", "error", "quality"}:
            raise InputError(f"{self.architecture}: columns names time and value, and may name error and quality")
        if self.settings["value_kind"] not in ("flux", "mag"):
            raise InputError(f"{self.architecture}: value_kind is flux or mag")
        lists = [name for name in columns.values() if name]
        needed = [columns["time"], columns["value"], *([columns["error"]] if columns.get("error") else [])]
        needed += [self.settings["period"]] if self.settings["period"] else []
        if lacking := [name for name in needed if name not in self.features]:
            raise InputError(f"{self.architecture}: features lack {', '.join(lacking)}")
        log = [self.settings["period"]] if self.settings["period"] else []
        self._scalars = Scalars([name for name in self.features if name not in lists], log)
        self._strengths = strengths(self.architecture, CURVES, self.settings["augment"])

    def _learn_inputs(self, X: pa.Table) -> None:
        self._scalars.learn(X)

    def _views(self) -> frozenset[str]:
        return self.views

    def _examples(self, X: pa.Table, *, training: bool = False) -> Curves:
        augment = CurveAugmenter(self._strengths) if training and self._strengths["share"] > 0 else None
        return Curves(X, self._scalars, self.settings, self._views(), augment)

    def _input_state(self) -> dict[str, Any]:
        return {"scalars": self._scalars.state()}

    def _restore_inputs(self, state: Mapping[str, Any]) -> None:
        self._scalars.restore(state["scalars"])

    def _join(self, build: Layers, inputs: list[Any], parts: list[Any]) -> Any:
        inputs.append(build.layers.Input((1,), name="spread"))
        joined = [*parts, inputs[-1]]
        if self._scalars.names:
            inputs.append(build.layers.Input((len(self._scalars.names),), name="scalars"))
            joined.append(inputs[-1])
        return build.layers.Concatenate()(joined)

    # -- trunks ------------------------------------------------------------------------------------------------------
    def _convolutions(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        own, layers = self.settings, build.layers
        inputs, parts = [], []
        if "folded" in self._views():
            inputs.append(layers.Input((own["phase_bins"] + 2 * WRAP, 2), name="folded"))
            x = inputs[-1]
            for filters in own["folded_filters"]:
                x = layers.MaxPooling1D(2)(build.conv(x, filters, own["kernel"]))
            parts.append(build.drop(layers.Flatten()(x)))  # the minimum stands at phase 0: places mean something
        inputs.append(layers.Input((own["raw_bins"], 2), name="raw"))
        x = inputs[-1]
        for filters in own["raw_filters"]:
            x = layers.MaxPooling1D(2)(build.conv(x, filters, own["kernel"]))
        # pooled: when in a survey's span something happens says nothing
        parts += [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
        return inputs, self._join(build, inputs, parts), {}

    def _attention(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        own, layers, ops = self.settings, build.layers, build.ops
        channels = own["patch"] * POINT_CHANNELS + 2 * len(ENCODING_D)
        found = layers.Input((own["tokens"], channels), name="tokens")
        seen = layers.Input((own["tokens"],), name="seen")
        x = layers.Dense(own["width"])(layers.Dense(2 * own["width"], activation="gelu")(found))
        x = transformer(build, x, seen, own["width"], own["attention_heads"], own["blocks"])
        shown = ops.expand_dims(seen, -1)
        x = layers.Multiply()([x, shown])
        mean = ops.sum(x, axis=1) / (ops.sum(shown, axis=1) + 1e-3)
        inputs, parts = [found, seen], [build.drop(mean), build.drop(layers.GlobalMaxPooling1D()(x))]
        return inputs, self._join(build, inputs, parts), {}


class LightcurveTransformer(LightcurveModel):
    """Neighbouring points as tokens with their times and phases; padding is not attended to."""

    architecture = "lightcurve_transformer"
    views = frozenset({"tokens"})
    defaults: ClassVar[Mapping[str, Any]] = {**INPUTS, **ATTENTION}

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        return self._attention(build)


class LightcurveCNN(LightcurveModel):
    """Two branches of convolutions: the curve folded at its period, and the raw curve resampled over its span."""

    architecture = "lightcurve_cnn"
    defaults: ClassVar[Mapping[str, Any]] = {**INPUTS, **CONVOLUTIONS}

    def _views(self) -> frozenset[str]:
        return frozenset({"folded", "raw"} if self.settings["period"] else {"raw"})

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        return self._convolutions(build)


class LightcurveMultiTask(LightcurveModel):
    """Class and log g (or other targets) from one trunk (`backbone`: cnn or transformer)."""

    architecture = "lightcurve_multitask"
    defaults: ClassVar[Mapping[str, Any]] = {**INPUTS, **CONVOLUTIONS, **ATTENTION, "backbone": "cnn"}

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features=features, targets=targets, params=params)
        if self.settings["backbone"] not in ("cnn", "transformer"):
            raise InputError(f"{self.architecture}: backbone is cnn or transformer")

    def _views(self) -> frozenset[str]:
        if self.settings["backbone"] == "transformer":
            return frozenset({"tokens"})
        return frozenset({"folded", "raw"} if self.settings["period"] else {"raw"})

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        return self._convolutions(build) if self.settings["backbone"] == "cnn" else self._attention(build)
