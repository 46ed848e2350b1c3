"""Architectures behind one interface: `create`, then fit, predict, save; `load_model` brings one back."""

from stellar.models.base import Model, Quantiles, create, load_model

__all__ = ["Model", "Quantiles", "create", "load_model"]
